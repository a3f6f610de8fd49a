use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use aws_lc_rs::hmac;
use bonesetter_keys::base32;

const ID_CHARACTERS: usize = 6;
const LONGEST: usize = 96;
const SHORT: usize = 64;
const MOST_RECENT: usize = 4096;

/// The placeholders of one session: keyed, typed, and the same for the same value.
#[derive(Clone)]
pub(crate) struct Pseudonyms {
    key: hmac::Key,
    by_value: HashMap<[u8; 32], String>,
    /// The numbers of the placeholders of short values that come again and again, such as addresses.
    recent: HashMap<String, usize>,
    placeholders: Vec<String>,
    issued: HashSet<String>,
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pseudonyms({} issued)", self.issued.len())
    }
}

impl Pseudonyms {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            by_value: HashMap::new(),
            recent: HashMap::new(),
            placeholders: Vec::new(),
            issued: HashSet::new(),
        }
    }

    /// The placeholder of a value. The first kind seen for a value stays.
    pub(crate) fn placeholder(&mut self, kind: &str, value: &str) -> String {
        self.of(kind, value).into_owned()
    }

    /// The same, without a copy where it is remembered.
    pub(crate) fn of(&mut self, kind: &str, value: &str) -> Cow<'_, str> {
        if let Some(&known) = self.recent.get(value) {
            return Cow::Borrowed(&self.placeholders[known]);
        }
        let placeholder = self.computed(kind, value);
        if value.len() > SHORT || self.recent.len() >= MOST_RECENT {
            return Cow::Owned(placeholder);
        }
        let number = self.placeholders.len();
        self.recent.insert(value.to_owned(), number);
        self.placeholders.push(placeholder);
        Cow::Borrowed(&self.placeholders[number])
    }

    fn computed(&mut self, kind: &str, value: &str) -> String {
        let digest = self.digest(value);
        if let Some(known) = self.by_value.get(&digest) {
            return known.clone();
        }
        let mut characters = ID_CHARACTERS;
        let mut placeholder = format!("<{kind}:{}>", base32(&digest, characters));
        while self.issued.contains(&placeholder) && characters < 51 {
            characters += 1;
            placeholder = format!("<{kind}:{}>", base32(&digest, characters));
        }
        self.issued.insert(placeholder.clone());
        self.by_value.insert(digest, placeholder.clone());
        placeholder
    }

    /// A note that stands for a part which could not be handled.
    pub(crate) fn withheld(&mut self, reason: &str) -> String {
        let placeholder = format!("<withheld:{reason}>");
        self.issued.insert(placeholder.clone());
        placeholder
    }

    pub(crate) fn is_issued(&self, text: &str) -> bool {
        self.issued.contains(text)
    }

    fn digest(&self, value: &str) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, value.as_bytes()).as_ref());
        digest
    }
}

/// Where `text` has something of the shape of a placeholder: `<kind:id>`.
pub(crate) fn lookalikes(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for start in memchr::memchr_iter(b'<', bytes) {
        if let Some(end) = lookalike_end(bytes, start) {
            found.push((start, end));
        }
    }
    found
}

pub(crate) fn lookalike_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start + 1..bytes.len().min(start + LONGEST)];
    let colon = rest
        .iter()
        .position(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'))?;
    if colon == 0 || rest[colon] != b':' {
        return None;
    }
    let id = &rest[colon + 1..];
    let length = id
        .iter()
        .position(|b| !(b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'))?;
    (length >= ID_CHARACTERS && id[length] == b'>').then_some(start + 1 + colon + 1 + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_value_same_placeholder_and_other_key_other_placeholder() {
        let mut first = Pseudonyms::new(b"one");
        let mut second = Pseudonyms::new(b"two");
        let placeholder = first.placeholder("secret", "hunter2");
        assert_eq!(placeholder, first.placeholder("aws-key", "hunter2"));
        assert_ne!(placeholder, first.placeholder("secret", "hunter3"));
        assert_ne!(placeholder, second.placeholder("secret", "hunter2"));
        assert_eq!(placeholder.len(), "<secret:abcdef>".len());
        assert!(first.is_issued(&placeholder) && !second.is_issued(&placeholder));
    }

    #[test]
    fn a_collision_extends_the_id() {
        let mut pseudonyms = Pseudonyms::new(b"one");
        let mut other = pseudonyms.clone();
        let taken = other.placeholder("secret", "a");
        pseudonyms.issued.insert(taken.clone());
        let extended = pseudonyms.placeholder("secret", "a");
        assert_eq!(extended.len(), taken.len() + 1);
    }

    #[test]
    fn finds_what_looks_like_a_placeholder() {
        assert_eq!(lookalikes("a <secret:abcdef> b"), [(2, 17)]);
        assert_eq!(lookalikes("<withheld:too-deep>"), [(0, 19)]);
        for text in [
            "<secret:abc>",
            "<a b:abcdef>",
            "<:abcdef>",
            "a<b",
            "<secret:abcdef",
            "<none>",
            "<SECRET:abcdef>",
        ] {
            assert_eq!(lookalikes(text), [], "{text}");
        }
    }
}
