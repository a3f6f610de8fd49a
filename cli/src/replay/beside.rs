//! Two sides next to each other.

use std::fmt::Write as _;

use anstyle::Style;
use serde_json::{Value, json};
use svc_actuator::replay::Verdict;

use super::rerun::{Comparison, Conclusion, Judgement, Side};
use super::words::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::layout;
use crate::render::{self, clean};

/// Room for the name of a row.
const NAMES: usize = 15;
/// Between the columns.
const GAP: usize = 3;
/// Narrower columns cannot be read.
const NARROWEST: usize = 24;
/// How much of a text is shown.
const MAX_TEXT: usize = 900;

/// A comparison as two columns; what differs is coloured, what does not is dim.
pub(crate) fn text(comparison: &Comparison, labels: &[String]) -> String {
    let width = usize::from(layout::width());
    let column = (width.saturating_sub(NAMES + 2 * GAP) / 2).max(NARROWEST);
    let mut text = String::new();
    let heads = ["recorded".to_owned(), clean(&labels.join(", "), 200)];
    put(&mut text, "", &heads, column, [BOLD, BOLD]);
    let mut rows = rows(&comparison.recorded, &comparison.replayed);
    let removed = |get: fn(&(u32, u32)) -> u32| {
        let lines = comparison.removed.iter().map(|((kind, rule), counts)| {
            format!(
                "{} × {} by {}",
                get(counts),
                clean(kind, 60),
                clean(rule, 60)
            )
        });
        lines.collect::<Vec<String>>().join("\n")
    };
    rows.insert(
        0,
        ("Removed", removed(|(was, _)| *was), removed(|(_, is)| *is)),
    );
    for (name, was, is) in rows {
        if was.is_empty() && is.is_empty() {
            continue;
        }
        let styles = if was == is { [DIM, DIM] } else { [RED, GREEN] };
        put(&mut text, name, &[was, is], column, styles);
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "  {YELLOW}{note}{YELLOW:#}");
    }
    text
}

fn rows(was: &Side, is: &Side) -> Vec<(&'static str, String, String)> {
    let mut rows = Vec::new();
    let mut row = |name, get: &dyn Fn(&Side) -> String| rows.push((name, get(was), get(is)));
    row("Cause", &|side| of(side, |it| it.cause.clone()));
    row("Confidence", &|side| {
        of(side, |it| format!("{:.0} %", it.confidence * 100.0))
    });
    row("Diagnosed by", &|side| of(side, |it| it.by.clone()));
    row("Degraded", &|side| of(side, |it| it.degraded.clone()));
    row("Summary", &|side| of(side, |it| it.summary.clone()));
    row("Root cause", &|side| of(side, |it| it.root_cause.clone()));
    row("Recommendation", &|side| {
        of(side, |it| it.recommendation.clone())
    });
    row("Evidence", &|side| {
        of(side, |it| {
            let lines: Vec<String> = it
                .cited
                .iter()
                .map(|(id, quote)| format!("{} {}", clean(id, 120), clean(quote, 160)))
                .collect();
            lines.join("\n")
        })
    });
    row("Remedy", &|side| {
        of(side, |it| {
            it.remedy
                .as_ref()
                .map_or_else(|| "none".to_owned(), render::remedy)
        })
    });
    row("Decision", &|side| {
        side.judgement
            .as_ref()
            .map_or_else(|| "not on record".to_owned(), verdict)
    });
    row("Because", &|side| {
        let objections = side.judgement.iter().flat_map(|it| &it.objections);
        let lines: Vec<String> = objections
            .map(|(name, detail)| format!("{}: {}", clean(name, 60), clean(detail, 200)))
            .collect();
        lines.join("\n")
    });
    rows
}

fn of(side: &Side, get: impl Fn(&Conclusion) -> String) -> String {
    side.conclusion.as_ref().map_or_else(String::new, get)
}

fn verdict(judgement: &Judgement) -> String {
    match judgement.verdict {
        Some(Verdict::Explain) => "explain, nothing to apply",
        Some(Verdict::Suggest) => "suggest, do not apply",
        Some(Verdict::ApplyIfTried) => "apply, if the dry run allows it",
        Some(Verdict::Apply) => "apply",
        None => "cannot be told",
    }
    .to_owned()
}

fn put(text: &mut String, name: &str, sides: &[String; 2], column: usize, styles: [Style; 2]) {
    let broken = sides.each_ref().map(|side| wrap(side, column));
    let height = broken[0].len().max(broken[1].len());
    for index in 0..height {
        let name = if index == 0 { name } else { "" };
        let cell = |side: usize| broken[side].get(index).map_or("", String::as_str);
        let (left, right) = (cell(0), cell(1));
        let pad = " ".repeat(column.saturating_sub(left.chars().count()));
        let [was, is] = styles;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {BOLD}{name:<NAMES$}{BOLD:#} {was}{left}{was:#}{pad} {DIM}│{DIM:#} {is}{right}{is:#}"
        );
    }
}

/// Lines of at most so many characters, broken between words where there are any.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in clean(line, MAX_TEXT).split(' ') {
            let mut word: String = word.to_owned();
            let used = current.chars().count();
            if used > 0 && used + 1 + word.chars().count() > columns {
                lines.push(std::mem::take(&mut current));
            } else if used > 0 {
                current.push(' ');
            }
            while word.chars().count() > columns {
                lines.push(word.chars().take(columns).collect());
                word = word.chars().skip(columns).collect();
            }
            current.push_str(&word);
        }
        lines.push(current);
    }
    lines
}

/// A comparison for programs.
pub(crate) fn json(comparison: &Comparison) -> Value {
    let differs: Vec<&str> = comparison
        .differences()
        .into_iter()
        .map(super::rerun::Difference::as_str)
        .collect();
    json!({
        "incident": comparison.subject.incident.as_str(),
        "step": comparison.subject.step,
        "workload": comparison.workload,
        "differs": differs,
        "recorded": side(&comparison.recorded),
        "replayed": side(&comparison.replayed),
        "removed": super::redaction::json(&comparison.removed),
        "notes": comparison.notes,
    })
}

fn side(side: &Side) -> Value {
    let diagnosis = side.conclusion.as_ref().map(|it| {
        let cited: Vec<Value> = it
            .cited
            .iter()
            .map(|(id, quote)| json!({"evidence": id, "quote": quote}))
            .collect();
        json!({
            "cause": it.cause, "confidence": it.confidence, "by": it.by,
            "degraded_reason": it.degraded, "summary": it.summary, "root_cause": it.root_cause,
            "recommendation": it.recommendation, "citations": cited,
            "remedy": it.remedy.as_ref().map(crate::json::remedy),
        })
    });
    let decision = side.judgement.as_ref().map(|it| {
        let objections: Vec<Value> = it
            .objections
            .iter()
            .map(|(name, detail)| json!({"name": name, "detail": detail}))
            .collect();
        json!({"verdict": it.verdict.map(Verdict::as_str), "violations": objections})
    });
    json!({"diagnosis": diagnosis, "decision": decision})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_long_words_anywhere() {
        for (text, lines) in [
            ("", &[][..]),
            ("aa bb cc", &["aa bb", "cc"]),
            ("abcdefgh ij", &["abcde", "fgh", "ij"]),
            ("a\nb", &["a", "b"]),
        ] {
            assert_eq!(wrap(text, 5), lines, "{text:?}");
        }
    }
}
