//! What of a message's text may get into a row: names, digests and versions, and nothing else.

const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 128;

/// A name of ours, or the word `invalid`: never a sentence, a path or a line.
pub(super) fn stable(name: &str) -> String {
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    if is_name {
        name.to_owned()
    } else {
        "invalid".to_owned()
    }
}

/// 64 lower-case hex digits.
pub(super) fn hash(text: &str) -> Option<String> {
    let is_hash = text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_hash.then(|| text.to_owned())
}

/// Version and configuration digest, for example `0.1.0+3f2a9c0d1e2b`.
pub(super) fn version(text: &str) -> String {
    let is_version = text.len() <= MAX_VERSION
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if is_version {
        text.to_owned()
    } else {
        "invalid".to_owned()
    }
}
