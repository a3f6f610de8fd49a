//! What was taken out, and how often. Never what it was.

use std::collections::BTreeMap;

use bonesetter_proto::v1::Removal;
use bonesetter_redact::{Finding, ObjectFinding};

/// The kind of what tries to instruct the reader.
pub(crate) const INJECTION: &str = "injection";

/// More places than this are counted by evidence item and no longer by JSON pointer.
const MAX_PLACES: usize = 400;

/// Counts removals by kind, rule and place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    counts: BTreeMap<(String, String, String), u32>,
}

impl Tally {
    /// Counts what was taken out of a text of one evidence item.
    pub(crate) fn text(&mut self, id: &str, findings: &[Finding]) {
        for finding in findings {
            self.add(&finding.kind, &finding.rule, id.to_owned());
        }
    }

    /// Counts what was taken out of an object; `within` is the pointer at which the object stands.
    pub(crate) fn object(&mut self, id: &str, within: &str, findings: &[ObjectFinding]) {
        for finding in findings {
            let place = format!("{id}#{within}{}", finding.pointer);
            self.add(&finding.kind, &finding.rule, place);
        }
    }

    /// Counts one whole item that was withheld.
    pub(crate) fn withheld(&mut self, id: &str, rule: &str) {
        self.add("withheld", rule, id.to_owned());
    }

    /// Counts a text with something that has the shape of a placeholder.
    pub(crate) fn forged(&mut self, id: &str) {
        self.add("forged", "placeholder", id.to_owned());
    }

    /// Counts what tries to instruct the reader.
    pub(crate) fn injection(&mut self, rule: &str, place: String) {
        self.add(INJECTION, rule, place);
    }

    /// The counts, sorted, few enough for a message.
    pub(crate) fn into_removals(self) -> Vec<Removal> {
        let mut counts = self.counts;
        if counts.len() > MAX_PLACES {
            counts = regroup(counts, |place| {
                place.split('#').next().unwrap_or_default().to_owned()
            });
        }
        if counts.len() > MAX_PLACES {
            counts = regroup(counts, |place| {
                place.split('/').next().unwrap_or_default().to_owned()
            });
        }
        counts
            .into_iter()
            .map(|((kind, rule, place), count)| Removal {
                kind,
                rule,
                place,
                count,
            })
            .collect()
    }

    fn add(&mut self, kind: &str, rule: &str, place: String) {
        self.add_all((kind.to_owned(), rule.to_owned(), place), 1);
    }

    fn add_all(&mut self, key: (String, String, String), more: u32) {
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(more);
    }
}

/// Removals of which several may be of the same place.
pub(crate) fn merge(removals: impl Iterator<Item = Removal>) -> Vec<Removal> {
    let mut tally = Tally::default();
    for removal in removals {
        let key = (removal.kind, removal.rule, removal.place);
        tally.add_all(key, removal.count);
    }
    tally.into_removals()
}

fn regroup(
    counts: BTreeMap<(String, String, String), u32>,
    group: impl Fn(&str) -> String,
) -> BTreeMap<(String, String, String), u32> {
    let mut grouped = BTreeMap::<_, u32>::new();
    for ((kind, rule, place), count) in counts {
        let sum = grouped.entry((kind, rule, group(&place))).or_default();
        *sum = sum.saturating_add(count);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pointer: &str) -> ObjectFinding {
        ObjectFinding {
            rule: "env".into(),
            kind: "secret".into(),
            pointer: pointer.into(),
        }
    }

    #[test]
    fn removals_are_counted_by_place() {
        let mut tally = Tally::default();
        tally.object(
            "object/Pod/p",
            "",
            &[found("/spec/x"), found("/spec/x"), found("/spec/y")],
        );
        tally.withheld("log/p/app/current", "egress");
        let places: Vec<_> = tally
            .into_removals()
            .into_iter()
            .map(|removal| (removal.place, removal.count))
            .collect();
        let expected = [
            ("object/Pod/p#/spec/x", 2),
            ("object/Pod/p#/spec/y", 1),
            ("log/p/app/current", 1),
        ];
        assert_eq!(
            places,
            expected.map(|(place, count)| (place.to_owned(), count))
        );
    }

    #[test]
    fn too_many_places_are_counted_by_item_and_then_by_kind_of_item() {
        let mut tally = Tally::default();
        for n in 0..1000 {
            tally.object("object/Pod/p", "", &[found(&format!("/spec/{n}"))]);
        }
        let removals = tally.clone().into_removals();
        assert_eq!((removals.len(), removals[0].count), (1, 1000));
        for n in 0..1000 {
            tally.withheld(&format!("event/{n}"), "egress");
        }
        let places: Vec<_> = tally
            .into_removals()
            .into_iter()
            .map(|removal| removal.place)
            .collect();
        assert_eq!(places, ["object", "event"]);
    }
}
