use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

/// What was taken out of a text, and where. Never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The id of the rule or carrier that found it, for example `aws-access-key-id` or `key-value`.
    pub rule: Cow<'static, str>,
    /// What it is, as in the placeholder, for example `secret`.
    pub kind: Cow<'static, str>,
    /// First byte in the input.
    pub start: usize,
    /// The byte after the last one in the input.
    pub end: usize,
}

/// What was taken out of an object, and where. Never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectFinding {
    /// The id of the rule or carrier that found it.
    pub rule: String,
    /// What it is, as in the placeholder.
    pub kind: String,
    /// JSON pointer (RFC 6901) into the input.
    pub pointer: String,
}

/// A text after redaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedText {
    /// The text with placeholders.
    pub text: String,
    /// What was replaced, in the order of the input; offsets are bytes of the input.
    pub findings: Vec<Finding>,
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReportEntry {
    /// What was taken out.
    pub kind: String,
    /// Which rule found it.
    pub rule: String,
    /// The kind of place, for example `env`, `args` or `text`.
    pub place: String,
    /// How many.
    pub count: u64,
}

/// How much of what was taken out of which places. Never values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    counts: BTreeMap<(String, String, String), u64>,
}

impl Report {
    pub(crate) fn add(&mut self, kind: &str, rule: &str, place: &str, count: u64) {
        let key = (kind.to_owned(), rule.to_owned(), place.to_owned());
        *self.counts.entry(key).or_default() += count;
    }

    /// The counts, sorted by kind, rule and place.
    pub fn entries(&self) -> impl Iterator<Item = ReportEntry> + '_ {
        self.counts
            .iter()
            .map(|((kind, rule, place), &count)| ReportEntry {
                kind: kind.clone(),
                rule: rule.clone(),
                place: place.clone(),
                count,
            })
    }

    /// How many values were taken out.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}
