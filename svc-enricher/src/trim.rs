//! Evidence within its budget.
//!
//! What explains a failure is kept to the end: the newest lines of the worst pod, older lines that
//! tell of an error, warnings, what the rollout changed, the failing objects. What was given up is
//! counted: in each log, and in one note for everything else.

use std::collections::BTreeMap;

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Evidence, EvidenceItem, LogChunk, LogSource};
use prost::Message as _;

use crate::{diff, items};

/// Kept free for the note that says what was left out.
const NOTE_BYTES: usize = 512;

/// How much of each kind is kept; every level gives up more than the one before.
struct Level {
    /// Of a log of the worst pod.
    worst_lines: usize,
    /// Of a log of any other pod.
    other_lines: usize,
    loki_lines: usize,
    events: usize,
    /// Of one value that a rollout changed.
    change_bytes: usize,
    /// Pods kept as objects.
    pods: usize,
    nodes: usize,
}

const LEVELS: [Level; 5] = [
    Level {
        worst_lines: 100,
        other_lines: 50,
        loki_lines: 50,
        events: 50,
        change_bytes: 4096,
        pods: 5,
        nodes: 10,
    },
    Level {
        worst_lines: 60,
        other_lines: 25,
        loki_lines: 20,
        events: 30,
        change_bytes: 2048,
        pods: 3,
        nodes: 5,
    },
    Level {
        worst_lines: 40,
        other_lines: 10,
        loki_lines: 10,
        events: 20,
        change_bytes: 1024,
        pods: 2,
        nodes: 3,
    },
    Level {
        worst_lines: 20,
        other_lines: 5,
        loki_lines: 5,
        events: 12,
        change_bytes: 512,
        pods: 1,
        nodes: 2,
    },
    Level {
        worst_lines: 10,
        other_lines: 2,
        loki_lines: 0,
        events: 8,
        change_bytes: 256,
        pods: 1,
        nodes: 1,
    },
];

/// Words of lines that are worth more than their neighbours.
const TELLING: [&str; 10] = [
    "fatal",
    "panic",
    "exception",
    "traceback",
    "error",
    "critical",
    "out of memory",
    "killed",
    "cannot",
    "failed",
];

/// The evidence, within `budget` encoded bytes. Changes nothing that fits already.
pub(crate) fn trim(mut evidence: Evidence, budget: usize) -> Evidence {
    if evidence.encoded_len() <= budget {
        return evidence;
    }
    let target = budget.saturating_sub(NOTE_BYTES);
    let mut left_out = LeftOut::default();
    for level in &LEVELS {
        apply(level, &mut evidence.items, &mut left_out);
        if evidence.encoded_len() <= target {
            break;
        }
    }
    while evidence.encoded_len() > target && drop_largest(&mut evidence.items, &mut left_out) {}
    evidence
        .items
        .push(items::note("budget", &left_out.describe(budget)));
    evidence
}

#[derive(Debug, Default)]
struct LeftOut {
    lines: u64,
    items: BTreeMap<&'static str, usize>,
}

impl LeftOut {
    fn describe(&self, budget: usize) -> String {
        let mut parts: Vec<String> = self
            .items
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        if self.lines > 0 {
            parts.push(format!("{} log lines", self.lines));
        }
        if parts.is_empty() {
            parts.push("parts of long values".to_owned());
        }
        format!(
            "left out to stay within {budget} bytes: {}",
            parts.join(", ")
        )
    }

    fn count(&mut self, item: &EvidenceItem) {
        let kind = match &item.content {
            Some(Content::Object(_)) => "objects",
            Some(Content::Event(_)) => "events",
            Some(Content::Log(chunk)) => {
                self.lines += chunk.lines.len() as u64;
                "logs"
            }
            Some(Content::Change(_)) => "rollout changes",
            Some(Content::Node(_)) => "nodes",
            Some(Content::Note(_)) | None => "notes",
        };
        *self.items.entry(kind).or_default() += 1;
    }
}

fn apply(level: &Level, items: &mut Vec<EvidenceItem>, left_out: &mut LeftOut) {
    let worst = worst_pod(items);
    let all_warnings = items.iter().filter(|item| is_warning(item)).count();
    let mut warnings = Room(level.events);
    let mut normal_events = Room(level.events.saturating_sub(all_warnings));
    let mut pods = Room(level.pods);
    let mut nodes = Room(level.nodes);
    items.retain_mut(|item| {
        let is_warning = is_warning(item);
        let keep = match &mut item.content {
            Some(Content::Log(chunk)) => {
                let lines = match (chunk.source(), &worst) {
                    (LogSource::Loki, _) => level.loki_lines,
                    (_, Some(worst)) if pod_name(chunk) == worst => level.worst_lines,
                    _ => level.other_lines,
                };
                left_out.lines += shorten_log(chunk, lines);
                lines > 0
            }
            Some(Content::Event(_)) if is_warning => warnings.take(),
            Some(Content::Event(_)) => normal_events.take(),
            Some(Content::Change(change)) => {
                for field in &mut change.changes {
                    diff::shorten(&mut field.before, level.change_bytes);
                    diff::shorten(&mut field.after, level.change_bytes);
                }
                true
            }
            Some(Content::Object(object)) => {
                let is_pod = object
                    .r#ref
                    .as_ref()
                    .is_some_and(|object| object.kind == "Pod");
                !is_pod || pods.take()
            }
            Some(Content::Node(_)) => nodes.take(),
            Some(Content::Note(_)) | None => true,
        };
        if !keep {
            left_out.count(item);
        }
        keep
    });
}

