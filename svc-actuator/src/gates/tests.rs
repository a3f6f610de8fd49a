use std::collections::BTreeSet;
use std::fmt::Write as _;

use bonesetter_proto::v1::{ObjectRef, RollBack};
use serde_json::json;

use super::*;
use crate::policy::Owners;
use crate::render::{REVISION, mark, render};

const MIB: u64 = 1 << 20;
const BOUNDS: MemoryBounds = MemoryBounds {
    max_factor: 4,
    max_bytes: 4096 * MIB,
};

fn names(violations: &[Violation]) -> Vec<&'static str> {
    violations
        .iter()
        .map(|violation| violation.name.as_str())
        .collect()
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn policy(mode: Mode, namespaces: &[&str]) -> Policy {
    let auto_apply_namespaces: BTreeSet<_> = namespaces.iter().map(|it| namespace(it)).collect();
    Policy {
        mode,
        auto_apply_namespaces,
        memory: BOUNDS,
        owners: Owners::default(),
    }
}

fn target(kind: &str, namespace: &str) -> Target {
    let api_version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    let object = ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: "web".to_owned(),
        uid: "u-1".to_owned(),
    };
    Target {
        object: Some(object),
        template_digest: "d".to_owned(),
        revision: 2,
    }
}

fn roll_back() -> Fix {
    Fix::RollBack(RollBack { to_revision: 1 })
}

fn set_memory(limit: u64, request: u64) -> Fix {
    Fix::SetMemory(SetMemory {
        container: "app".to_owned(),
        limit,
        request,
    })
}

fn remedy(target: &Target, fix: Option<Fix>) -> Remedy {
    Remedy {
        target: Some(target.clone()),
        fix,
        rationale: String::new(),
    }
}

/// Mode, kind, fix and namespace: everything that is decided before the object is read.
#[test]
fn policy_matrix() {
    let mut matrix =
        String::from("mode     kind         fix          namespace    -> violations\n");
    for mode in [Mode::Suggest, Mode::Auto] {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod"] {
            for fix in ["none", "roll-back", "set-memory"] {
                for place in ["listed", "other", "kube-system"] {
                    let target = target(kind, place);
                    let fix_of = match fix {
                        "roll-back" => Some(roll_back()),
                        "set-memory" => Some(set_memory(MIB, 0)),
                        _ => None,
                    };
                    let remedy = remedy(&target, fix_of);
                    let namespace = namespace(place);
                    let claim = Claim {
                        namespace: Some(&namespace),
                        owner: target.object.as_ref(),
                        target: Some(&target),
                        remedy: Some(&remedy),
                    };
                    let policy = policy(mode, &["listed", "kube-system"]);
                    let found = names(&check_policy(&policy, &claim)).join(", ");
                    let found = if found.is_empty() {
                        "allowed".to_owned()
                    } else {
                        found
                    };
                    let mode = if mode == Mode::Auto {
                        "auto"
                    } else {
                        "suggest"
                    };
                    writeln!(matrix, "{mode:8} {kind:12} {fix:12} {place:12} -> {found}").unwrap();
                }
            }
        }
    }
    insta::assert_snapshot!("policy_matrix", matrix);
}

#[test]
fn no_namespace_is_allowed_by_default() {
    let target = target("Deployment", "shop");
    let remedy = remedy(&target, Some(roll_back()));
    let shop = namespace("shop");
    let claim = Claim {
        namespace: Some(&shop),
        owner: target.object.as_ref(),
        target: Some(&target),
        remedy: Some(&remedy),
    };
    let found = check_policy(&policy(Mode::Auto, &[]), &claim);
    assert_eq!(names(&found), ["namespace-not-allowed"]);
    let nowhere = Claim {
        namespace: None,
        ..claim
    };
    let found = check_policy(&policy(Mode::Auto, &["shop"]), &nowhere);
    assert_eq!(names(&found), ["namespace-not-allowed", "target-mismatch"]);
}

