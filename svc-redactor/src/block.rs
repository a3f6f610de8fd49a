//! Sources of evidence that an installation does not want anybody to read.

use bonesetter_proto::v1::EvidenceItem;

/// Whether the id of an item fits one of the patterns; `*` stands for any characters.
pub(crate) fn is_blocked(patterns: &[String], item: &EvidenceItem) -> bool {
    patterns.iter().any(|pattern| fits(pattern, &item.id))
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
}
