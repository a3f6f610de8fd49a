//! Renders a typed remedy against the live object: what changes, and how it is taken back.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{RollBack, SetMemory};
use serde_json::{Map, Value, json};

use crate::edit::{Edits, pointer};
use crate::quantity::{format_bytes, parse_bytes};
use crate::violation::{Name, Violation};

/// Where the deployment controller writes the number of a revision.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Added to the template of every `ReplicaSet` by the deployment controller; never part of a Deployment.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// Set on the Deployment in the same write as the change, so that a crash between the write and its
/// record can be reconciled.
pub const EFFECT: &str = "bonesetter.dev/effect";

/// A remedy, rendered.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// What changes in the object, all of it under `/spec/template`.
    pub edits: Edits,
    /// The same as an apply configuration, which asks who owns the fields and is never stored.
    pub apply_configuration: Value,
}

/// Renders a fix against a Deployment and the `ReplicaSets` that it owns.
pub fn render(fix: &Fix, live: &Value, replica_sets: &[Value]) -> Result<Rendered, Violation> {
    let present = without_nulls(&live["spec"]["template"]);
    let (wanted, owned) = match fix {
        Fix::RollBack(fix) => {
            let template = former_template(*fix, replica_sets)?;
            (template.clone(), template)
        }
        Fix::SetMemory(fix) => with_memory(fix, &present)?,
    };
    let edits = Edits::between(
        &pointer(&["spec", "template"]),
        Some(&present),
        Some(&wanted),
    );
    if edits.is_empty() {
        return Err(Violation::new(
            Name::NoEffect,
            "the object already is as the remedy wants it",
        ));
    }
    let metadata = json!({
        "name": live["metadata"]["name"],
        "namespace": live["metadata"]["namespace"],
        "uid": live["metadata"]["uid"],
    });
    let apply_configuration = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"template": owned},
    });
    Ok(Rendered {
        edits,
        apply_configuration,
    })
}

/// The annotation that marks the object as changed by one effect, as a change of its own.
pub fn mark(live: &Value, effect_key: &str) -> Edits {
    let root = pointer(&["metadata", "annotations"]);
    let before = live.pointer("/metadata/annotations");
    let mut after = before
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    after.insert(EFFECT.to_owned(), Value::from(effect_key));
    Edits::between(&root, before, Some(&Value::Object(after)))
}

/// The effect that the object was last changed by.
pub fn effect_of(live: &Value) -> Option<&str> {
    live["metadata"]["annotations"][EFFECT].as_str()
}

/// The revision that a Deployment or `ReplicaSet` says it is.
pub fn revision_of(object: &Value) -> Option<i64> {
    object["metadata"]["annotations"][REVISION]
        .as_str()?
        .parse()
        .ok()
}

/// One container of a pod template, with the list that it stands in.
pub fn container<'a>(template: &'a Value, name: &str) -> Option<(&'static str, &'a Value)> {
    ["containers", "initContainers"]
        .into_iter()
        .find_map(|list| {
            let containers = template["spec"][list].as_array()?;
            let found = containers
                .iter()
                .find(|container| container["name"].as_str() == Some(name))?;
            Some((list, found))
        })
}

