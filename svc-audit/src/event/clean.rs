//! What of a message's text may get into a row: names, digests and versions, and nothing else.

use bonesetter_proto::v1::FailureClass;

const CLASS_PREFIX: &str = "FAILURE_CLASS_";
const MAX_OBJECT_NAME: usize = 253;
const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 128;

/// A name of ours, or the word `invalid`: never a sentence, a path or a line.
pub(super) fn stable(name: &str) -> String {
    lower_case(name, MAX_NAME, b"-._")
}

/// The name of a Kubernetes object (RFC 1123 subdomain), or the word `invalid`.
pub(super) fn object_name(name: &str) -> String {
    lower_case(name, MAX_OBJECT_NAME, b"-.")
}

fn lower_case(name: &str, max: usize, others: &[u8]) -> String {
    let is_name = (1..=max).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b));
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

/// The name of the value without its prefix, in lower case; `None` when there is none.
pub(super) fn class_name(class: FailureClass) -> Option<String> {
    let name = class.as_str_name().strip_prefix(CLASS_PREFIX)?;
    (class != FailureClass::Unspecified).then(|| name.to_ascii_lowercase())
}

/// The value whose name was recorded.
pub(crate) fn class_of(recorded: &str) -> FailureClass {
    let name = format!("{CLASS_PREFIX}{}", recorded.to_ascii_uppercase());
    FailureClass::from_str_name(&name).unwrap_or_default()
}
