//! The messages of an incident as what they are: causes and effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bonesetter_chassis::topology::stream_of;
use bonesetter_proto::{Stage, Subject};

use super::record::{Entry, Place, Record};

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
    let mut roots = Vec::new();
    let mut builder = Builder::default();
    for entry in &record.entries {
        match (entry.caused_by(), record.cause_of(entry)) {
            ("", _) => roots.push(entry),
            (_, Some(cause)) => builder
                .effects
                .entry(cause.place())
                .or_default()
                .push(entry),
            (cause, None) => builder
                .effects_of_absent
                .entry(cause)
                .or_default()
                .push(entry),
        }
    }
    // A sealed message names its cause to the redactor alone; what it answers has the same step.
    let mut lost = Vec::new();
    for cause in builder.effects_of_absent.keys() {
        match source_of(cause).and_then(|source| record.find(&source)) {
            Some(source) => builder
                .adopted
                .entry(source.place())
                .or_default()
                .push(cause),
            None => lost.push(*cause),
        }
    }
    let mut trees = Vec::new();
    for root in roots {
        trees.extend(builder.stored(root, None));
    }
    for cause in lost {
        trees.push(builder.absent(cause, None));
    }
    // Messages that name each other as their cause hang on no root.
    for entry in &record.entries {
        trees.extend(builder.stored(entry, None));
    }
    trees.sort_by_key(begins_at);
    trees
}

#[derive(Default)]
struct Builder<'a> {
    /// What followed from a message, by its place.
    effects: BTreeMap<Place, Vec<&'a Entry>>,
    /// What followed from one that cannot be read, by its subject.
    effects_of_absent: BTreeMap<&'a str, Vec<&'a Entry>>,
    /// Subjects of those that hang on a message, by its place.
    adopted: BTreeMap<Place, Vec<&'a str>>,
    seen: BTreeSet<Place>,
}

impl<'a> Builder<'a> {
    /// `None` when the message stands in the tree already.
    fn stored(&mut self, entry: &'a Entry, cause_at: Option<SystemTime>) -> Option<Node<'a>> {
        let place = entry.place();
        if !self.seen.insert(place) {
            return None;
        }
        let at = entry.stored.stored_at;
        let mut children = Vec::new();
        for sealed in self.adopted.remove(&place).unwrap_or_default() {
            children.push(self.absent(sealed, Some(at)));
        }
        for effect in self.effects.remove(&place).unwrap_or_default() {
            children.extend(self.stored(effect, Some(at)));
        }
        children.sort_by_key(begins_at);
        Some(Node {
            what: What::Stored(entry),
            after: cause_at.and_then(|cause| at.duration_since(cause).ok()),
            children,
        })
    }

    /// Its effects are measured from the last message before it that can be read.
    fn absent(&mut self, subject: &'a str, cause_at: Option<SystemTime>) -> Node<'a> {
        let effects = self.effects_of_absent.remove(subject).unwrap_or_default();
        let mut children = Vec::new();
        for effect in effects {
            children.extend(self.stored(effect, cause_at));
        }
        children.sort_by_key(begins_at);
        let what = What::Absent {
            subject: subject.to_owned(),
            why: absence(subject),
        };
        Node {
            what,
            after: None,
            children,
        }
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
