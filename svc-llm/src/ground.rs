//! The mechanical check that a diagnosis rests on the evidence, and the excerpts that show it.
//!
//! A citation counts if the item exists and the quote occurs in it: as text for logs, events, nodes and
//! notes, as a JSON pointer that resolves for objects, as the path of a change for rollouts. A remedy
//! counts if what it touches was seen. What fails is dropped, never shown as fact and never applied.

use bonesetter_proto::node_lines;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Citation, Diagnosis, Remedy};
use bonesetter_redact::has_placeholder;

use crate::case::Case;
use crate::remedy::{MAX_MEMORY_FACTOR, describe};

mod excerpt;

pub(crate) use excerpt::excerpts;

/// Confidence of a diagnosis none of whose citations holds.
const UNGROUNDED: f64 = 0.2;
/// A shorter quote occurs anywhere and proves nothing.
const SHORTEST_QUOTE: usize = 3;

/// Drops citations and a remedy that the evidence does not bear, and says so.
pub(crate) fn ground(case: &Case<'_>, mut diagnosis: Diagnosis) -> Diagnosis {
    let cited = diagnosis.citations.len();
    diagnosis
        .citations
        .retain(|citation| is_grounded(case, citation));
    let dropped = cited - diagnosis.citations.len();
    if dropped > 0 {
        let note = format!(
            " ({dropped} of {cited} citations could not be found in the evidence and were dropped.)"
        );
        diagnosis.root_cause.push_str(&note);
    }
    if diagnosis.citations.is_empty() {
        diagnosis.confidence = diagnosis.confidence.min(UNGROUNDED);
    }
    if let Some(remedy) = diagnosis.remedy.take() {
        match objection(case, &remedy, &diagnosis) {
            None => diagnosis.remedy = Some(remedy),
            Some(objection) => {
                let what = describe(&remedy);
                let note = format!(" (Not offered as a change: {what}, because {objection}.)");
                diagnosis.recommendation.push_str(&note);
            }
        }
    }
    diagnosis
}

/// Whether a citation points at something that is there.
pub(crate) fn is_grounded(case: &Case<'_>, citation: &Citation) -> bool {
    let quote = citation.quote.as_str();
    if quote.trim().len() < SHORTEST_QUOTE {
        return false;
    }
    let items = &case.evidence().items;
    let Some(item) = items.iter().find(|item| item.id == citation.evidence_id) else {
        return false;
    };
    match &item.content {
        Some(Content::Object(_)) => {
            let object = case.objects().iter().find(|object| object.id == item.id);
            quote.starts_with('/')
                && object.is_some_and(|object| object.json.pointer(quote).is_some())
        }
        Some(Content::Change(change)) => change.changes.iter().any(|field| field.path == quote),
        Some(Content::Event(event)) => event.message.contains(quote) || event.reason == quote,
        Some(Content::Log(log)) => log.lines.iter().any(|line| line.text.contains(quote)),
        Some(Content::Node(node)) => node_lines(node).iter().any(|line| line.contains(quote)),
        Some(Content::Note(note)) => note.text.contains(quote),
        None => false,
    }
}

/// Whether a placeholder stands in what a change would be made of; svc-actuator looks again, at what it
/// would write.
fn names_redacted_value(remedy: &Remedy) -> bool {
    let object = remedy.target.iter().filter_map(|it| it.object.as_ref());
    let named = object.flat_map(|object| [&object.namespace, &object.name]);
    let container = match &remedy.fix {
        Some(Fix::SetMemory(fix)) => Some(&fix.container),
        Some(Fix::RollBack(_)) | None => None,
    };
    named.chain(container).any(|text| has_placeholder(text))
}