/// The bytes of `resources.<which>.memory` of a container.
pub fn memory(container: &Value, which: &str) -> Option<u64> {
    match &container["resources"][which]["memory"] {
        Value::String(text) => parse_bytes(text),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn former_template(fix: RollBack, replica_sets: &[Value]) -> Result<Value, Violation> {
    let revision = fix.to_revision;
    let set = replica_sets
        .iter()
        .find(|set| revision_of(set) == Some(revision))
        .ok_or_else(|| {
            let detail = format!("revision {revision} is not kept any more (revisionHistoryLimit)");
            Violation::new(Name::RevisionMissing, detail)
        })?;
    let mut template = without_nulls(&set["spec"]["template"]);
    if let Some(labels) = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove(TEMPLATE_HASH);
    }
    Ok(template)
}

/// The whole template with the new values, and the part of it that we would own.
fn with_memory(fix: &SetMemory, present: &Value) -> Result<(Value, Value), Violation> {
    let missing = || {
        let detail = format!("the pod template has no container {:?}", fix.container);
        Violation::new(Name::ContainerMissing, detail)
    };
    let (list, found) = container(present, &fix.container).ok_or_else(missing)?;
    let mut resources = Map::new();
    for (which, bytes) in [("limits", fix.limit), ("requests", fix.request)] {
        if bytes != 0 && memory(found, which) != Some(bytes) {
            resources.insert(which.to_owned(), json!({"memory": format_bytes(bytes)}));
        }
    }
    let mut wanted = present.clone();
    let target = wanted
        .pointer_mut(&format!("/spec/{list}"))
        .and_then(Value::as_array_mut)
        .and_then(|list| list.iter_mut().find(|c| c["name"] == found["name"]))
        .ok_or_else(missing)?;
    for (which, value) in &resources {
        let list = object_at(object_at(target, "resources"), which);
        list["memory"] = value["memory"].clone();
    }
    let owned = json!({"spec": {list: [{"name": fix.container, "resources": resources}]}});
    Ok((wanted, owned))
}

/// The object under a key of an object; put there where there is none.
fn object_at<'a>(parent: &'a mut Value, key: &str) -> &'a mut Value {
    let child = &mut parent[key];
    if !child.is_object() {
        *child = json!({});
    }
    child
}

