//! Who owns the touched fields.
//!
//! Two sources, because neither is enough: managedFields names the owners of what is there, also of
//! what a change would remove, which a server-side-apply dry run does not see; the dry run is the
//! API server's own judgement over everything else, and names manager and field in its conflict.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::edit::{Edits, child, pointer};
use crate::policy::{Override, Owners, is_gitops};
use crate::violation::{Name, Violation};

/// Annotations and labels that GitOps tools put on what they manage.
const GITOPS_MARKS: [&str; 5] = [
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "objectset.rio.cattle.io/id",
];

/// One conflict of a server-side-apply dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager; empty where the answer did not name one.
    pub manager: String,
    /// As the API server names it.
    pub field: String,
}

impl Conflict {
    /// Reads one cause of a conflict: `conflict with "manager" using apps/v1 at ...`.
    pub fn of_cause(message: &str, field: &str) -> Self {
        let manager = message.split('"').nth(1).unwrap_or_default();
        Self {
            manager: manager.to_owned(),
            field: field.to_owned(),
        }
    }
}

/// Judges the object as a whole: GitOps marks, a GitOps tool that manages any field of it (it would
/// put the others back too), and a controller that owns it.
pub fn check_object(live: &Value) -> Vec<Violation> {
    let metadata = &live["metadata"];
    let mut violations = Vec::new();
    for mark in GITOPS_MARKS {
        if metadata["annotations"]
            .get(mark)
            .or_else(|| metadata["labels"].get(mark))
            .is_some()
        {
            let detail = format!("the object carries {mark}: make the change in Git");
            violations.push(Violation::new(Name::GitopsManaged, detail));
        }
    }
    let managers = managers(live);
    for manager in managers.iter().filter(|it| is_gitops(it)) {
        let detail = format!("{manager:?} manages the object: make the change in Git");
        violations.push(Violation::new(Name::GitopsManaged, detail));
    }
    if managers.is_empty() {
        let detail = "nobody is named as the owner of any field (managedFields is empty)";
        violations.push(Violation::new(Name::OwnedByOther, detail));
    }
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    for owner in owners.filter(|owner| owner["controller"] == true) {
        let kind = owner["kind"].as_str().unwrap_or("object");
        let name = owner["name"].as_str().unwrap_or_default();
        let detail = format!("the object is controlled by {kind}/{name}: make the change there");
        violations.push(Violation::new(Name::ControlledByOther, detail));
    }
    violations
}

/// Everybody who manages a field of the object itself, each once.
fn managers(live: &Value) -> BTreeSet<&str> {
    let entries = live["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .filter(|entry| !is_of_subresource(entry))
        .filter_map(|entry| entry["manager"].as_str())
        .collect()
}

fn is_of_subresource(entry: &Value) -> bool {
    entry["subresource"]
        .as_str()
        .is_some_and(|name| !name.is_empty())
}

/// Judges the owners of the touched fields as managedFields names them; GitOps tools are judged with
/// the object as a whole.
pub fn check_managed_fields(owners: &Owners, live: &Value, edits: &Edits) -> Vec<Violation> {
    let mut found = BTreeSet::new();
    for entry in live["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if is_of_subresource(entry) {
            continue;
        }
        let manager = entry["manager"].as_str().unwrap_or_default();
        if is_gitops(manager) {
            continue;
        }
        let mut owned = Vec::new();
        collect(&entry["fieldsV1"], Some(live), &pointer(&[]), &mut owned);
        for edit in edits.iter() {
            if owned.iter().any(|path| overlap(path, edit.path.as_str())) {
                found.insert((manager.to_owned(), edit.path.to_string()));
            }
        }
    }
    found
        .iter()
        .filter_map(|(manager, field)| judge(owners, manager, field))
        .collect()
}

/// Judges the conflicts of the dry run.
pub fn check_conflicts(owners: &Owners, conflicts: &[Conflict]) -> Vec<Violation> {
    conflicts
        .iter()
        .filter_map(|it| judge(owners, &it.manager, &it.field))
        .collect()
}

