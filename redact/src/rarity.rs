//! Random-looking strings, and the identifiers of a cluster that look random and are not secret.

use crate::decode::decode;
use crate::engine::{Hit, Strength};
use crate::lexicon::{Naming, classify, is_about, is_signature};
use crate::syntax::name_before;
use crate::validate::entropy;
use crate::value::{Shape, before, case_changes, is_handle, is_masked, looks_random};

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
    let is_mixed = shape.classes() >= 3 && shape.digits >= 2 && value.len() >= 16;
    // What most values are not comes first, and what costs most last.
    let random = is_uuid(value)
        || is_long_word(value, shape)
        || is_long_number(value, shape)
        || looks_random(longest)
        || is_mixed && !has_words(value) && !is_object_name(value) && entropy(value) >= 3.3;
    random
        && !is_object_name(value)
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

/// Two or more ordinary words between separators: a path, an image, a host name.
fn has_words(value: &str) -> bool {
    let is_word = |part: &&str| part.len() >= 3 && part.bytes().all(|b| b.is_ascii_lowercase());
    value
        .split(|c: char| !c.is_ascii_lowercase())
        .filter(is_word)
        .count()
        >= 2
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

fn is_digest(value: &str) -> bool {
    [
        "sha256:", "sha512:", "sha1:", "md5:", "sha512-", "sha384-", "sha256-", "h1:", "SHA256:",
        "MD5:",
    ]
    .iter()
    .any(|prefix| value.starts_with(prefix))
        || value.contains("@sha256:")
}

/// `v1.2.3-rc1`, `rc0.15.0_20231217-SNAPSHOT`: two numbers with a dot behind at most three letters.
fn is_version(value: &str) -> bool {
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

/// Appends strings that are random in themselves, whatever stands before them.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    lone_tokens(text, hits);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let mut length = bytes[at..].iter().take_while(|b| is_rare_byte(**b)).count();
        if length >= 20 {
            length += bytes[at + length..]
                .iter()
                .take(2)
                .take_while(|b| **b == b'=')
                .count();
        }
        if (20..=4096).contains(&length)
            && is_rare(&text[at..at + length], &text[..at])
            && !is_encoded_prose(&text[at..at + length])
            && !is_called_public(text, at)
            && !is_media(&text[at..at + length], &text[at + length..])
        {
            hits.push(Hit::new(
                at,
                at + length,
                "secret",
                "random-string",
                Strength::Random,
            ));
        }
        at += length.max(1);
    }
}

/// Base64 of a sentence: words of letters with commas and an end, none of which names a secret.
fn is_encoded_prose(token: &str) -> bool {
    let plain = decode(token.trim_end_matches('='));
    let is_word = |word: &str| {
        let word = word.trim_end_matches([',', '.', '!', '?']);
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphabetic())
            && classify(word) == Naming::Ordinary
    };
    plain.is_some_and(|plain| {
        let words: Vec<&str> = plain.split_ascii_whitespace().collect();
        words.len() >= 4
            && plain.trim_end().ends_with(['.', '!', '?'])
            && words.into_iter().all(is_word)
    })
}

/// Lines that are nothing but one random string: somebody has printed a secret.
fn lone_tokens(text: &str, hits: &mut Vec<Hit>) {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let token = lone_token(line);
        if is_lone_secret(token)
            && let Some(at) = line.find(token)
        {
            let start = offset + at;
            hits.push(Hit::new(
                start,
                start + token.len(),
                "secret",
                "lone-token",
                Strength::Random,
            ));
        }
        offset += line.len();
    }
}

/// Whether a line is nothing but one random string.
pub(crate) fn is_lone_line(line: &str) -> bool {
    is_lone_secret(lone_token(line))
}

fn lone_token(line: &str) -> &str {
    let token = line.trim().trim_start_matches(['/', '#', '"', '\'']).trim();
    token.trim_end_matches(['"', '\'', ',', ';'])
}

fn is_lone_secret(token: &str) -> bool {
    if !(16..=512).contains(&token.len()) || !token.bytes().all(is_token_byte) {
        return false;
    }
    let shape = Shape::of(token);
    let hex = token
        .bytes()
        .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    shape.digits >= 2
        && shape.lower + shape.upper >= 3
        && !hex
        && !is_uuid(token)
        && !is_of_a_trace(token)
        && !is_ulid(token)
        && !is_of_cloud(token)
        && !token.contains(':')
        && !token.trim_end_matches('=').contains('=')
        && !token.starts_with(['/', '.', '-'])
        && !(token.contains('.') && has_words(token))
        && token
            .split(['.', ':', '-', '_', '/', '@', '='])
            .any(looks_like_key)
        && is_random_token(token)
        && !is_encoded_prose(token)
}