/// The API server takes null for absent; so do we, or a null would look like a change.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                kept.map(|(key, value)| (key.clone(), without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(values) => Value::Array(values.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn deployment(template: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
            "spec": {"replicas": 1, "template": template},
        })
    }

    pub(crate) fn replica_set(revision: i64, template: &Value) -> Value {
        let mut template = template.clone();
        template["metadata"]["labels"][TEMPLATE_HASH] = json!("abc");
        json!({
            "metadata": {"annotations": {REVISION: revision.to_string()}},
            "spec": {"template": template},
        })
    }

    fn template(env: &str, limit: Option<&str>) -> Value {
        let resources = limit.map_or(json!({}), |limit| json!({"limits": {"memory": limit}}));
        json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [
                {"name": "side", "image": "s:1"},
                {"name": "app", "image": "a:1", "env": [{"name": "MODE", "value": env}], "resources": resources},
            ]},
        })
    }

    fn roll_back(to_revision: i64) -> Fix {
        Fix::RollBack(RollBack { to_revision })
    }

    fn set_memory(container: &str, limit: u64, request: u64) -> Fix {
        Fix::SetMemory(SetMemory {
            container: container.to_owned(),
            limit,
            request,
        })
    }

    fn apply(edits: &Edits, object: &Value) -> Value {
        let mut object = object.clone();
        json_patch::patch(&mut object, &edits.operations()).unwrap();
        object
    }

    #[test]
    fn roll_back_touches_what_differs_and_drops_the_hash_label() {
        let live = deployment(&template("bad", None));
        let sets = [
            replica_set(1, &template("good", None)),
            replica_set(2, &template("bad", None)),
        ];
        let rendered = render(&roll_back(1), &live, &sets).unwrap();
        assert_eq!(
            rendered.edits.fields(),
            ["/spec/template/spec/containers/1/env/0/value"]
        );
        let changed = apply(&rendered.edits, &live);
        assert_eq!(changed["spec"]["template"], template("good", None));
        assert_eq!(apply(&rendered.edits.inverse(), &changed), live);
        assert_eq!(
            rendered.apply_configuration["spec"]["template"],
            template("good", None)
        );
    }

    #[test]
    fn roll_back_to_nothing_or_to_the_same_is_no_change() {
        let live = deployment(&template("bad", None));
        let mut same = replica_set(2, &template("bad", None));
        same["spec"]["template"]["metadata"]["creationTimestamp"] = Value::Null;
        for (revision, name) in [(2, Name::NoEffect), (3, Name::RevisionMissing)] {
            let violation = render(&roll_back(revision), &live, &[same.clone()]).unwrap_err();
            assert_eq!(violation.name, name);
        }
    }

    #[test]
    fn set_memory_touches_one_container() {
        let live = deployment(&template("x", Some("64Mi")));
        let rendered = render(&set_memory("app", 128 << 20, 0), &live, &[]).unwrap();
        let limit = "/spec/template/spec/containers/1/resources/limits/memory";
        assert_eq!(rendered.edits.fields(), [limit]);
        assert_eq!(
            apply(&rendered.edits, &live).pointer(limit),
            Some(&json!("128Mi"))
        );
        assert_eq!(
            rendered.apply_configuration["spec"]["template"],
            json!({"spec": {"containers": [
                {"name": "app", "resources": {"limits": {"memory": "128Mi"}}},
            ]}}),
        );
        let rendered = render(&set_memory("app", 128 << 20, 96 << 20), &live, &[]).unwrap();
        let requests = "/spec/template/spec/containers/1/resources/requests";
        assert_eq!(rendered.edits.fields(), [limit, requests]);
    }

    #[test]
    fn set_memory_without_effect_or_container_is_no_change() {
        let live = deployment(&template("x", Some("65536Ki")));
        let cases = [
            (set_memory("app", 64 << 20, 0), Name::NoEffect),
            (set_memory("app", 0, 0), Name::NoEffect),
            (set_memory("App", 128 << 20, 0), Name::ContainerMissing),
            (set_memory("", 128 << 20, 0), Name::ContainerMissing),
        ];
        for (fix, name) in cases {
            assert_eq!(render(&fix, &live, &[]).unwrap_err().name, name, "{fix:?}");
        }
    }

    #[test]
    fn init_containers_are_found_after_containers() {
        let mut template = template("x", None);
        template["spec"]["initContainers"] = json!([{"name": "migrate"}]);
        let rendered = render(
            &set_memory("migrate", 1 << 30, 0),
            &deployment(&template),
            &[],
        );
        let fields = rendered.unwrap().edits.fields();
        assert_eq!(fields, ["/spec/template/spec/initContainers/0/resources"]);
    }

    #[test]
    fn the_mark_is_undone_with_the_change() {
        let bare = deployment(&template("x", None));
        let mut annotated = bare.clone();
        annotated["metadata"]["annotations"] = json!({"a": "b", EFFECT: "old"});
        for live in [bare, annotated] {
            let mark = mark(&live, "k");
            let marked = apply(&mark, &live);
            assert_eq!(effect_of(&marked), Some("k"));
            assert_eq!(apply(&mark.inverse(), &marked), live);
        }
    }

    fn any_template() -> impl Strategy<Value = Value> {
        let env = prop::collection::vec(("[A-C]", "[xy]{0,2}"), 0..3);
        let limit = prop::option::of(1..9_u64);
        (env, limit, prop::option::of("[a-c]"), any::<bool>()).prop_map(
            |(env, limit, args, has_sidecar)| {
                let env: Vec<_> = env
                    .iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                let mut app = json!({"name": "app", "env": env, "resources": {}});
                if let Some(limit) = limit {
                    app["resources"]["limits"] = json!({"memory": format!("{limit}Mi")});
                }
                if let Some(args) = args {
                    app["args"] = json!([args]);
                }
                let mut containers = vec![app];
                if has_sidecar {
                    containers.insert(0, json!({"name": "side"}));
                }
                json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}})
            },
        )
    }

    proptest! {
        #[test]
        fn every_change_with_its_mark_is_taken_back_exactly(
            live in any_template(),
            former in any_template(),
            limit in 1..20_u64,
            request in 0..20_u64,
        ) {
            let live = deployment(&live);
            for fix in [roll_back(1), set_memory("app", limit << 20, request << 20)] {
                let Ok(rendered) = render(&fix, &live, &[replica_set(1, &former)]) else { continue };
                let edits = rendered.edits.and(mark(&live, "k"));
                let changed = apply(&edits, &live);
                let is_ours = |field: &String| {
                    ["/spec/template", "/metadata/annotations"].iter().any(|it| field.starts_with(it))
                };
                prop_assert!(edits.fields().iter().all(is_ours));
                if matches!(fix, Fix::RollBack(_)) {
                    prop_assert_eq!(&changed["spec"]["template"], &former);
                }
                prop_assert_eq!(apply(&edits.inverse(), &changed), live.clone());
            }
        }
    }
}
