//! Sources of evidence that an installation does not want anybody to read.

use bonesetter_proto::v1::Evidence;

use crate::evidence::withheld_note;

/// Replaces every item whose id fits one of the patterns by a note; `*` stands for any characters.
pub(crate) fn withhold(evidence: &mut Evidence, patterns: &[String]) {
    for item in &mut evidence.items {
        if patterns.iter().any(|pattern| fits(pattern, &item.id)) {
            *item = withheld_note(&item.id, "blocked by the setting `block`");
        }
    }
}

fn fits(pattern: &str, id: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == id;
    };
    let Some(mut left) = id.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = rest
        .rsplit_once('*')
        .map_or((None, rest), |(m, t)| (Some(m), t));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::evidence_item::Content;
    use bonesetter_proto::v1::{EvidenceItem, Note};

    use super::*;

    #[test]
    fn patterns_fit_whole_ids() {
        for (pattern, id, expected) in [
            ("event/7", "event/7", true),
            ("event/7", "event/77", false),
            ("log/*/sidecar/*", "log/api-1/sidecar/current", true),
            ("log/*/sidecar/*", "log/api-1/app/current", false),
            ("log/*", "loki/api-1/app", false),
            ("*/app", "loki/api-1/app", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ac", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, id), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn a_blocked_source_leaves_a_note() {
        let item = |id: &str| EvidenceItem {
            id: id.to_owned(),
            content: Some(Content::Note(Note::default())),
        };
        let mut evidence = Evidence {
            items: vec![item("log/a/app/current"), item("event/1")],
            ..Evidence::default()
        };
        withhold(&mut evidence, &["log/*".to_owned()]);
        assert_eq!(evidence.items[0].id, "note/log/a/app/current");
        assert_eq!(evidence.items[1], item("event/1"));
    }
}
