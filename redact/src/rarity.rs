//! Random-looking strings, and the identifiers of a cluster that look random and are not secret.

use crate::decode::decode;
use crate::engine::{Hit, Strength};
use crate::lexicon::{Naming, classify, is_about, is_signature};
use crate::pem;
use crate::rarity::token::{has_words, is_digest, is_vowel};
pub(crate) use crate::rarity::token::{is_random_token, is_token_byte, is_uuid};
use crate::syntax::name_before;
use crate::validate::entropy;
use crate::value::{Shape, before, case_changes, looks_random};

mod token;

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
            && (is_rare(&text[at..at + length], &text[..at])
                || is_long_base36(&text[at..at + length], &text[..at], &text[at + length..]))
            && !is_encoded_prose(&text[at..at + length])
            && !is_public_key(&text[at..at + length])
            && !is_called_public(text, at)
            && !is_media(&text[at..at + length], &text[at + length..])
        {
            length += joined_parts(&text[at + length..]);
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

/// How public keys begin that are not armoured: with their algorithm.
const PUBLIC_KEYS: [&str; 9] = [
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GN",
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8A",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE",
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE",
    "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQ",
    "MCowBQYDK2VwAyEA",
    "MCowBQYDK2VuAyEA",
];

/// A public key, or base64 of certificates, of the request for one or of public keys, as kubeconfigs and webhooks have
/// them.
fn is_public_key(token: &str) -> bool {
    const BEGIN: &str = "LS0tLS1CRUdJTi";
    let plain = token.starts_with(BEGIN).then(|| decode(token)).flatten();
    PUBLIC_KEYS.iter().any(|key| token.starts_with(key))
        || plain.is_some_and(|plain| is_made_of_public_blocks(&plain))
}

fn is_made_of_public_blocks(text: &str) -> bool {
    let mut end = 0;
    for block in pem::public_blocks(text) {
        if !text[end..block.start].trim().is_empty() {
            return false;
        }
        end = block.end;
    }
    end > 0 && text[end..].trim().is_empty()
}

/// Small letters and digits, more of them than a digest has, that are no address in itself: neither a part of a name
/// with dots (the ids of Oracle's cloud), nor a content id of IPFS, nor Bech32 (`age1...`), nor a name of Tor.
fn is_long_base36(token: &str, before: &str, rest: &str) -> bool {
    if token.len() < 48
        || before.ends_with('.')
        || rest.starts_with(".onion")
        || token.starts_with("baf")
    {
        return false;
    }
    let core = token.split(['_', '-']).next().unwrap_or_default();
    let is_small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_bech32 = core.split_once('1').is_some_and(|(name, _)| {
        (2..=6).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase())
    });
    let digits = core.bytes().filter(u8::is_ascii_digit).count();
    let beyond_hex = core.bytes().filter(|b| (b'g'..=b'z').contains(b)).count();
    core.len() >= 48
        && core.bytes().all(is_small)
        && !is_bech32
        && digits >= 6
        && beyond_hex >= 12
        && entropy(core) >= 4.0
}

/// How much of a text goes on with a string before it: random parts after dots.
fn joined_parts(rest: &str) -> usize {
    let mut length = 0;
    while let Some(part) = rest[length..].strip_prefix('.') {
        let part = &part[..part.bytes().take_while(|b| is_rare_byte(*b)).count()];
        if part.len() > 512 || !looks_random(part) {
            break;
        }
        length += 1 + part.len();
    }
    length
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
    // A content id of IPFS, and what services of models call an answer.
    let is_content = token.len() == 46 && token.starts_with("Qm")
        || [
            "chatcmpl-",
            "cmpl-",
            "resp_",
            "msg_",
            "call_",
            "toolu_",
            "run_",
        ]
        .iter()
        .any(|lead| token.starts_with(lead));
    if shape.lower < 3 || shape.upper < 3 || shape.digits < 2 || is_digest(token) || is_content {
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
    let is_public =
        |name: &str| is_about(name) || is_signature(name) || is_digest_name(name) || name == "kid";
    name_of_string(text, start).is_some_and(is_public)
}

/// Whether a string has the name of a digest: `"sha512": "HYmZNYuS9Kt9..."`.
pub(crate) fn is_called_digest(text: &str, start: usize) -> bool {
    name_of_string(text, start).is_some_and(is_digest_name)
}

fn name_of_string(text: &str, start: usize) -> Option<&str> {
    // What stands before it may be a part of the same value.
    let window = before(text, start, 120);
    let is_inner =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+' | '~');
    let head = window.trim_end_matches(is_inner);
    let start = start - (window.len() - head.len());
    let separator = head.trim_end_matches(['"', '\'', '\\', ' ']);
    let at = start - head.len() + separator.len().checked_sub(1)?;
    separator
        .ends_with(['=', ':'])
        .then(|| name_before(text, at))?
}

/// `sha512`, `integrity`.
fn is_digest_name(name: &str) -> bool {
    let last = name.rsplit(['.', '_', '-']).next().unwrap_or(name);
    ["sha256", "sha384", "sha512", "md5", "integrity", "digest"]
        .iter()
        .any(|digest| last.eq_ignore_ascii_case(digest))
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

/// How many letters are in runs of at least three small ones that have a vowel, with the capital before them.
pub(crate) fn letters_in_humps(word: &[u8]) -> usize {
    let mut letters = 0;
    let mut start = 0;
    while start < word.len() {
        let run = word[start..]
            .iter()
            .take_while(|b| b.is_ascii_lowercase())
            .count();
        let capital = start
            .checked_sub(1)
            .is_some_and(|at| word[at].is_ascii_uppercase());
        let hump = &word[start - usize::from(capital)..start + run];
        if run >= 3 && hump.iter().any(|b| is_vowel(char::from(*b))) {
            letters += hump.len();
        }
        start += run + 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_strings() {
        let count = |text: &str| {
            let mut hits = vec![];
            scan(text, &mut hits);
            hits.len()
        };
        assert_eq!(count("got 9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8 back"), 1);
        assert_eq!(
            count("kit.hsnevO4R7TzzpAo2M9rjwqckdGNiQC3M.6a4f91eb79dfb04b036caf48.\n"),
            1
        );
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
