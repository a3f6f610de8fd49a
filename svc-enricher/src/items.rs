//! Evidence items and the ids under which a diagnosis cites them.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    EvidenceItem, KubernetesEvent, KubernetesObject, LogChunk, NodeState, Note, RolloutChange,
};
use serde_json::{Value, json};

use crate::json::{number, reference, text};

/// Says nothing that the specification does not, and holds former values.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MAX_NOTE_BYTES: usize = 1024;

/// An object as the API server returned it, without `managedFields` and the last applied configuration.
pub(crate) fn object(object: &Value) -> EvidenceItem {
    let mut kept = object.clone();
    if let Some(metadata) = kept.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove(LAST_APPLIED);
        }
    }
    of_object(object, &kept)
}

/// A ReplicaSet without its template: which revision it is, whose, and how many replicas it has.
pub(crate) fn replica_set(set: &Value) -> EvidenceItem {
    let revision = crate::rollout::revision(set).to_string();
    let kept = json!({
        "apiVersion": set.get("apiVersion"),
        "kind": set.get("kind"),
        "metadata": {
            "name": text(set, "/metadata/name"),
            "namespace": text(set, "/metadata/namespace"),
            "uid": text(set, "/metadata/uid"),
            "creationTimestamp": text(set, "/metadata/creationTimestamp"),
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": set.pointer("/metadata/ownerReferences"),
        },
        "spec": {"replicas": number(set, "/spec/replicas")},
        "status": set.get("status"),
    });
    of_object(set, &kept)
}

fn of_object(object: &Value, kept: &Value) -> EvidenceItem {
    let reference = reference(object);
    EvidenceItem {
        id: format!("object/{}/{}", reference.kind, reference.name),
        content: Some(Content::Object(KubernetesObject {
            r#ref: Some(reference),
            json: kept.to_string().into_bytes(),
        })),
    }
}

/// An event.
pub(crate) fn event(event: KubernetesEvent) -> EvidenceItem {
    EvidenceItem {
        id: format!("event/{}", event.uid),
        content: Some(Content::Event(event)),
    }
}

/// A log that the node still has; `name` is `POD/CONTAINER/current` or `POD/CONTAINER/previous`.
pub(crate) fn log(name: &str, chunk: LogChunk) -> EvidenceItem {
    EvidenceItem {
        id: format!("log/{name}"),
        content: Some(Content::Log(chunk)),
    }
}

/// A log that Loki has.
pub(crate) fn loki(chunk: LogChunk) -> EvidenceItem {
    let pod = chunk
        .pod
        .as_ref()
        .map(|pod| pod.name.clone())
        .unwrap_or_default();
    EvidenceItem {
        id: format!("loki/{pod}/{}", chunk.container),
        content: Some(Content::Log(chunk)),
    }
}

/// What the last rollout changed.
pub(crate) fn change(change: RolloutChange) -> EvidenceItem {
    let workload = change.workload.clone().unwrap_or_default();
    EvidenceItem {
        id: format!("change/{}/{}", workload.kind, workload.name),
        content: Some(Content::Change(change)),
    }
}

/// A node.
pub(crate) fn node(state: NodeState) -> EvidenceItem {
    let name = state
        .r#ref
        .as_ref()
        .map(|node| node.name.clone())
        .unwrap_or_default();
    EvidenceItem {
        id: format!("node/{name}"),
        content: Some(Content::Node(state)),
    }
}

/// What could not be collected from a source, and why.
pub(crate) fn note(source: &str, text: &str) -> EvidenceItem {
    let end = text.floor_char_boundary(MAX_NOTE_BYTES);
    EvidenceItem {
        id: format!("note/{source}"),
        content: Some(Content::Note(Note {
            source: source.to_owned(),
            text: text.get(..end).unwrap_or_default().to_owned(),
        })),
    }
}

/// Makes ids unique: the second item of an id gets `#2`, and so on.
pub(crate) fn number_ids(items: &mut [EvidenceItem]) {
    let mut seen = std::collections::HashMap::<String, usize>::new();
    for item in items {
        let count = seen.entry(item.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            item.id = format!("{}#{count}", item.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(item: &EvidenceItem) -> Value {
        let Some(Content::Object(object)) = &item.content else {
            panic!("not an object: {item:?}")
        };
        serde_json::from_slice(&object.json).unwrap()
    }

    #[test]
    fn objects_keep_their_status_and_lose_their_managers() {
        let item = object(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": "shop", "uid": "u", "managedFields": [{"manager": "x"}],
                "annotations": {LAST_APPLIED: "{}", "a": "b"}},
            "spec": {"replicas": 1}, "status": {"replicas": 1},
        }));
        assert_eq!(item.id, "object/Deployment/api");
        assert_eq!(
            json_of(&item),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": "shop", "uid": "u", "annotations": {"a": "b"}},
                "spec": {"replicas": 1}, "status": {"replicas": 1},
            })
        );
    }

    #[test]
    fn replica_sets_lose_their_template() {
        let item = replica_set(&json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "api-1", "annotations": {"deployment.kubernetes.io/revision": "3", "x": "y"}},
            "spec": {"replicas": 2, "template": {"spec": {}}}, "status": {"readyReplicas": 1},
        }));
        let json = json_of(&item);
        assert_eq!(
            json["metadata"]["annotations"],
            json!({"deployment.kubernetes.io/revision": "3"})
        );
        assert_eq!(json["spec"], json!({"replicas": 2}));
        assert_eq!(json["status"]["readyReplicas"], 1);
    }

    #[test]
    fn ids_are_unique() {
        let mut items = vec![
            note("loki", "a"),
            note("loki", "b"),
            note("nodes", "c"),
            note("loki", "d"),
        ];
        number_ids(&mut items);
        let ids: Vec<_> = items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(
            ids,
            ["note/loki", "note/loki#2", "note/nodes", "note/loki#3"]
        );
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let item = note("x", &"é".repeat(600));
        let Some(Content::Note(note)) = item.content else {
            panic!("not a note")
        };
        assert_eq!(note.text.len(), 1024);
    }
}