fn judge(owners: &Owners, manager: &str, field: &str) -> Option<Violation> {
    let (name, advice) = match owners.judge(manager) {
        Override::Allowed => return None,
        Override::Gitops => (Name::GitopsManaged, "make the change in Git"),
        Override::Refused => (
            Name::OwnedByOther,
            "allow it in owners.overridable if it may be overridden",
        ),
    };
    Some(Violation::new(
        name,
        format!("{manager:?} owns {field}: {advice}"),
    ))
}

/// Judges an owner that a violation names, as [`check_managed_fields`] and [`check_conflicts`] write it,
/// once more: nothing when it may be overridden now. `None` when the text names no owner of a field.
pub fn judge_again(owners: &Owners, detail: &str) -> Option<Vec<Violation>> {
    let (manager, rest) = detail.strip_prefix('"')?.split_once("\" owns ")?;
    let (field, _) = rest.rsplit_once(": ")?;
    // A name that had to be escaped is nobody's that a policy could name.
    (!manager.contains('\\')).then(|| judge(owners, manager, field).into_iter().collect())
}

fn overlap(one: &str, other: &str) -> bool {
    let is_above = |above: &str, below: &str| {
        below
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_above(one, other) || is_above(other, one)
}

/// Turns a `fieldsV1` tree into the JSON pointers of its leaves, with the indices of the live object
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>). Paths that are not there
/// cannot be touched and are left out.
fn collect(
    fields: &Value,
    live: Option<&Value>,
    path: &json_patch::jsonptr::PointerBuf,
    owned: &mut Vec<String>,
) {
    let Some(live) = live else { return };
    let children = fields.as_object().filter(|children| !children.is_empty());
    let Some(children) = children else {
        owned.push(path.to_string());
        return;
    };
    for (key, below) in children {
        let Some(token) = token(key, live) else {
            continue;
        };
        let step = match live {
            Value::Array(_) => token
                .parse::<usize>()
                .ok()
                .and_then(|index| live.get(index)),
            _ => live.get(&token),
        };
        collect(below, step, &child(path, &token), owned);
    }
}

