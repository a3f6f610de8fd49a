//! Whether a string is random: what a name that says little has to have behind it.

use crate::validate::entropy;
use crate::value::{Shape, case_changes, is_handle, is_masked, looks_random};

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'$' | b'~' | b'%' | b':' | b'@'
        )
}

/// Whether a value in a place that hints at a secret is random enough to be one.
pub(crate) fn is_random_token(value: &str) -> bool {
    if value.len() < 12 {
        return false;
    }
    let shape = Shape::of(value);
    let longest = value
        .split(|c: char| !c.is_ascii_alphanumeric())
        .max_by_key(|part| part.len())
        .unwrap_or_default();
    let is_mixed = value.len() >= 16
        && shape.classes() >= 3
        && (shape.digits >= 2 || shape.digits == 1 && case_changes(value) >= 3);
    // What most values are not comes first, and what costs most last.
    let random = is_uuid(value)
        || is_long_word(value, shape)
        || is_long_number(value, shape)
        || looks_random(longest)
        || is_mixed && !has_words(value) && !is_object_name(value) && entropy(value) >= 3.3
        || is_grouped(value);
    (random && !is_object_name(value) || is_sequence(value) && value.parse::<f64>().is_err())
        && !value.starts_with("urn:")
        && !is_digest(value)
        && !is_masked(value)
        && !is_timestamp(value)
        && !is_version(value)
        && !is_handle(value.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
}

/// Twenty and more digits in groups that are no date.
fn is_long_number(value: &str, shape: Shape) -> bool {
    shape.digits >= 20 && value.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// A run of letters that is longer than words are.
fn is_long_word(value: &str, shape: Shape) -> bool {
    let single = shape.lower == value.len() || shape.upper == value.len();
    single && (value.len() >= 20 || shape.upper >= 16) && entropy(value) >= 2.5
}

/// `abcdefghijklmnop_1`, `1234-5678-abcd-efgh`: what people type for a key. No word has half of its letters in
/// the order of the alphabet.
fn is_sequence(value: &str) -> bool {
    const LONGEST: usize = 256;
    let follows = |pair: &&[u8]| {
        pair[0].is_ascii_alphanumeric() && (pair[1] == pair[0] + 1 || *pair == b"90")
    };
    let steps = || value.as_bytes().windows(2).filter(follows).count();
    (16..=LONGEST).contains(&value.len()) && steps() * 2 >= value.len()
}

/// `ABCDE12-FGHIJ34-KLMNO56-PQRST78`: four and more groups of one length, in capitals and digits.
fn is_grouped(value: &str) -> bool {
    let length = value.find('-').unwrap_or_default();
    let is_group = |group: &str| {
        let is_one = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        group.len() == length && group.bytes().all(is_one)
    };
    (5..=8).contains(&length) && value.split('-').count() >= 4 && value.split('-').all(is_group)
}

pub(super) fn is_vowel(letter: char) -> bool {
    matches!(
        letter.to_ascii_lowercase(),
        'a' | 'e' | 'i' | 'o' | 'u' | 'y'
    )
}

/// Two or more ordinary words: a path, an image, a host name. Those of four and more letters have a vowel, and a capital
/// that begins one belongs to it; of three letters they count where nothing is joined to them.
pub(super) fn has_words(value: &str) -> bool {
    const SPELLED: [&str; 5] = ["http", "https", "html", "grpc", "mqtt"];
    let bytes = value.as_bytes();
    let is = |at: Option<usize>, is_one: fn(&u8) -> bool| {
        at.and_then(|at| bytes.get(at)).is_some_and(is_one)
    };
    let mut words = 0;
    let mut start = 0;
    for part in value.split(|c: char| !c.is_ascii_lowercase()) {
        let (end, before) = (start + part.len(), start.checked_sub(1));
        let letters = part.len() + usize::from(is(before, u8::is_ascii_uppercase));
        let is_joined =
            is(before, u8::is_ascii_alphanumeric) || is(Some(end), u8::is_ascii_alphanumeric);
        let is_spoken = part.contains(is_vowel) || SPELLED.contains(&part);
        let is_long = letters >= 4 && (is_spoken || value[end - letters..end].contains(is_vowel));
        words += usize::from(is_long || part.len() == 3 && !is_joined);
        start = end + value[end..].chars().next().map_or(0, char::len_utf8);
    }
    words >= 2
}

/// Names of objects: words and short hashes between hyphens, dots and slashes.
fn is_object_name(value: &str) -> bool {
    let plain = value.bytes().all(|b| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'-' | b'.' | b'/' | b':' | b'_' | b'@')
    });
    let is_hash = |part: &str| part.len() >= 12 && part.bytes().any(|b| b.is_ascii_digit());
    let is_word = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_lowercase());
    let mut parts = value.split(['-', '.', '/', ':', '_', '@']);
    plain && parts.clone().any(is_word) && parts.clone().count() >= 2 && !parts.any(is_hash)
}

pub(crate) fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| {
            if matches!(i, 8 | 13 | 18 | 23) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

pub(super) fn is_digest(value: &str) -> bool {
    [
        "sha256:", "sha512:", "sha1:", "md5:", "sha512-", "sha384-", "sha256-", "h1:", "SHA256:",
        "MD5:",
    ]
    .iter()
    .any(|prefix| value.starts_with(prefix))
        || value.contains("sha256:")
}

/// `v1.2.3-rc1`, `rc0.15.0_20231217-SNAPSHOT`: two numbers with a dot behind at most three letters.
fn is_version(value: &str) -> bool {
    let value = value.trim_start_matches(['^', '~', '=']);
    let number = value.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let mut parts = number.split('.');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    value.len() - number.len() <= 3
        && value.len() <= 48
        && is_number(parts.next())
        && is_number(parts.next())
}

fn is_timestamp(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let hyphens_only = value.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if hyphens_only && value.as_bytes().get(4) != Some(&b'-') {
        // An account number in groups.
        return false;
    }
    value.len() <= 40
        && value.bytes().all(|b| {
            b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b'Z' | b'.' | b'+' | b'/')
        })
        && digits >= 8
        && value.contains([':', '-', '.', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tokens() {
        for value in [
            "a1b2c3d4e5f6g7h8i9j0",
            "scp-test-1234567890abcdef1234567890abcdef",
            "123e4567-e89b-12d3-a456-426614174000",
            "$1$28772684$iEwNOgGugqO9.bIz5sk8k/",
            "7481523-9081726354-123498765-210",
            "kpRMundWTj3-bD6eafSX",
            "bcdefghijklmnopqrs_7",
            "ABCDE12-FGHIJ34-KLMNO56-PQRST78",
        ] {
            assert!(is_random_token(value), "{value}");
        }
        for value in [
            "orders-5c9d8f7b6-x2x4z",
            "service-account-orders",
            "registry.example.com/team/app:1.2.3",
            "sha256:e786f2e2f910803ef8ee096b48349c62",
            "2025-01-01T00:00:00Z",
            "2025-01-01-00-00-00",
            "rc0.15.0_20231217_1420-SNAPSHOT",
            "ip-10-0-225-155.ec2.internal",
            "Web-app/api-server-v12",
            "Fail:sts:5_rsn:0-capture",
            "PROD-EAST-WEST-MAIN",
            "0x0123456789abcdef",
            "2.345678901234567",
            "paypal-7d9c6b8f4d-x2x4z",
        ] {
            assert!(!is_random_token(value), "{value}");
        }
    }
}
