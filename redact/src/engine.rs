//! Everything that finds something in a text, in one place, and how overlapping finds become one.

use std::collections::HashSet;

use crate::gate::Gate;
use crate::learn::Learnt;
use crate::rules::{RuleError, Rules};
use crate::{
    carrier, columns, csv, decode, flags, formats::Formats, json, rarity, reference, sql, urls,
    view, yaml_text,
};

/// How many encodings inside one another are looked into.
const DEEPEST: usize = 4;

/// How sure a find is of its kind; the surest of overlapping finds names the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// Personal data; gives way to a secret that it overlaps.
    Personal,
    /// Only random-looking.
    Random,
    /// The syntax says so.
    Carrier,
    /// Seen in a secret place.
    Learnt,
    /// A known token format.
    Format,
}

/// One find in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: String,
    pub(crate) rule: String,
    pub(crate) strength: Strength,
    /// The placeholder needs quotes: a JSON number is replaced.
    pub(crate) bare: bool,
    /// The text whose placeholder it gets, if that is not the text found (an encoding of it).
    pub(crate) value: Option<String>,
}

impl Hit {
    pub(crate) fn new(
        start: usize,
        end: usize,
        kind: &str,
        rule: &str,
        strength: Strength,
    ) -> Self {
        let strength = if is_personal(kind) {
            Strength::Personal
        } else {
            strength
        };
        Self {
            start,
            end,
            kind: kind.to_owned(),
            rule: rule.to_owned(),
            strength,
            bare: false,
            value: None,
        }
    }

    pub(crate) fn secret(start: usize, end: usize, rule: &str) -> Self {
        Self::new(start, end, "secret", rule, Strength::Carrier)
    }
}

/// Whether a kind is one of personal data.
pub(crate) fn is_personal(kind: &str) -> bool {
    matches!(
        kind,
        "email"
            | "card"
            | "iban"
            | "ssn"
            | "phone"
            | "national-id"
            | "ip"
            | "mac"
            | "host"
            | "user"
    )
}

/// Whether what a placeholder of this kind stands for gives access to something. Personal data and names
/// of objects do not.
pub fn is_secret_kind(kind: &str) -> bool {
    !is_personal(kind) && !NAME_KINDS.contains(&kind)
}

/// Compiled rules and what they need.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) gate: Gate,
    pub(crate) formats_gate: Gate,
    formats: Formats,
    kinds: HashSet<String>,
}

impl Engine {
    pub(crate) fn new(rules: &Rules) -> Result<Self, RuleError> {
        let formats = Formats::new(rules)?;
        let mut kinds: HashSet<String> = formats.kinds().map(str::to_owned).collect();
        kinds.extend(
            BUILTIN_KINDS
                .into_iter()
                .chain(NAME_KINDS)
                .map(str::to_owned),
        );
        Ok(Self {
            gate: Gate::new(rules)?,
            formats_gate: Gate::for_formats(rules)?,
            formats,
            kinds,
        })
    }

