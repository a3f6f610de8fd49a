use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use aws_lc_rs::hmac;
use bonesetter_keys::base32;

use crate::engine::{Hit, Strength, is_personal};
use crate::needles::Needles;
use crate::view::percent_decoded;

const ID_CHARACTERS: usize = 6;
const LONGEST: usize = 96;
const SHORT: usize = 64;
const MOST_RECENT: usize = 4096;
/// A shorter number stands in too many texts by chance.
const SHORTEST_PERSONAL: usize = 8;

/// The placeholders of one session: keyed, typed, and the same for the same value.
pub(crate) struct Pseudonyms {
    key: hmac::Key,
    by_value: HashMap<[u8; 32], String>,
    /// The numbers of the placeholders of short values that come again and again, such as addresses.
    recent: HashMap<String, usize>,
    placeholders: Vec<String>,
    issued: HashSet<String>,
    /// Personal data that was taken out, and of which kind each is.
    personal: Needles,
    kinds: Vec<String>,
    /// What each placeholder stands for, if that is to be kept.
    values: Option<HashMap<String, String>>,
}

/// A value without the percent-encoding of a URL: what it stands for has one placeholder however it is written.
fn as_meant(value: &str) -> Cow<'_, str> {
    if value.contains('%') {
        Cow::Owned(percent_decoded(value).text)
    } else {
        Cow::Borrowed(value)
    }
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
            personal: Needles::default(),
            kinds: Vec::new(),
            values: None,
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
        let digest = self.digest(&as_meant(value));
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
        if let Some(values) = &mut self.values {
            values.insert(placeholder.clone(), value.to_owned());
        }
        if is_personal(kind)
            && !matches!(kind, "ip" | "mac" | "host" | "user")
            && value.len() >= SHORTEST_PERSONAL
        {
            self.personal.add(value.to_owned());
            self.kinds.push(kind.to_owned());
        }
        placeholder
    }

    /// From now on remembers what placeholders stand for.
    pub(crate) fn keep_values(&mut self) {
        self.values.get_or_insert_default();
    }

    /// What is remembered: placeholders and what they stand for.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter().flatten();
        values.map(|(placeholder, value)| (placeholder.as_str(), value.as_str()))
    }

    /// Appends where personal data that was taken out stands in a text, not inside a longer word.
    pub(crate) fn scan_personal(&self, text: &str, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let is_inner = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        // Behind these an address is the end of a URL or of a login, which the rules leave as well.
        let is_joined = |byte: Option<&u8>| byte.is_some_and(|byte| b"._%+/:-".contains(byte));
        self.personal.find(text, |number, place| {
            let before = place.start.checked_sub(1).and_then(|at| bytes.get(at));
            if !is_inner(before) && !is_joined(before) && !is_inner(bytes.get(place.end)) {
                let kind = &self.kinds[number];
                hits.push(Hit::new(
                    place.start,
                    place.end,
                    kind,
                    "taken-out",
                    Strength::Personal,
                ));
            }
        });
    }

    /// The length of the longest personal data that was taken out.
    pub(crate) fn longest_personal(&self) -> usize {
        self.personal.longest()
    }

    /// Whether personal data was taken out that is searched for.
    pub(crate) fn has_personal(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Whether a line ends within personal data that was taken out.
    pub(crate) fn has_line_breaks(&self) -> bool {
        self.personal.has_line_breaks()
    }

    /// How much was taken out: what may stand in a message changes with it.
    pub(crate) fn count(&self) -> usize {
        self.issued.len()
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

/// Puts values in the place of placeholders, in one pass: what looks like a placeholder in a value stays.
///
/// ```
/// let restored = bonesetter_redact::restore("from <email:abcdef> by <x:abcdef>", |placeholder| {
///     (placeholder == "<email:abcdef>").then_some("ada@example.com")
/// });
/// assert_eq!(restored, "from ada@example.com by <x:abcdef>");
/// ```
pub fn restore<'a>(text: &str, value_of: impl FnMut(&str) -> Option<&'a str>) -> String {
    replace(text, value_of).unwrap_or_else(|| text.to_owned())
}

/// Puts something in the place of what has the shape of a placeholder; `None` if nothing is to be replaced.
pub(crate) fn replace<T: AsRef<str>>(
    text: &str,
    mut replacement: impl FnMut(&str) -> Option<T>,
) -> Option<String> {
    let mut replaced = String::new();
    let mut at = 0;
    for (start, end) in lookalikes(text) {
        if let Some(new) = replacement(&text[start..end]) {
            replaced.push_str(&text[at..start]);
            replaced.push_str(new.as_ref());
            at = end;
        }
    }
    if at == 0 {
        return None;
    }
    replaced.push_str(&text[at..]);
    Some(replaced)
}

/// Whether something in a text has the shape of a placeholder, ours or not.
pub fn has_placeholder(text: &str) -> bool {
    !lookalikes(text).is_empty()
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
        let mut other = Pseudonyms::new(b"one");
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