/// Why a remedy may not be offered; `None` if it may.
fn objection(case: &Case<'_>, remedy: &Remedy, diagnosis: &Diagnosis) -> Option<&'static str> {
    let Some(target) = case.target() else {
        return Some("the evidence names nothing to act on");
    };
    let object = target.object.as_ref();
    if object.is_none_or(|object| object.uid.is_empty() || object.name.is_empty()) {
        return Some("the evidence names nothing to act on");
    }
    if remedy.target.as_ref() != Some(target) {
        return Some("it is about another object than the incident");
    }
    if names_redacted_value(remedy) {
        return Some("it names a value that was redacted");
    }
    if diagnosis.citations.is_empty() {
        return Some("nothing in the evidence supports the cause");
    }
    match &remedy.fix {
        None => Some("it changes nothing"),
        Some(Fix::RollBack(fix)) => {
            let change = case.rollout().map(|rollout| rollout.change);
            let was_seen = change.is_some_and(|change| {
                fix.to_revision > 0
                    && change.from_revision == fix.to_revision
                    && change.to_revision == target.revision
                    && change.from_revision_was_healthy
            });
            (!was_seen).then_some("the evidence does not show that revision as healthy")
        }
        Some(Fix::SetMemory(fix)) => {
            let containers = case.template_containers();
            let seen = containers
                .iter()
                .find(|container| container.name == fix.container);
            let Some(limit) = seen.and_then(crate::case::Container::memory_limit) else {
                return Some("the evidence shows no such container with a memory limit");
            };
            let failing = case.failing();
            let was_killed = failing
                .iter()
                .any(|container| container.name == fix.container && container.is_oom_killed());
            let in_bounds = fix.limit > limit
                && limit
                    .checked_mul(MAX_MEMORY_FACTOR)
                    .is_some_and(|most| fix.limit <= most)
                && fix.request <= fix.limit;
            if !was_killed {
                return Some("the container was not killed for memory");
            }
            (!in_bounds).then_some("the limit is out of bounds")
        }
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{FailureClass, RollBack, SetMemory, Target};
    use serde_json::json;

    use super::*;
    use crate::case::cite;
    use crate::fixture::{Fixture, crash_loop};

    fn fixture() -> Fixture {
        let resources = json!({ "limits": { "memory": "64Mi" } });
        Fixture::deployment("web", &json!({ "name": "app", "resources": resources }))
            .pod(&crash_loop("OOMKilled", 137))
            .event("BackOff", "Back-off restarting failed container")
            .log(true, &["first", "the killing line"])
            .rollout(1, 2, true, &[("/spec/containers/0/image", "1", "2")])
            .node("n1", &[("cpu", "2")], &["a=b:NoSchedule"])
    }

    #[test]
    fn quotes_count_where_they_occur_and_nowhere_else() {
        let evidence = fixture().build();
        let case = Case::over(&evidence, FailureClass::OomKilled);
        let log = "log/web-6d9f-x1/app/previous";
        for (id, quote, holds) in [
            (log, "killing line", true),
            (log, "first\nthe killing", false),
            (log, "invented", false),
            (log, " ", false),
            ("event/e2", "restarting failed", true),
            ("event/e2", "BackOff", true),
            ("event/e3", "restarting failed", false),
            (
                "object/Deployment/web",
                "/spec/template/spec/containers/0/name",
                true,
            ),
            ("object/Deployment/web", "/spec/replicas", false),
            ("object/Deployment/web", "app", false),
            ("object/Deployment/web", "", false),
            ("change/Deployment/web", "/spec/containers/0/image", true),
            ("change/Deployment/web", "/spec/containers/0", false),
            ("node/n1", "allocatable cpu: 2", true),
            ("node/n1", "taint a=b:NoSchedule", true),
            ("node/n1", "allocatable cpu: 64", false),
        ] {
            assert_eq!(
                is_grounded(&case, &cite(id, quote)),
                holds,
                "{id} {quote:?}"
            );
        }
    }

    #[test]
    fn a_remedy_counts_only_for_what_was_seen() {
        let evidence = fixture().build();
        let case = Case::over(&evidence, FailureClass::OomKilled);
        let target = evidence.target.clone().unwrap();
        let other = Target {
            template_digest: "e".repeat(64),
            ..target.clone()
        };
        let memory = |container: &str, limit, request| {
            Some(Fix::SetMemory(SetMemory {
                container: container.to_owned(),
                limit,
                request,
            }))
        };
        let back = |to_revision| Some(Fix::RollBack(RollBack { to_revision }));
        let mib = 1 << 20;
        for (target, fix, holds) in [
            (Some(target.clone()), back(1), true),
            (Some(target.clone()), back(2), false),
            (Some(target.clone()), back(-1), false),
            (Some(other), back(1), false),
            (None, back(1), false),
            (Some(target.clone()), None, false),
            (Some(target.clone()), memory("app", 128 * mib, 0), true),
            (
                Some(target.clone()),
                memory("app", 256 * mib, 256 * mib),
                true,
            ),
            (Some(target.clone()), memory("app", 257 * mib, 0), false),
            (Some(target.clone()), memory("app", 64 * mib, 0), false),
            (
                Some(target.clone()),
                memory("app", 128 * mib, 129 * mib),
                false,
            ),
            (Some(target.clone()), memory("sidecar", 128 * mib, 0), false),
            (
                Some(target.clone()),
                memory("<name:k3f9q2>", 128 * mib, 0),
                false,
            ),
        ] {
            let remedy = Remedy {
                target,
                fix,
                rationale: String::new(),
            };
            let diagnosis = Diagnosis {
                citations: vec![cite("event/e2", "BackOff")],
                remedy: Some(remedy.clone()),
                ..Diagnosis::default()
            };
            let kept = ground(&case, diagnosis);
            assert_eq!(kept.remedy.is_some(), holds, "{remedy:?}");
            assert_eq!(kept.recommendation.contains("Not offered"), !holds);
        }
    }

    #[test]
    fn without_a_citation_that_holds_nothing_is_offered_or_believed() {
        let evidence = fixture().build();
        let case = Case::over(&evidence, FailureClass::OomKilled);
        let mut diagnosis = crate::rules::diagnose(&case);
        assert!(diagnosis.remedy.is_some());
        diagnosis.citations = vec![cite("event/none", "BackOff")];
        let kept = ground(&case, diagnosis);
        assert!(
            kept.remedy.is_none() && kept.citations.is_empty() && kept.confidence <= UNGROUNDED
        );
    }
}
