//! Names of Secrets and ConfigMaps in messages: `configmap "app-config" not found`.
//!
//! Messages of events and of statuses, that is. A controller's log is full of names of objects that are no business
//! of the incident, and loses its meaning without them; those of the incident are learnt from its objects.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::Regex;

use crate::engine::{Hit, Strength};
use crate::gate::line_around;
use crate::segment::is_record;

#[expect(clippy::expect_used, reason = "constant patterns, compiled by a test")]
static PATTERNS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        r#"(?i)\b(secret|config ?map)s?:?\s+\\?["']([a-z0-9][a-z0-9.-]{0,252})\\?["']\s+(?:not found|is forbidden|already exists|in namespace|of|for|does not|of type|not registered|was not|could not|cannot|timed out|could)"#,
        r"(?:^|[^/A-Za-z0-9_])(Secret|ConfigMap|secret|configmap|secrets|configmaps)s?[ /](?:[a-z0-9][a-z0-9-]{0,62}/)([a-z0-9][a-z0-9.-]{0,252}[a-z0-9])",
        r#"(?i)\b(?:in|of|from) (secret|config ?map) \\?["']([a-z0-9][a-z0-9.-]{0,252})\\?["']"#,
    ]
    .map(|pattern| Regex::new(pattern).expect("a constant"))
});

/// What is in every such message.
static NEAR: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| ["ecret", "onfig", "ECRET", "ONFIG"].map(Finder::new));

/// Appends the names that messages about missing Secrets and ConfigMaps quote.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    if !NEAR.iter().any(|near| near.find(bytes).is_some()) {
        return;
    }
    for pattern in PATTERNS.iter() {
        for captures in pattern.captures_iter(text) {
            let (Some(word), Some(name)) = (captures.get(1), captures.get(2)) else {
                continue;
            };
            if is_record(&text[line_around(text, name.start())]) {
                continue;
            }
            let kind = kind_of(word.as_str());
            hits.push(Hit::new(
                name.start(),
                name.end(),
                kind,
                "object-name",
                Strength::Learnt,
            ));
        }
    }
}

fn kind_of(word: &str) -> &'static str {
    if word.to_ascii_lowercase().starts_with("secret") {
        "secret-name"
    } else {
        "configmap-name"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_messages() {
        for (text, expected) in [
            (
                "Error: configmap \"app-config\" not found",
                vec!["app-config"],
            ),
            (
                "MountVolume.SetUp failed for volume \"x\" : secret \"tls-cert\" not found",
                vec!["tls-cert"],
            ),
            (
                "couldn't find key DB in Secret shop/db-cred",
                vec!["db-cred"],
            ),
            ("<set to the key 'x' in secret 'y-z'>", vec!["y-z"]),
            (
                "Error: secret key \"password\" is missing in object: shop/orders",
                vec![],
            ),
            ("the secret of success", vec![]),
            (
                "W0512 07:53:46.125975       2 main.go:635] Secret \"tls-cert\" not found",
                vec![],
            ),
        ] {
            let mut hits = vec![];
            scan(text, &mut hits);
            assert_eq!(
                hits.iter()
                    .map(|h| &text[h.start..h.end])
                    .collect::<Vec<_>>(),
                expected,
                "{text}"
            );
        }
    }
}
