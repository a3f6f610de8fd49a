//! What would have been done, what is new, what is gone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anstyle::Style;
use bonesetter_chassis::clock::rfc3339;
use serde_json::{Value, json};
use svc_actuator::replay::Verdict;

use super::beside;
use super::history::History;
use super::rerun::{Comparison, Difference, Judgement, Side};
use super::words::{BOLD, DIM, GREEN, RED, YELLOW, duration};
use crate::layout;
use crate::render::{self, clean};

/// So many incidents are listed in each part; JSON holds all.
const LISTED: usize = 40;
/// So many kinds of change are named.
const KINDS: usize = 12;

/// What was compared.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) since: SystemTime,
    pub(crate) labels: &'a [String],
    /// How long reading and running took.
    pub(crate) took: Duration,
}

/// Everything that can be counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By verdict: recorded, replayed.
    verdicts: BTreeMap<&'static str, (usize, usize)>,
    /// By difference.
    differences: BTreeMap<Difference, usize>,
    /// By cause on record and cause now.
    causes: BTreeMap<(String, String), usize>,
}

fn count(history: &History) -> Counts {
    let mut counts = Counts::default();
    for step in &history.steps {
        let (was, is) = (verdict(&step.recorded), verdict(&step.replayed));
        counts.verdicts.entry(was).or_default().0 += 1;
        counts.verdicts.entry(is).or_default().1 += 1;
        for difference in step.differences() {
            *counts.differences.entry(difference).or_default() += 1;
        }
        let (was, is) = (cause(&step.recorded), cause(&step.replayed));
        if was != is {
            *counts.causes.entry((was, is)).or_default() += 1;
        }
    }
    counts
}

/// For people.
pub(crate) fn text(history: &History, frame: &Frame<'_>) -> String {
    let counts = count(history);
    let mut text = format!(
        "{BOLD}Since {}{BOLD:#}: {} incidents, {} diagnoses, {} ({})\n",
        rfc3339(frame.since),
        history.incidents(),
        history.steps.len(),
        clean(&frame.labels.join(", "), 200),
        duration(frame.took),
    );
    if history.unproven > 0 {
        let _ = writeln!(
            text,
            "{YELLOW}{} messages were left out: no trusted signature proves where they came from{YELLOW:#}",
            history.unproven
        );
    }
    let mut table = layout::table(["WOULD HAVE BEEN", "RECORDED", "REPLAYED"], &[0, 1, 2]);
    for (name, (was, is)) in &counts.verdicts {
        table.add_row([(*name).to_owned(), was.to_string(), is.to_string()]);
    }
    let _ = writeln!(text, "\n{table}");
    causes(&counts, &mut text);
    for (part, name, style) in [
        (Part::New, "New: would be applied now, and was not", GREEN),
        (Part::Gone, "Gone: was applied, and would not be now", RED),
        (
            Part::Otherwise,
            "Said, proposed or refused otherwise",
            YELLOW,
        ),
    ] {
        let belongs = |step: &&Comparison| Part::of(step) == part;
        let steps: Vec<&Comparison> = history.steps.iter().filter(belongs).collect();
        list(name, style, &steps, &mut text);
    }
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    for note in history.steps.iter().flat_map(|step| &step.notes) {
        *notes.entry(*note).or_default() += 1;
    }
    let _ = writeln!(text);
    for (note, times) in notes {
        let _ = writeln!(text, "{DIM}{times} ×: {note}{DIM:#}");
    }
    text
}

/// Where a comparison is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    New,
    Gone,
    Otherwise,
    Same,
}

impl Part {
    fn of(step: &Comparison) -> Self {
        let differences = step.differences();
        if differences.contains(&Difference::ChangeNew) {
            Self::New
        } else if differences.contains(&Difference::ChangeGone) {
            Self::Gone
        } else if differences.is_empty() {
            Self::Same
        } else {
            Self::Otherwise
        }
    }
}

