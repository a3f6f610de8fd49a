//! The evidence lines that a diagnosis cites, taken from the excerpts that were signed with it.

use bonesetter_proto::node_lines;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Citation, Diagnosed, EvidenceItem, FieldChange};
use serde::Serialize;
use serde_json::Value;

use crate::text;

/// Cited lines that are shown; a diagnosis rests on a few, not on many.
const MAX_LINES: usize = 6;
const MAX_CHARACTERS: usize = 400;

/// One line that people can check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CitedLine {
    /// Id of the evidence item, for example `log/cart-1/app/previous`.
    pub evidence_id: String,
    /// What stands there.
    pub text: String,
}

/// Every citation that the excerpts bear out, in the order of the diagnosis, each line once.
pub fn cited_lines(diagnosed: &Diagnosed) -> Vec<CitedLine> {
    let citations = diagnosed
        .diagnosis
        .iter()
        .flat_map(|diagnosis| &diagnosis.citations);
    let mut lines: Vec<CitedLine> = Vec::new();
    for citation in citations {
        let item = diagnosed
            .excerpts
            .iter()
            .find(|item| item.id == citation.evidence_id);
        let Some(found) = item.and_then(|item| cited_text(item, citation)) else {
            continue;
        };
        let line = CitedLine {
            evidence_id: text::line(&citation.evidence_id, 200),
            text: text::line(&found, MAX_CHARACTERS),
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.truncate(MAX_LINES);
    lines
}

/// What the citation points at; `None` when it is not there.
fn cited_text(item: &EvidenceItem, citation: &Citation) -> Option<String> {
    let quote = citation.quote.as_str();
    match item.content.as_ref()? {
        Content::Log(log) => log
            .lines
            .iter()
            .find(|line| line.text.contains(quote))
            .map(|line| line.text.clone()),
        Content::Event(event) => {
            let whole = format!("{}: {}", event.reason, event.message);
            whole.contains(quote).then_some(whole)
        }
        Content::Object(object) => {
            let value: Value = serde_json::from_slice(&object.json).ok()?;
            value
                .pointer(quote)
                .map(|value| format!("{quote} = {value}"))
        }
        Content::Change(change) => change
            .changes
            .iter()
            .find(|change| change.path == quote)
            .map(difference),
        Content::Node(node) => node_lines(node)
            .into_iter()
            .find(|line| line.contains(quote)),
        Content::Note(note) => note.text.contains(quote).then(|| note.text.clone()),
    }
}

/// What was there before and after. Of lists that are equally long, what differs: the arguments of a
/// container are many, and often one of them was changed.
fn difference(change: &FieldChange) -> String {
    let list = |json: &str| serde_json::from_str::<Vec<Value>>(json).ok();
    if let (Some(before), Some(after)) = (list(&change.before), list(&change.after))
        && before.len() == after.len()
        && before != after
    {
        let pairs = before.iter().zip(&after).enumerate();
        let differing: Vec<String> = pairs
            .filter(|(_, (before, after))| before != after)
            .map(|(index, (before, after))| format!("{}/{index}: {before} → {after}", change.path))
            .collect();
        return differing.join(", ");
    }
    format!(
        "{}: {} → {}",
        change.path,
        or_absent(&change.before),
        or_absent(&change.after)
    )
}

const fn or_absent(json: &str) -> &str {
    if json.is_empty() { "(absent)" } else { json }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{
        Diagnosis, KubernetesEvent, KubernetesObject, LogChunk, LogLine, NodeState, Note,
        RolloutChange,
    };

    use super::*;

    fn log(id: &str, lines: &[&str]) -> EvidenceItem {
        let lines = lines
            .iter()
            .map(|text| LogLine {
                text: (*text).to_owned(),
                ..LogLine::default()
            })
            .collect();
        let content = Content::Log(LogChunk {
            lines,
            ..LogChunk::default()
        });
        EvidenceItem {
            id: id.to_owned(),
            content: Some(content),
        }
    }

    fn item(id: &str, content: Content) -> EvidenceItem {
        EvidenceItem {
            id: id.to_owned(),
            content: Some(content),
        }
    }

    fn change(path: &str, before: &str, after: &str) -> FieldChange {
        FieldChange {
            path: path.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    fn lines(excerpts: Vec<EvidenceItem>, citations: &[(&str, &str)]) -> Vec<String> {
        let citations = citations
            .iter()
            .map(|(id, quote)| Citation {
                evidence_id: (*id).to_owned(),
                quote: (*quote).to_owned(),
            })
            .collect();
        let diagnosis = Diagnosis {
            citations,
            ..Diagnosis::default()
        };
        let diagnosed = Diagnosed {
            diagnosis: Some(diagnosis),
            excerpts,
            ..Diagnosed::default()
        };
        cited_lines(&diagnosed)
            .into_iter()
            .map(|line| format!("{}|{}", line.evidence_id, line.text))
            .collect()
    }

    #[test]
    fn each_kind_of_evidence_reads_as_a_line() {
        let excerpts = vec![
            log(
                "log/p/app/previous",
                &["starting", "FATAL: DB_URL is not set", "bye"],
            ),
            item(
                "event/1",
                Content::Event(KubernetesEvent {
                    reason: "BackOff".to_owned(),
                    message: "restarting".to_owned(),
                    ..KubernetesEvent::default()
                }),
            ),
            item(
                "object/Pod/p",
                Content::Object(KubernetesObject {
                    json: br#"{"spec":{"limit":"16Mi"}}"#.to_vec(),
                    ..KubernetesObject::default()
                }),
            ),
            item(
                "change/Deployment/d",
                Content::Change(RolloutChange {
                    changes: vec![change("/spec/image", "", "\"b\"")],
                    ..RolloutChange::default()
                }),
            ),
            item(
                "node/n",
                Content::Node(NodeState {
                    allocatable: [("cpu".to_owned(), "2".to_owned())].into(),
                    ..NodeState::default()
                }),
            ),
            item(
                "note/loki",
                Content::Note(Note {
                    source: "loki".to_owned(),
                    text: "timed out".to_owned(),
                }),
            ),
        ];
        let citations = [
            ("log/p/app/previous", "DB_URL"),
            ("event/1", "restarting"),
            ("object/Pod/p", "/spec/limit"),
            ("change/Deployment/d", "/spec/image"),
            ("node/n", "allocatable cpu: 2"),
            ("note/loki", "timed out"),
        ];
        assert_eq!(
            lines(excerpts, &citations),
            [
                "log/p/app/previous|FATAL: DB_URL is not set",
                "event/1|BackOff: restarting",
                "object/Pod/p|/spec/limit = \"16Mi\"",
                "change/Deployment/d|/spec/image: (absent) → \"b\"",
                "node/n|allocatable cpu: 2",
                "note/loki|timed out",
            ]
        );
    }

    #[test]
    fn of_long_lists_only_what_differs_is_shown() {
        for (before, after, expected) in [
            (
                r#"["-v","size=10"]"#,
                r#"["-v","size=ten"]"#,
                r#"/args/1: "size=10" → "size=ten""#,
            ),
            (
                r#"["a","b"]"#,
                r#"["c","d"]"#,
                r#"/args/0: "a" → "c", /args/1: "b" → "d""#,
            ),
            (r#"["a"]"#, r#"["a","b"]"#, r#"/args: ["a"] → ["a","b"]"#),
            (r#"["a"]"#, "", r#"/args: ["a"] → (absent)"#),
        ] {
            assert_eq!(difference(&change("/args", before, after)), expected);
        }
    }

    #[test]
    fn what_the_excerpts_do_not_hold_is_not_shown() {
        let citations = [
            ("log/p", "made up"),
            ("log/q", "a"),
            ("log/p", "a"),
            ("log/p", "a"),
        ];
        assert_eq!(lines(vec![log("log/p", &["a"])], &citations), ["log/p|a"]);
    }
}