/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`: the trace and the span that a request belongs to (W3C).
fn is_of_a_trace(token: &str) -> bool {
    let parts: Vec<&str> = token.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.iter().all(is_hex) && parts.iter().map(|part| part.len()).eq([2, 32, 16, 2])
}

/// `01HZJFKZ802TY63R42W2A7FK43`: a time and a number, in base32 after Crockford; these begin so until 2039.
fn is_ulid(token: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase() && !b"ILOU".contains(&b);
    token.len() == 26 && token.starts_with("01") && token.bytes().all(is_digit)
}

/// `i-0dc0658deb5a4668a`, `vol-0dc0658deb5a4668a`: what AWS calls its things.
fn is_of_cloud(token: &str) -> bool {
    const KINDS: [&str; 12] = [
        "i", "vol", "eni", "subnet", "vpc", "sg", "snap", "ami", "rtb", "igw", "nat", "vpce",
    ];
    token.split_once('-').is_some_and(|(kind, digits)| {
        KINDS.contains(&kind)
            && digits.len() == 17
            && digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    })
}

/// A part of 12 and more characters with letters and digits.
fn looks_like_key(part: &str) -> bool {
    part.len() >= 12 && looks_random(part) && !is_camel_case(part)
}

fn is_rare_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/')
}

fn is_rare(token: &str, before: &str) -> bool {
    let shape = Shape::of(token);
    if shape.lower < 3 || shape.upper < 3 || shape.digits < 2 || is_digest(token) {
        return false;
    }
    if [
        "h1:",
        "base64,",
        "sha512-",
        "sha256:",
        "sha384-",
        "sha1-",
        "W/\"",
        "x-amz-id-2: ",
        "etag",
        "ETag",
        "nonce",
        "checksum",
        "certificate",
        "SHA256:",
        "ssh-ed25519 ",
        "ssh-rsa ",
        "ecdsa-sha2-nistp256 ",
        "public key: ",
        "peer: ",
        "kid=",
        ",iv:",
        ",tag:",
    ]
    .iter()
    .any(|lead| before.ends_with(lead))
    {
        return false;
    }
    let longest = token
        .split(['_', '-', '+', '/', '='])
        .max_by_key(|part| part.len())
        .unwrap_or_default();
    let shape = Shape::of(longest);
    let length = longest.len();
    length >= 16
        && shape.digits >= 2
        && shape.lower >= 3
        && shape.upper >= 3
        && case_changes(longest) >= length / 10
        && entropy(longest) >= 3.6
        && !is_camel_case(longest)
}

/// Whether a string has a name that says it is no secret: `publicToken`, `credentialId`, `issuerKeyHash`.
fn is_called_public(text: &str, start: usize) -> bool {
    // What stands before it may be a part of the same value.
    let window = before(text, start, 120);
    let is_inner =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '~');
    let head = window.trim_end_matches(is_inner);
    let start = start - (window.len() - head.len());
    let separator = head.trim_end_matches(['"', '\'', '\\', ' ']);
    if !separator.ends_with(['=', ':']) {
        return false;
    }
    let at = start - head.len() + separator.len() - 1;
    name_before(text, at).is_some_and(|name| is_about(name) || is_signature(name))
}

/// A picture, a font, a style sheet: servers of such files give them random names.
fn is_media(token: &str, rest: &str) -> bool {
    const EXTENSIONS: [&str; 13] = [
        "jpg", "jpeg", "png", "gif", "webp", "svg", "ico", "css", "js", "woff", "woff2", "mp4",
        "pdf",
    ];
    let extension = rest.strip_prefix('.').unwrap_or_default();
    let end = extension
        .bytes()
        .position(|byte| !byte.is_ascii_alphanumeric())
        .unwrap_or(extension.len());
    token.contains('/') && EXTENSIONS.contains(&&extension[..end])
}

/// `ProgressDeadlineExceeded2`, `IO80211AWDLPeerManager`: half of it is humps of four and more letters, or of three
/// small ones.
fn is_camel_case(word: &str) -> bool {
    letters_in_humps(word.as_bytes()) * 2 >= word.len()
}

/// How many letters are in runs of at least three small ones, with the capital before them.
pub(crate) fn letters_in_humps(word: &[u8]) -> usize {
    let (mut letters, mut run) = (0, 0);
    let mut has_capital = false;
    for (index, byte) in word.iter().enumerate() {
        if byte.is_ascii_lowercase() {
            if run == 0 {
                has_capital = index > 0 && word[index - 1].is_ascii_uppercase();
            }
            run += 1;
            letters += match run {
                1 | 2 => 0,
                3 => 3 + usize::from(has_capital),
                _ => 1,
            };
        } else {
            run = 0;
        }
    }
    letters
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
        ] {
            assert!(!is_random_token(value), "{value}");
        }
    }

    #[test]
    fn rare_strings() {
        let count = |text: &str| {
            let mut hits = vec![];
            scan(text, &mut hits);
            hits.len()
        };
        assert_eq!(count("got 9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8 back"), 1);
        for text in [
            "integrity sha512-8fZiE/6yvH8Z1lzazjl5nCMfTF1iJkrJnKVW9xO2QF7BgCz74A==",
            "ProgressDeadlineExceededForReplicaSet22",
            "IO80211AWDLPeerManager::setAwdlOperatingMode",
            "\"issuerKeyHash\": \"9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8\"",
            "issuerKeyHash=ab-1.9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8",
            "\"signature\":\"9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8\"",
            "https://cdn.example.com/file/9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8.jpg?w=1",
            "3c5fd9772e41762a3c5fd9772e41762a",
            "i-0dc0658deb5a4668a",
            "SGVsbG8gZnJvbSB0aGUgZGVtbyBjb25maWdtYXAsIG5vdGhpbmcgdG8gc2VlIGhlcmUu",
        ] {
            assert_eq!(count(text), 0, "{text}");
        }
    }
}