    /// Whether placeholders of this kind exist.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(String::as_str)
    }

    pub(crate) fn is_kind(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// Everything found in a text, without overlaps, in order.
    pub(crate) fn scan(&self, text: &str, learnt: &Learnt) -> Vec<Hit> {
        merge(self.scan_at(text, learnt, 0))
    }

    /// What the rules of personal data find in a text.
    pub(crate) fn scan_personal(&self, text: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.formats.scan_light(text, &mut hits);
        merge(hits)
    }

    /// What has a known format of a secret in a text.
    pub(crate) fn scan_formats(&self, text: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.formats.scan(text, &mut hits);
        hits.retain(|hit| hit.strength == Strength::Format);
        hits
    }

    /// What has a known format in the value of a member of an object, where its name is a part of the format.
    pub(crate) fn scan_member(&self, name: &str, value: &str) -> Vec<Hit> {
        if !self.formats.is_announced_by(name) {
            return Vec::new();
        }
        let lead = name.len() + ": ".len();
        let mut hits = Vec::new();
        self.formats.scan(&format!("{name}: {value}"), &mut hits);
        hits.retain(|hit| hit.start >= lead);
        for hit in &mut hits {
            hit.start -= lead;
            hit.end -= lead;
        }
        hits
    }

    /// What is found in a line without any word that announces something.
    pub(crate) fn scan_tokens(&self, text: &str, learnt: &Learnt) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.formats.scan(text, &mut hits);
        rarity::scan(text, &mut hits);
        decode::scan(self, text, learnt, 0, &mut hits);
        merge(hits)
    }

    /// What a text inside another text holds, at a depth of encodings.
    pub(crate) fn scan_at(&self, text: &str, learnt: &Learnt, depth: usize) -> Vec<Hit> {
        let mut hits = Vec::new();
        if depth >= DEEPEST || text.len() < 4 {
            if text.len() >= 4 {
                self.scan_plain(text, learnt, &mut hits);
                yaml_text::scan(text, &mut hits);
            }
            return hits;
        }
        let blocks = json::text::blocks(text);
        let mut at = 0;
        for block in &blocks {
            let (start, end) = block.span();
            self.scan_gap(text, at, start, learnt, &mut hits);
            json::scan::scan(self, text, block, learnt, depth, &mut hits);
            at = end;
        }
        self.scan_gap(text, at, text.len(), learnt, &mut hits);
        let spans: Vec<(usize, usize)> = blocks.iter().map(json::text::Node::span).collect();
        let others = self.scan_across(text, learnt, depth);
        hits.extend(others.into_iter().filter(|hit| {
            // Inside JSON, what runs across its syntax would break it; its strings are scanned by themselves.
            let index = spans.partition_point(|&(_, end)| end <= hit.start);
            matches!(hit.rule.as_ref(), yaml_text::MANIFEST | carrier::LIST)
                || spans.get(index).is_none_or(|span| span.0 >= hit.end)
        }));
        hits
    }

    /// What spans lines or is encoded.
    fn scan_across(&self, text: &str, learnt: &Learnt, depth: usize) -> Vec<Hit> {
        let mut hits = Vec::new();
        yaml_text::scan(text, &mut hits);
        csv::scan(text, &mut hits);
        columns::scan(text, &mut hits);
        decode::scan(self, text, learnt, depth, &mut hits);
        for view in view::views(text) {
            for hit in merge(self.scan_at(&view.text, learnt, DEEPEST)) {
                hits.extend(view.back(hit));
            }
        }
        hits
    }

    fn scan_gap(&self, text: &str, start: usize, end: usize, learnt: &Learnt, hits: &mut Vec<Hit>) {
        let first = hits.len();
        self.scan_plain(&text[start..end], learnt, hits);
        for hit in &mut hits[first..] {
            hit.start += start;
            hit.end += start;
        }
    }

    fn scan_plain(&self, text: &str, learnt: &Learnt, hits: &mut Vec<Hit>) {
        if text.is_empty() {
            return;
        }
        self.formats.scan(text, hits);
        carrier::scan(text, hits);
        flags::scan(text, hits);
        urls::scan(text, hits);
        sql::scan(text, hits);
        reference::scan(text, hits);
        rarity::scan(text, hits);
        learnt.scan(text, hits);
    }
}

/// Kinds that come neither from rules nor from names of objects.
const BUILTIN_KINDS: [&str; 3] = ["secret", "withheld", "forged"];

/// Kinds of names that objects give to one another.
const NAME_KINDS: [&str; 7] = [
    "secret-name",
    "configmap-name",
    "key-name",
    "volume",
    "mount-path",
    "name",
    "path",
];

/// Unites overlapping finds; the surest one names the kind. Personal data gives way.
pub(crate) fn merge(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.retain(|hit| hit.start < hit.end);
    hits.sort_by(|a, b| (a.start, b.end, b.strength).cmp(&(b.start, a.end, a.strength)));
    let (personal, secret): (Vec<Hit>, Vec<Hit>) = hits
        .into_iter()
        .partition(|hit| hit.strength == Strength::Personal);
    let secret = unite(secret);
    let mut kept: Vec<Hit> = unite(personal);
    kept.retain(|hit| !overlaps(&secret, hit));
    let mut all = secret;
    all.extend(kept);
    all.sort_by_key(|hit| hit.start);
    all
}

fn overlaps(sorted: &[Hit], hit: &Hit) -> bool {
    let index = sorted.partition_point(|other| other.end <= hit.start);
    sorted.get(index).is_some_and(|other| other.start < hit.end)
}

fn unite(hits: Vec<Hit>) -> Vec<Hit> {
    let mut united: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match united.last_mut() {
            Some(last) if hit.start < last.end => {
                if hit.end > last.end {
                    last.end = hit.end;
                    last.value = None;
                }
                if hit.strength > last.strength {
                    (last.kind, last.rule, last.strength) = (hit.kind, hit.rule, hit.strength);
                }
                last.bare |= hit.bare;
            }
            _ => united.push(hit),
        }
    }
    united
}

/// What one reader finds in a text.
#[cfg(test)]
pub(crate) fn found_by(scan: fn(&str, &mut Vec<Hit>), text: &str) -> Vec<&str> {
    let mut hits = vec![];
    scan(text, &mut hits);
    let hits = merge(hits);
    hits.iter().map(|hit| &text[hit.start..hit.end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_finds_become_one() {
        let hits = vec![
            Hit::secret(4, 10, "key-value"),
            Hit::new(6, 14, "jwt", "jwt", Strength::Format),
            Hit::new(12, 20, "email", "email", Strength::Format),
            Hit::new(30, 34, "email", "email", Strength::Format),
        ];
        let merged = merge(hits);
        assert_eq!(
            merged
                .iter()
                .map(|h| (h.start, h.end, h.kind.as_str()))
                .collect::<Vec<_>>(),
            [(4, 14, "jwt"), (30, 34, "email")]
        );
    }
}