fn token(key: &str, live: &Value) -> Option<String> {
    let (kind, rest) = key.split_once(':')?;
    let position = |matches: &dyn Fn(&Value) -> bool| {
        live.as_array()?
            .iter()
            .position(matches)
            .map(|index| index.to_string())
    };
    match kind {
        "f" | "i" => Some(rest.to_owned()),
        "v" => {
            let value: Value = serde_json::from_str(rest).ok()?;
            position(&|element| *element == value)
        }
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            position(&|element| {
                keys.iter()
                    .all(|(key, value)| element.get(key) == Some(value))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owners(names: &[&str]) -> Owners {
        Owners {
            overridable: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn live(manager: &str, fields: &Value) -> Value {
        json!({
            "metadata": {"managedFields": [
                {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": fields},
                {"manager": manager, "operation": "Update", "fieldsV1": fields},
            ]},
            "spec": {"template": {
                "metadata": {"annotations": {"a/b": "1"}},
                "spec": {"containers": [
                    {"name": "side", "image": "s:1"},
                    {"name": "app", "image": "a:1", "args": ["-x"], "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                ]},
            }},
        })
    }

    fn container(fields: &Value) -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": fields,
        }}}}})
    }

    fn edit(path: &str, before: &Value, after: &Value) -> Edits {
        let path = json_patch::jsonptr::PointerBuf::parse(path).unwrap();
        Edits::between(&path, Some(before), Some(after))
    }

    #[test]
    fn touched_fields_are_matched_with_their_owners() {
        let image = edit(
            "/spec/template/spec/containers/1/image",
            &json!("a:1"),
            &json!("a:2"),
        );
        let args = edit(
            "/spec/template/spec/containers/1/args",
            &json!(["-x"]),
            &json!(["-y"]),
        );
        let all = edit("/spec/template/spec/containers", &json!([1]), &json!([]));
        let annotation = edit(
            "/spec/template/metadata/annotations/a~1b",
            &json!("1"),
            &json!("2"),
        );
        let cases = [
            (container(&json!({".": {}, "f:image": {}})), &image, true),
            (container(&json!({".": {}, "f:name": {}})), &image, false),
            (container(&json!({"f:args": {}})), &args, true),
            (container(&json!({"f:image": {}})), &args, false),
            (container(&json!({"f:image": {}})), &all, true),
            (container(&json!({})), &image, true),
            (
                container(
                    &json!({"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:protocol": {}}}}),
                ),
                &all,
                true,
            ),
            (
                json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:a/b": {}}}}}}),
                &annotation,
                true,
            ),
            (json!({"f:spec": {"f:replicas": {}}}), &image, false),
            (
                json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"side\"}": {"f:image": {}}}}}}}),
                &image,
                false,
            ),
        ];
        for (fields, edits, is_owned) in cases {
            let found = check_managed_fields(&owners(&[]), &live("other", &fields), edits);
            assert_eq!(!found.is_empty(), is_owned, "{fields} {edits:?}");
            if is_owned {
                assert!(found.iter().all(|it| it.name == Name::OwnedByOther));
            }
            let allowed = check_managed_fields(&owners(&["oth*"]), &live("other", &fields), edits);
            assert!(allowed.is_empty());
        }
    }

    #[test]
    fn gitops_marks_and_controllers_are_respected() {
        let object = |metadata: Value| {
            let mut object = live("kubectl", &json!({"f:spec": {"f:replicas": {}}}));
            let all = object["metadata"].as_object_mut().unwrap();
            all.extend(metadata.as_object().unwrap().clone());
            check_object(&object)
        };
        assert!(object(json!({})).is_empty());
        let marked = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}});
        assert_eq!(object(marked)[0].name, Name::GitopsManaged);
        let found = object(json!({"ownerReferences": [
            {"kind": "Owner", "name": "o", "controller": false},
            {"kind": "App", "name": "web", "controller": true},
        ]}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, Name::ControlledByOther);
    }

    #[test]
    fn a_gitops_tool_that_manages_any_field_manages_the_object() {
        let fields = json!({"f:spec": {"f:replicas": {}}});
        let argo = live("argocd-application-controller", &fields);
        let found = check_object(&argo);
        assert_eq!(found[0].name, Name::GitopsManaged);
        assert!(found[0].detail.contains("argocd-application-controller"));
        // It is named once, also where it owns the very field.
        let replicas = edit("/spec/replicas", &json!(1), &json!(2));
        assert!(check_managed_fields(&owners(&["argocd*"]), &argo, &replicas).is_empty());
        let elsewhere = json!([
            {"manager": "argocd-controller", "subresource": "status", "fieldsV1": {}},
            {"manager": "kubectl-create", "fieldsV1": fields},
        ]);
        let mut object = live("", &fields);
        object["metadata"]["managedFields"] = elsewhere;
        assert!(check_object(&object).is_empty());
    }

    #[test]
    fn an_object_without_owners_is_nobodys_to_change() {
        for fields in [Value::Null, json!([]), json!([{}])] {
            let object = json!({"metadata": {"managedFields": fields}});
            assert_eq!(check_object(&object)[0].name, Name::OwnedByOther);
        }
    }

    #[test]
    fn conflicts_name_their_manager_and_a_nameless_one_is_refused() {
        let field = ".spec.template.spec.containers[name=\"app\"].image";
        let read = |message| Conflict::of_cause(message, field);
        let argo = read("conflict with \"argocd-controller\" using apps/v1");
        assert_eq!(argo.manager, "argocd-controller");
        let kubectl = read("conflict with \"kubectl-set\" using apps/v1 at 2026-01-01T00:00:00Z");
        let nameless = read("conflict");
        let found = check_conflicts(&owners(&["kubectl*"]), &[argo, kubectl, nameless]);
        let names: Vec<_> = found.iter().map(|it| it.name).collect();
        assert_eq!(names, [Name::GitopsManaged, Name::OwnedByOther]);
    }

    #[test]
    fn an_owner_on_record_is_judged_by_another_policy() {
        let strict = owners(&[]);
        let written = judge(&strict, "helm", "/spec/template/spec/containers/0/image").unwrap();
        let again = |names: &[&str]| judge_again(&owners(names), &written.detail);
        assert_eq!(again(&["helm"]), Some(Vec::new()));
        assert_eq!(again(&["kubectl*"]), Some(vec![written.clone()]));
        let gitops = judge(&strict, "argocd-controller", "/spec").unwrap();
        assert_eq!(
            judge_again(&owners(&["argocd*"]), &gitops.detail),
            Some(vec![gitops])
        );
        assert_eq!(judge_again(&strict, "nobody is named"), None);
    }
}