#[test]
fn a_remedy_for_anything_but_the_diagnosed_object_is_refused() {
    let right = target("Deployment", "shop");
    let object = |change: &dyn Fn(&mut ObjectRef)| {
        let mut target = right.clone();
        change(target.object.as_mut().unwrap());
        target
    };
    let cases = [
        ("name", object(&|it| "other".clone_into(&mut it.name))),
        (
            "namespace",
            object(&|it| "other".clone_into(&mut it.namespace)),
        ),
        ("uid", object(&|it| "u-2".clone_into(&mut it.uid))),
        (
            "digest",
            Target {
                template_digest: "e".to_owned(),
                ..right.clone()
            },
        ),
        (
            "revision",
            Target {
                revision: 3,
                ..right.clone()
            },
        ),
        (
            "object",
            Target {
                object: None,
                ..right.clone()
            },
        ),
    ];
    let shop = namespace("shop");
    let policy = policy(Mode::Auto, &["shop"]);
    for (what, wrong) in &cases {
        let remedy = remedy(wrong, Some(roll_back()));
        let claim = Claim {
            namespace: Some(&shop),
            owner: right.object.as_ref(),
            target: Some(&right),
            remedy: Some(&remedy),
        };
        let found = names(&check_policy(&policy, &claim));
        assert!(found.contains(&"target-mismatch"), "{what}: {found:?}");
    }
    // Both name the same, but it is not bound, of another namespace, or no name at all.
    let unbound = [
        object(&|it| it.uid.clear()),
        Target {
            template_digest: String::new(),
            ..right.clone()
        },
        object(&|it| "other".clone_into(&mut it.namespace)),
        object(&|it| "../secrets/x".clone_into(&mut it.name)),
        object(&|it| it.name.clear()),
    ];
    for target in &unbound {
        let remedy = remedy(target, Some(roll_back()));
        let claim = Claim {
            namespace: Some(&shop),
            owner: target.object.as_ref(),
            target: Some(target),
            remedy: Some(&remedy),
        };
        assert_eq!(
            names(&check_policy(&policy, &claim)),
            ["target-mismatch"],
            "{target:?}"
        );
    }
}

/// A diagnosis and its remedy may agree on an object, and it is still not the one that fails.
#[test]
fn a_diagnosis_of_anything_but_what_fails_is_refused() {
    let target = target("Deployment", "shop");
    let remedy = remedy(&target, Some(roll_back()));
    let other = ObjectRef {
        uid: "u-9".to_owned(),
        ..target.object.clone().unwrap()
    };
    let shop = namespace("shop");
    for owner in [Some(&other), None] {
        let claim = Claim {
            namespace: Some(&shop),
            owner,
            target: Some(&target),
            remedy: Some(&remedy),
        };
        let found = check_policy(&policy(Mode::Auto, &["shop"]), &claim);
        assert_eq!(names(&found), ["target-mismatch"]);
    }
}

