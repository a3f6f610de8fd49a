//! Base64 in texts: decoded, scanned, and taken out as a whole when it holds a secret.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::engine::{Engine, Hit, Strength};
use crate::learn::Learnt;

const SHORTEST: usize = 20;
const LONGEST: usize = 256 << 10;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Appends base64 strings whose text holds a secret.
pub(crate) fn scan(
    engine: &Engine,
    text: &str,
    learnt: &Learnt,
    depth: usize,
    hits: &mut Vec<Hit>,
) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is_base64(**b)).count();
        let padding = bytes[at + length..]
            .iter()
            .take(2)
            .take_while(|b| **b == b'=')
            .count();
        if (SHORTEST..=LONGEST).contains(&length)
            && let Some(decoded) = decode(&text[at..at + length])
        {
            let secret = engine
                .scan_at(&decoded, learnt, depth + 1)
                .into_iter()
                .find(|hit| hit.strength > Strength::Random);
            if let Some(found) = secret {
                let hit = Hit::new(
                    at,
                    at + length + padding,
                    "secret",
                    "base64",
                    Strength::Carrier,
                );
                hits.push(Hit {
                    kind: found.kind,
                    ..hit
                });
            }
        }
        at += (length + padding).max(1);
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Every run of base64 that is readable text: its place, and what it says.
pub(crate) fn texts(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for run in text.split(|c: char| !u8::try_from(c).is_ok_and(is_base64)) {
        let start = at;
        at += run.len();
        if (SHORTEST..=LONGEST).contains(&run.len())
            && let Some(decoded) = decode(run)
        {
            found.push((start, at, decoded));
        }
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    found
}

/// The text in a base64 string, if it is text.
pub(crate) fn decode(token: &str) -> Option<String> {
    let bytes = if token.contains(['-', '_']) {
        URL.decode(token)
    } else {
        PLAIN.decode(token)
    }
    .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let printable = text
        .chars()
        .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    (printable && text.is_ascii() && text.len() >= 12).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_text_only() {
        assert_eq!(
            decode("cGFzc3dvcmQ9aHVudGVyMgo=".trim_end_matches('=')).as_deref(),
            Some("password=hunter2\n")
        );
        assert_eq!(decode("3c5fd9772e41762a3c5fd977"), None);
    }
}
