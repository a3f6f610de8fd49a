//! The messages of an incident as what they are: causes and effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bonesetter_chassis::topology::stream_of;
use bonesetter_proto::{Stage, Subject};

use super::record::{Entry, Record};

/// A message and what followed from it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) what: What<'a>,
    /// From the storing of the cause to the storing of this; `None` where one of both is not known.
    pub(crate) after: Option<Duration>,
    pub(crate) children: Vec<Node<'a>>,
}

/// What stands at a place of the tree.
#[derive(Debug, Clone)]
pub(crate) enum What<'a> {
    /// A stored message.
    Stored(&'a Entry),
    /// A message that another one names as its cause and that cannot be read.
    Absent { subject: String, why: Absence },
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Raw evidence: sealed, in a stream that nobody but svc-redactor reads.
    Sealed,
    /// Kept for so long, and that is over (or a keeper has made room).
    AgedOut(Duration),
    /// The name is none of ours.
    Unknown,
}

/// The trees of a record: one for each message without a cause, in the order of time.
pub(crate) fn trees(record: &Record) -> Vec<Node<'_>> {
    let mut effects: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let mut roots: BTreeSet<&str> = BTreeSet::new();
    for entry in &record.entries {
        let cause = entry.caused_by();
        if cause.is_empty() {
            roots.insert(&entry.stored.subject);
        } else {
            effects.entry(cause).or_default().push(entry);
            if record.find(cause).is_none() {
                roots.insert(cause);
            }
        }
    }
    // A sealed message names its cause to the redactor alone; what it answers has the same step.
    let mut adopted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    roots.retain(|root| match source_of(root) {
        Some(source) if record.find(&source).is_some() => {
            adopted.entry(source).or_default().push(root);
            false
        }
        _ => true,
    });
    let mut builder = Builder {
        record,
        effects,
        adopted,
        seen: BTreeSet::new(),
    };
    let mut trees: Vec<Node<'_>> = roots
        .into_iter()
        .filter_map(|root| builder.node(root, None))
        .collect();
    // Messages that name each other as their cause hang on no root.
    for entry in &record.entries {
        trees.extend(builder.node(&entry.stored.subject, None));
    }
    trees.sort_by_key(begins_at);
    trees
}

struct Builder<'a> {
    record: &'a Record,
    effects: BTreeMap<&'a str, Vec<&'a Entry>>,
    adopted: BTreeMap<String, Vec<&'a str>>,
    seen: BTreeSet<&'a str>,
}

impl<'a> Builder<'a> {
    /// `None` when the message stands in the tree already.
    fn node(&mut self, subject: &'a str, cause_at: Option<SystemTime>) -> Option<Node<'a>> {
        if !self.seen.insert(subject) {
            return None;
        }
        let entry = self.record.find(subject);
        let at = entry.map(|entry| entry.stored.stored_at);
        let what = entry.map_or_else(
            || What::Absent {
                subject: subject.to_owned(),
                why: absence(subject),
            },
            What::Stored,
        );
        let mut children = Vec::new();
        for sealed in self.adopted.get(subject).cloned().unwrap_or_default() {
            children.extend(self.node(sealed, at));
        }
        // What lies between is not readable, so its effects are measured from the last that is.
        let since = at.or(cause_at);
        for effect in self.effects.get(subject).cloned().unwrap_or_default() {
            children.extend(self.node(&effect.stored.subject, since));
        }
        children.sort_by_key(begins_at);
        let after = at
            .zip(cause_at)
            .and_then(|(at, cause)| at.duration_since(cause).ok());
        Some(Node {
            what,
            after,
            children,
        })
    }
}

/// The time of a node, or of the first thing below it that has one.
fn begins_at(node: &Node<'_>) -> Option<SystemTime> {
    match node.what {
        What::Stored(entry) => Some(entry.stored.stored_at),
        What::Absent { .. } => node.children.iter().filter_map(begins_at).min(),
    }
}

/// The detection that sealed evidence answers.
fn source_of(subject: &str) -> Option<String> {
    let subject: Subject = subject.parse().ok()?;
    (subject.stage == Stage::Enriched).then(|| {
        let step = subject.step.clone();
        subject.at(Stage::Detected, step).to_string()
    })
}

fn absence(subject: &str) -> Absence {
    let Ok(subject) = subject.parse::<Subject>() else {
        return Absence::Unknown;
    };
    match (subject.stage, stream_of(subject.stage)) {
        (Stage::Enriched, _) => Absence::Sealed,
        (_, Some(stream)) => Absence::AgedOut(stream.max_age),
        (_, None) => Absence::Unknown,
    }
}