#[test]
fn the_live_object_must_be_the_diagnosed_one() {
    let target = target("Deployment", "shop");
    let cases = [
        (
            json!({"metadata": {"uid": "u-1"}, "spec": {"replicas": 1}}),
            "d",
            vec![],
        ),
        (
            json!({"metadata": {"uid": "u-2"}}),
            "d",
            vec!["target-replaced"],
        ),
        (json!({"metadata": {}}), "d", vec!["target-replaced"]),
        (
            json!({"metadata": {"uid": "u-1"}}),
            "e",
            vec!["target-changed"],
        ),
        (
            json!({"metadata": {"uid": "u-1"}, "spec": {"paused": true}}),
            "d",
            vec!["rollout-paused"],
        ),
        (
            json!({"metadata": {"uid": "u-1"}, "spec": {"replicas": 0}}),
            "d",
            vec!["scaled-to-zero"],
        ),
        (
            json!({"metadata": {"uid": "u-1", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            "d",
            vec!["target-missing"],
        ),
    ];
    for (live, digest, expected) in cases {
        assert_eq!(
            names(&check_target(&target, &live, digest)),
            expected,
            "{live}"
        );
    }
}

fn live(limit: Option<&str>, request: Option<&str>) -> Value {
    let mut resources = json!({});
    for (which, value) in [("limits", limit), ("requests", request)] {
        if let Some(value) = value {
            resources[which] = json!({"memory": value});
        }
    }
    json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": resources}]}}}})
}

#[test]
fn memory_bounds() {
    let cases = [
        (Some("64Mi"), None, 64 * MIB + 1, 0, vec![]),
        (Some("64Mi"), None, 256 * MIB, 0, vec![]),
        (
            Some("64Mi"),
            None,
            256 * MIB + 1,
            0,
            vec!["memory-above-factor"],
        ),
        (Some("64Mi"), None, 64 * MIB - 1, 0, vec!["memory-lowered"]),
        (Some("64Mi"), None, 0, 0, vec!["memory-lowered"]),
        (Some("2Gi"), None, 4096 * MIB, 0, vec![]),
        (
            Some("2Gi"),
            None,
            4096 * MIB + 1,
            0,
            vec!["memory-above-maximum"],
        ),
        (
            Some("2Gi"),
            None,
            u64::MAX,
            u64::MAX,
            vec!["memory-above-maximum", "memory-above-factor"],
        ),
        (Some("64M"), None, 256_000_000, 0, vec![]),
        (Some("64M"), None, 256 * MIB, 0, vec!["memory-above-factor"]),
        (
            Some("0.5Gi"),
            None,
            512 * MIB - 1,
            0,
            vec!["memory-lowered"],
        ),
        (Some("1500m"), None, 8, 0, vec![]),
        (Some("1500m"), None, 9, 0, vec!["memory-above-factor"]),
        (None, None, 64 * MIB, 0, vec!["memory-unlimited"]),
        (Some("0"), None, 64 * MIB, 0, vec!["memory-unlimited"]),
        (Some("junk"), None, 64 * MIB, 0, vec!["memory-unlimited"]),
        (Some("64Mi"), Some("64Mi"), 128 * MIB, 128 * MIB, vec![]),
        (
            Some("64Mi"),
            Some("64Mi"),
            128 * MIB,
            129 * MIB,
            vec!["request-above-limit"],
        ),
        (
            Some("64Mi"),
            Some("64Mi"),
            128 * MIB,
            32 * MIB,
            vec!["memory-lowered"],
        ),
        (
            Some("64Mi"),
            Some("200Mi"),
            128 * MIB,
            0,
            vec!["request-above-limit"],
        ),
    ];
    for (limit, request, wanted, wanted_request, expected) in cases {
        let fix = set_memory(wanted, wanted_request);
        let mut found = check_limits(&BOUNDS, &fix);
        found.extend(check_bounds(&BOUNDS, &fix, &live(limit, request)));
        let found = names(&found);
        assert_eq!(
            found, expected,
            "{limit:?} {request:?} -> {wanted} {wanted_request}"
        );
    }
}

#[test]
fn a_placeholder_never_reaches_the_cluster() {
    let set = |value: &str| {
        json!({
            "metadata": {"annotations": {REVISION: "1"}},
            "spec": {"template": {"spec": {"containers": [
                {"name": "app", "env": [{"name": "DSN", "value": value}], "resources": {}},
            ]}}},
        })
    };
    for (value, expected) in [("<secret:k3f9q2>", vec!["placeholder"]), ("plain", vec![])] {
        let rendered = render(&roll_back(), &live(None, None), &[set(value)]).unwrap();
        let found = check_placeholders(&rendered.edits);
        assert_eq!(names(&found), expected);
        assert!(found.iter().all(|it| !it.detail.contains(value)));
    }
}

#[test]
fn a_dry_run_that_does_anything_else_is_refused() {
    let mut before = live(Some("64Mi"), None);
    before["metadata"] = json!({"generation": 1, "resourceVersion": "1", "uid": "u-1"});
    let edits = render(&set_memory(128 * MIB, 0), &before, &[])
        .unwrap()
        .edits
        .and(mark(&before, "k"));
    let mut honest = before.clone();
    json_patch::patch(&mut honest, &edits.operations()).unwrap();
    honest["metadata"]["generation"] = json!(2);
    honest["metadata"]["managedFields"] = json!([{"manager": "bonesetter"}]);
    assert_eq!(names(&check_dry_run(&before, &honest, &edits)), [""; 0]);

    let container = "/spec/template/spec/containers/0";
    let lies = [
        (format!("{container}/image"), json!("sidecar:1")),
        (
            format!("{container}/resources/limits/memory"),
            json!("64Mi"),
        ),
        ("/spec/replicas".to_owned(), json!(5)),
        ("/metadata/labels".to_owned(), json!({"injected": "yes"})),
        ("/metadata/annotations/x".to_owned(), json!("y")),
        (
            "/spec/template/metadata".to_owned(),
            json!({"annotations": {"a": "b"}}),
        ),
    ];
    for (path, value) in lies {
        let mut lie = honest.clone();
        let (above, key) = path.rsplit_once('/').unwrap();
        lie.pointer_mut(above).unwrap()[key] = value;
        assert!(!check_dry_run(&before, &lie, &edits).is_empty(), "{path}");
    }
    let mut injected = honest.clone();
    let containers = injected
        .pointer_mut("/spec/template/spec/containers")
        .unwrap();
    containers
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "proxy"}));
    assert!(!check_dry_run(&before, &injected, &edits).is_empty());
}

#[test]
fn object_names() {
    for name in ["web", "web-1", "a.b", "0"] {
        assert!(is_object_name(name), "{name}");
    }
    for name in [
        "",
        "-a",
        "a-",
        "A",
        "a/b",
        "a..b",
        "..",
        "a?x=1",
        "a b",
        &"a".repeat(254),
    ] {
        assert!(!is_object_name(name), "{name}");
    }
}