/// How many more of a kind are kept.
struct Room(usize);

impl Room {
    fn take(&mut self) -> bool {
        let has_room = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        has_room
    }
}

/// The pod whose logs come first: items are in the order of severity.
fn worst_pod(items: &[EvidenceItem]) -> Option<String> {
    items.iter().find_map(|item| match &item.content {
        Some(Content::Log(chunk)) if chunk.source() != LogSource::Loki => {
            Some(pod_name(chunk).to_owned())
        }
        _ => None,
    })
}

fn pod_name(chunk: &LogChunk) -> &str {
    chunk.pod.as_ref().map_or("", |pod| pod.name.as_str())
}

fn is_warning(item: &EvidenceItem) -> bool {
    matches!(&item.content, Some(Content::Event(event)) if event.r#type == "Warning")
}

/// Keeps the newest lines and, of the older ones, those that tell of an error. Returns how many went.
fn shorten_log(chunk: &mut LogChunk, keep: usize) -> u64 {
    let count = chunk.lines.len();
    if count <= keep {
        return 0;
    }
    let newest = keep - keep / 3;
    let mut kept = vec![false; count];
    let mut room = keep;
    let mut mark = |index: usize| {
        if room > 0 && !kept[index] {
            kept[index] = true;
            room -= 1;
        }
    };
    (count - newest..count).rev().for_each(&mut mark);
    let older = || (0..count - newest).rev();
    older()
        .filter(|index| is_telling(&chunk.lines[*index].text))
        .for_each(&mut mark);
    older().for_each(&mut mark);
    let mut kept = kept.into_iter();
    chunk.lines.retain(|_| kept.next().unwrap_or(false));
    let gone = (count - keep) as u64;
    chunk.lines_left_out += gone;
    gone
}

fn is_telling(line: &str) -> bool {
    let line = line.to_lowercase();
    TELLING.iter().any(|word| line.contains(word))
}

/// Gives up the largest item: logs are halved down to their last line, then whole items go, the
/// notes last. Returns whether there was anything to give up.
fn drop_largest(items: &mut Vec<EvidenceItem>, left_out: &mut LeftOut) -> bool {
    let rank = |item: &EvidenceItem| match &item.content {
        Some(Content::Note(_)) | None => 0,
        Some(Content::Log(chunk)) if chunk.lines.len() <= 1 => 1,
        _ => 2,
    };
    let largest = (0..items.len()).max_by_key(|index| {
        let item = &items[*index];
        (rank(item), item.encoded_len(), std::cmp::Reverse(*index))
    });
    let Some(index) = largest else { return false };
    if let Some(Content::Log(chunk)) = &mut items[index].content
        && chunk.lines.len() > 1
    {
        let half = chunk.lines.len() / 2;
        left_out.lines += shorten_log(chunk, half);
        return true;
    }
    let item = items.remove(index);
    left_out.count(&item);
    true
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{KubernetesEvent, KubernetesObject, LogLine, ObjectRef};
    use proptest::prelude::*;

    use super::*;

    fn pod(name: &str) -> ObjectRef {
        ObjectRef {
            kind: "Pod".to_owned(),
            name: name.to_owned(),
            ..ObjectRef::default()
        }
    }

    fn log(name: &str, source: LogSource, lines: impl IntoIterator<Item = String>) -> EvidenceItem {
        let lines = lines
            .into_iter()
            .map(|text| LogLine {
                at: None,
                text,
                cut: false,
            })
            .collect();
        let chunk = LogChunk {
            pod: Some(pod(name)),
            container: "app".to_owned(),
            source: source.into(),
            lines,
            ..LogChunk::default()
        };
        match source {
            LogSource::Loki => items::loki(chunk),
            _ => items::log(&format!("{name}/app/previous"), chunk),
        }
    }

    fn numbered(count: usize, width: usize) -> impl Iterator<Item = String> {
        (0..count).map(move |n| format!("{n} {}", "x".repeat(width)))
    }

    fn event(kind: &str, n: usize) -> EvidenceItem {
        items::event(KubernetesEvent {
            uid: format!("{kind}-{n}"),
            r#type: kind.to_owned(),
            message: "m".repeat(200),
            ..KubernetesEvent::default()
        })
    }

    fn object(kind: &str, name: &str, bytes: usize) -> EvidenceItem {
        EvidenceItem {
            id: format!("object/{kind}/{name}"),
            content: Some(Content::Object(KubernetesObject {
                r#ref: Some(ObjectRef {
                    kind: kind.to_owned(),
                    ..ObjectRef::default()
                }),
                json: vec![b' '; bytes],
            })),
        }
    }

    fn of(items: Vec<EvidenceItem>) -> Evidence {
        Evidence {
            items,
            ..Evidence::default()
        }
    }

    fn ids(evidence: &Evidence) -> Vec<&str> {
        evidence.items.iter().map(|item| item.id.as_str()).collect()
    }

    fn lines<'a>(evidence: &'a Evidence, id: &str) -> (Vec<&'a str>, u64) {
        let item = evidence.items.iter().find(|item| item.id == id).unwrap();
        let Some(Content::Log(chunk)) = &item.content else {
            panic!("not a log")
        };
        let first_words = chunk
            .lines
            .iter()
            .map(|line| line.text.split(' ').next().unwrap());
        (first_words.collect(), chunk.lines_left_out)
    }

    #[test]
    fn what_fits_is_left_alone() {
        let evidence = of(vec![object("Pod", "p", 100), event("Normal", 1)]);
        assert_eq!(trim(evidence.clone(), 4096), evidence);
    }

    #[test]
    fn the_worst_pod_keeps_most_and_what_went_is_counted() {
        let evidence = of(vec![
            log("worst", LogSource::Kubernetes, numbered(100, 100)),
            log("other", LogSource::Kubernetes, numbered(100, 100)),
            log("worst", LogSource::Loki, numbered(100, 100)),
        ]);
        let trimmed = trim(evidence, 14_000);
        assert!(trimmed.encoded_len() <= 14_000);
        let (worst, worst_left_out) = lines(&trimmed, "log/worst/app/previous");
        assert_eq!(
            (worst.len(), worst_left_out, *worst.last().unwrap()),
            (60, 40, "99")
        );
        let (other, other_left_out) = lines(&trimmed, "log/other/app/previous");
        assert_eq!(
            (other.len(), other_left_out, *other.last().unwrap()),
            (25, 75, "99")
        );
        let Some(Content::Note(note)) = &trimmed.items.last().unwrap().content else {
            panic!()
        };
        assert_eq!(
            note.text,
            "left out to stay within 14000 bytes: 195 log lines"
        );
    }

    #[test]
    fn an_old_error_outlives_its_neighbours() {
        let text = |n| {
            if n == 3 {
                "3 FATAL: no such key".to_owned()
            } else {
                format!("{n} fine")
            }
        };
        let line = |n| LogLine {
            at: None,
            text: text(n),
            cut: false,
        };
        let mut chunk = LogChunk {
            lines: (0..30).map(line).collect(),
            ..LogChunk::default()
        };
        assert_eq!(shorten_log(&mut chunk, 6), 24);
        let kept: Vec<_> = chunk
            .lines
            .iter()
            .map(|line| line.text.split(' ').next().unwrap())
            .collect();
        assert_eq!(kept, ["3", "25", "26", "27", "28", "29"]);
    }

    #[test]
    fn warnings_outlive_normal_events_and_the_newest_the_older() {
        let mut all: Vec<_> = (0..40).map(|n| event("Normal", n)).collect();
        all.extend((0..20).map(|n| event("Warning", n)));
        let trimmed = trim(of(all), 10_000);
        let kept = ids(&trimmed);
        assert!(trimmed.encoded_len() <= 10_000);
        assert!(
            (0..12).all(|n| kept.contains(&format!("event/Warning-{n}").as_str())),
            "{kept:?}"
        );
        assert!(kept.contains(&"event/Normal-0") || kept.iter().all(|id| !id.contains("Normal")));
    }

    #[test]
    fn one_enormous_object_does_not_cost_the_log() {
        let trimmed = trim(
            of(vec![
                object("Deployment", "api", 1 << 20),
                log("p", LogSource::Kubernetes, ["last words".to_owned()]),
            ]),
            32 * 1024,
        );
        assert_eq!(ids(&trimmed), ["log/p/app/previous", "note/budget"]);
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_the_last_line_of_the_worst_pod_stays(
            logs in proptest::collection::vec((1_usize..200, 0_usize..400), 1..6),
            events in 0_usize..80,
            objects in proptest::collection::vec(0_usize..60_000, 0..6),
            budget in 16_384_usize..65_536,
        ) {
            let mut all: Vec<_> = objects.iter().enumerate()
                .map(|(n, bytes)| object(if n == 0 { "Deployment" } else { "Pod" }, &n.to_string(), *bytes))
                .collect();
            all.extend((0..events).map(|n| event(if n % 2 == 0 { "Warning" } else { "Normal" }, n)));
            all.extend(logs.iter().enumerate().map(|(n, (count, width))| {
                log(&format!("p{n}"), LogSource::Kubernetes, numbered(*count, *width))
            }));
            let trimmed = trim(of(all), budget);
            prop_assert!(trimmed.encoded_len() <= budget);
            let (kept, left_out) = lines(&trimmed, "log/p0/app/previous");
            prop_assert_eq!(*kept.last().unwrap(), (logs[0].0 - 1).to_string());
            prop_assert_eq!(kept.len() as u64 + left_out, logs[0].0 as u64);
        }
    }
}