fn causes(counts: &Counts, text: &mut String) {
    if counts.causes.is_empty() {
        return;
    }
    let mut kinds: Vec<_> = counts.causes.iter().collect();
    kinds.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let mut table = layout::table(["TIMES", "CAUSE RECORDED", "CAUSE REPLAYED"], &[0, 1, 2]);
    for ((was, is), times) in kinds.iter().take(KINDS) {
        table.add_row([times.to_string(), was.clone(), is.clone()]);
    }
    let _ = writeln!(text, "\n{table}");
    more(kinds.len(), KINDS, text);
}

fn more(count: usize, shown: usize, text: &mut String) {
    if count > shown {
        let _ = writeln!(
            text,
            "{DIM}  and {} more; -o json lists all{DIM:#}",
            count - shown
        );
    }
}

fn list(name: &str, style: Style, steps: &[&Comparison], text: &mut String) {
    let _ = writeln!(
        text,
        "\n{style}{BOLD}{name}: {}{BOLD:#}{style:#}",
        steps.len()
    );
    if steps.is_empty() {
        return;
    }
    let mut table = layout::table(["ID", "WORKLOAD", "CAUSE", "REMEDY", "DECISION"], &[0, 1]);
    for step in steps.iter().take(LISTED) {
        let change = |get: &dyn Fn(&Side) -> String| {
            let (was, is) = (get(&step.recorded), get(&step.replayed));
            if was == is {
                is
            } else {
                format!("{was} → {is}")
            }
        };
        table.add_row([
            step.subject.incident.as_str().chars().take(8).collect(),
            step.workload.clone(),
            change(&cause),
            change(&remedy),
            change(&decision),
        ]);
    }
    let _ = writeln!(text, "{table}");
    more(steps.len(), LISTED, text);
}

fn cause(side: &Side) -> String {
    side.conclusion
        .as_ref()
        .map_or_else(|| "none".to_owned(), |it| clean(&it.cause, 64))
}

fn remedy(side: &Side) -> String {
    side.conclusion
        .as_ref()
        .and_then(|it| it.remedy.as_ref())
        .map_or_else(|| "none".to_owned(), render::remedy)
}

fn verdict(side: &Side) -> &'static str {
    match &side.judgement {
        None => "not-on-record",
        Some(judgement) => judgement.verdict.map_or("unknown", Verdict::as_str),
    }
}

/// The verdict with what objects.
fn decision(side: &Side) -> String {
    let names: Vec<String> = side
        .judgement
        .iter()
        .flat_map(|it: &Judgement| &it.objections)
        .map(|(name, _)| clean(name, 60))
        .collect();
    if names.is_empty() {
        verdict(side).to_owned()
    } else {
        format!("{} ({})", verdict(side), names.join(", "))
    }
}

/// For programs: counts, and every diagnosis that differs.
pub(crate) fn json(history: &History, frame: &Frame<'_>) -> Value {
    let counts = count(history);
    let verdicts: BTreeMap<_, _> = counts
        .verdicts
        .iter()
        .map(|(name, (was, is))| (*name, json!({"recorded": was, "replayed": is})))
        .collect();
    let differences: BTreeMap<_, _> = counts
        .differences
        .iter()
        .map(|(difference, times)| (difference.as_str(), times))
        .collect();
    let causes: Vec<Value> = counts
        .causes
        .iter()
        .map(|((was, is), times)| json!({"recorded": was, "replayed": is, "times": times}))
        .collect();
    let differing: Vec<Value> = history
        .steps
        .iter()
        .filter(|step| !step.differences().is_empty())
        .map(beside::json)
        .collect();
    json!({
        "since": rfc3339(frame.since),
        "with": frame.labels,
        "seconds": frame.took.as_secs_f64(),
        "incidents": history.incidents(),
        "diagnoses": history.steps.len(),
        "unproven": history.unproven,
        "verdicts": verdicts,
        "differences": differences,
        "causes": causes,
        "changed": differing,
    })
}
