use std::collections::BTreeSet;

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{
    Diagnosis, EvidenceItem, Incident, KubernetesObject, ObjectRef, SetMemory,
};
use serde_json::json;

use super::*;
use crate::policy::{MemoryBounds, Mode, Owners};

const MIB: u64 = 1 << 20;

fn shop() -> Namespace {
    Namespace::new("shop").unwrap()
}

fn policy() -> Policy {
    Policy {
        mode: Mode::Auto,
        auto_apply_namespaces: BTreeSet::from([shop()]),
        memory: MemoryBounds {
            max_factor: 4,
            max_bytes: 1024 * MIB,
        },
        owners: Owners {
            overridable: vec!["kubectl*".to_owned()],
        },
    }
}

fn target() -> Target {
    Target {
        object: Some(ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "u".to_owned(),
        }),
        template_digest: "d".to_owned(),
        revision: 1,
    }
}

fn diagnosed(limit: u64) -> Diagnosed {
    let fix = Fix::SetMemory(SetMemory {
        container: "app".to_owned(),
        limit,
        request: 0,
    });
    let remedy = Remedy {
        target: Some(target()),
        fix: Some(fix),
        rationale: String::new(),
    };
    Diagnosed {
        incident: Some(Incident {
            root_owner: target().object,
            ..Incident::default()
        }),
        diagnosis: Some(Diagnosis {
            remedy: Some(remedy),
            ..Diagnosis::default()
        }),
        target: Some(target()),
        ..Diagnosed::default()
    }
}

fn evidence() -> Evidence {
    let container = json!({"name": "app", "resources": {"limits": {"memory": "64Mi"}}});
    let object =
        json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}}});
    Evidence {
        items: vec![EvidenceItem {
            id: "object/Deployment/web".to_owned(),
            content: Some(Content::Object(KubernetesObject {
                r#ref: target().object,
                json: object.to_string().into_bytes(),
            })),
        }],
        ..Evidence::default()
    }
}

/// What was decided on the remedy of [`diagnosed`], with these objections.
fn recorded(limit: u64, violations: &[(&str, &str)]) -> Recorded {
    let violation = |(name, detail): &(&str, &str)| v1::Violation {
        name: (*name).to_owned(),
        detail: (*detail).to_owned(),
    };
    Recorded {
        decision: v1::Decision {
            allowed: violations.is_empty(),
            violations: violations.iter().map(violation).collect(),
            ..v1::Decision::default()
        },
        remedy: diagnosed(limit).diagnosis.and_then(|it| it.remedy),
    }
}

#[test]
fn policy_is_judged_anew_and_the_cluster_of_that_moment_is_taken_from_the_record() {
    let suggest = ("mode-suggest", "changes are only suggested");
    let elsewhere = ("namespace-not-allowed", "shop is not in it");
    let helm = (
        "owned-by-other",
        "\"helm\" owns /spec/x: allow it in owners.overridable if it may be overridden",
    );
    let kubectl = ("owned-by-other", "\"kubectl\" owns /spec/x: allow it");
    let argo = (
        "gitops-managed",
        "\"argocd-controller\" owns /spec/x: make the change in Git",
    );
    let factor = ("memory-above-factor", "128Mi is more than 1 x 64Mi");
    let maximum = ("memory-above-maximum", "128Mi is more than 100Mi");
    let gone = ("target-missing", "the object is gone");
    let refused = ("api-refused", "quota");
    for (objections, verdict, left) in [
        (&[][..], Verdict::Apply, &[][..]),
        (&[suggest, elsewhere], Verdict::ApplyIfTried, &[]),
        (&[suggest, gone], Verdict::Suggest, &["target-missing"]),
        (&[refused], Verdict::Suggest, &["api-refused"]),
        (&[factor, maximum], Verdict::ApplyIfTried, &[]),
        (&[kubectl], Verdict::ApplyIfTried, &[]),
        (&[helm], Verdict::Suggest, &["owned-by-other"]),
        (&[argo], Verdict::Suggest, &["gitops-managed"]),
    ] {
        let recorded = recorded(128 * MIB, objections);
        let replayed = decide(
            &policy(),
            Some(&shop()),
            &diagnosed(128 * MIB),
            Some(&evidence()),
            Some(&recorded),
            false,
        );
        let names: Vec<&str> = replayed
            .violations
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(
            (replayed.verdict, &names[..]),
            (verdict, left),
            "{objections:?}"
        );
        assert!(!replayed.notes.is_empty());
    }
}

#[test]
fn a_stricter_policy_takes_changes_away() {
    let recorded = recorded(128 * MIB, &[]);
    let decided = |policy: &Policy, is_claimed, evidence: Option<&Evidence>| {
        let diagnosed = diagnosed(128 * MIB);
        let shop = shop();
        decide(
            policy,
            Some(&shop),
            &diagnosed,
            evidence,
            Some(&recorded),
            is_claimed,
        )
    };
    let names = |replayed: Replayed| -> Vec<String> {
        replayed.violations.into_iter().map(|it| it.name).collect()
    };
    let suggest = Policy {
        mode: Mode::Suggest,
        ..policy()
    };
    assert_eq!(names(decided(&suggest, false, None)), ["mode-suggest"]);
    let mut once = policy();
    once.memory.max_factor = 1;
    assert_eq!(
        names(decided(&once, false, Some(&evidence()))),
        ["memory-above-factor"]
    );
    let unknown = decided(&once, false, None);
    assert!(
        unknown
            .notes
            .iter()
            .any(|it| it.contains("not kept any more")),
        "{unknown:?}"
    );
    once.memory = MemoryBounds {
        max_factor: 4,
        max_bytes: MIB,
    };
    assert_eq!(names(decided(&once, false, None)), ["memory-above-maximum"]);
    assert_eq!(names(decided(&policy(), true, None)), ["already-intended"]);
}

#[test]
fn nothing_is_guessed_about_a_remedy_that_was_never_decided_on() {
    for recorded in [None, Some(recorded(96 * MIB, &[]))] {
        let replayed = decide(
            &policy(),
            Some(&shop()),
            &diagnosed(128 * MIB),
            Some(&evidence()),
            recorded.as_ref(),
            false,
        );
        assert_eq!(replayed.verdict, Verdict::ApplyIfTried);
        assert!(replayed.notes.iter().any(|it| it.contains("never asked")));
    }
    let nothing = decide(
        &policy(),
        Some(&shop()),
        &Diagnosed::default(),
        None,
        None,
        false,
    );
    assert_eq!(nothing.verdict, Verdict::Explain);
}
