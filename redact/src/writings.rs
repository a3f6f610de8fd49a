//! How one value is written by the tools that it passes through.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::learn::Bounds;
use crate::rarity::is_uuid;

/// A longer value is not searched for as a list of numbers: it would be longer than any such list in a log.
const LONGEST_LISTED: usize = 128;
/// A shorter value in other case is too often an ordinary word.
const SHORTEST_CASED: usize = 8;

/// A value as such, in other case, escaped in JSON, percent-encoded, in hexadecimal digits, as a list of bytes,
/// and in base64 at all three phases.
pub(crate) fn writings(value: &str) -> Vec<(String, Bounds)> {
    let wordy =
        value.bytes().all(|b| b.is_ascii_alphabetic()) || value.bytes().all(|b| b.is_ascii_digit());
    let bounds = if wordy && value.len() < 16 {
        Bounds::Word
    } else {
        Bounds::None
    };
    let mut all = vec![(value.to_owned(), bounds)];
    all.extend(cases(value).map(|cased| (cased, bounds)));
    if let Ok(json) = serde_json::to_string(value) {
        all.push((json.trim_matches('"').to_owned(), bounds));
    }
    all.push((percent(value), bounds));
    let hex = hex(value);
    all.push((hex.to_ascii_uppercase(), Bounds::None));
    all.push((hex, Bounds::None));
    if value.len() <= LONGEST_LISTED {
        // Go prints bytes as `[104 117]`, most others as `[104, 117]`, JSON as `[104,117]`.
        all.extend([" ", ", ", ","].map(|between| (listed(value, between), Bounds::Number)));
    }
    all.extend(base64(value).map(|text| (text, Bounds::None)));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

/// To many tools upper and lower case are the same, and a UUID without its hyphens is one too. Not of a single word.
fn cases(value: &str) -> impl Iterator<Item = String> {
    let is_mixed = value.len() >= SHORTEST_CASED && !value.bytes().all(|b| b.is_ascii_alphabetic());
    let bare = is_uuid(value).then(|| value.replace('-', ""));
    let spellings = [is_mixed.then(|| value.to_owned()), bare];
    let spellings = spellings.into_iter().flatten();
    spellings.flat_map(|text| [text.to_ascii_lowercase(), text.to_ascii_uppercase()])
}

fn percent(value: &str) -> String {
    let mut percent = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            percent.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(percent, "%{byte:02X}");
        }
    }
    percent
}

fn hex(value: &str) -> String {
    let mut hex = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn listed(value: &str, between: &str) -> String {
    let numbers: Vec<String> = value.bytes().map(|byte| byte.to_string()).collect();
    numbers.join(between)
}

/// What of the base64 of a value does not depend on its neighbours, at each phase.
fn base64(value: &str) -> impl Iterator<Item = String> {
    (0..3).flat_map(move |phase| {
        let mut bytes = vec![0; phase];
        bytes.extend(value.as_bytes());
        let first = [0, 2, 3][phase];
        let whole = bytes.len() / 3 * 4 + [0, 1, 2][bytes.len() % 3];
        let texts = [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ];
        texts.into_iter().filter_map(move |text| {
            let stable = text.get(first..whole.min(text.len()))?;
            (stable.len() >= 7).then(|| stable.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> Vec<String> {
        writings(value).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn a_value_is_known_in_other_case_and_as_bytes() {
        let uuid = "3f2b8c1e-77aa-4b0d-9c55-0a1b2c3d4e5f";
        let all = written(uuid);
        for expected in [
            uuid.to_uppercase(),
            uuid.replace('-', ""),
            uuid.replace('-', "").to_uppercase(),
        ] {
            assert!(all.contains(&expected), "{expected}");
        }
        let all = written("Tulip-7x");
        for expected in [
            "Tulip-7x",
            "tulip-7x",
            "TULIP-7X",
            "84 117 108 105 112 45 55 120",
            "84, 117, 108, 105, 112, 45, 55, 120",
            "84,117,108,105,112,45,55,120",
        ] {
            assert!(all.iter().any(|text| text == expected), "{expected}");
        }
        assert!(!written("production").contains(&"PRODUCTION".to_owned()));
    }
}
