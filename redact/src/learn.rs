//! Values and names seen in secret places, found again anywhere, in any common encoding.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use crate::decode::decode;
use crate::engine::{Hit, Strength};
use crate::needles::Needles;
use crate::splits::Splits;
use crate::value::is_distinctive;
use crate::view::percent_decoded;
use crate::writings::writings;

const MOST_VALUES: usize = 4096;
const LONGEST: usize = 16 << 10;
/// A shorter public name stands in too many words to mean anything.
const SHORTEST_NAME: usize = 3;

/// What the session knows to be secret.
#[derive(Default)]
pub(crate) struct Learnt {
    values: HashSet<String>,
    /// Names of objects and keys: found between boundaries only.
    names: HashSet<String>,
    /// Names that are searched for in certain phrases only.
    phrased: HashSet<String>,
    /// Names that texts need: of workloads, namespaces, containers.
    public: HashSet<String>,
    needles: Vec<Needle>,
    search: Needles,
    splits: Splits,
    dirty: bool,
    overflow: bool,
}

impl fmt::Debug for Learnt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Learnt({} values, {} names)",
            self.values.len(),
            self.names.len()
        )
    }
}

struct Needle {
    value: String,
    kind: String,
    /// Bytes of the pattern before and after the value.
    lead: usize,
    trail: usize,
    bounds: Bounds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// Anywhere.
    None,
    /// Not inside a word.
    Word,
    /// Not inside a name with hyphens.
    Name,
    /// Not inside a number; and a list of numbers is not looked for over the ends of lines, where half the numbers
    /// of a log stand.
    Number,
}

impl Learnt {
    pub(crate) fn value(&mut self, value: &str, kind: &str) {
        let value = value.trim();
        if is_distinctive(value) && value.len() <= LONGEST {
            self.insert_value(value, kind);
        }
        if value.contains('\n') {
            for line in value
                .lines()
                .map(str::trim)
                .filter(|line| line.len() >= 16 && !line.starts_with("-----"))
            {
                self.insert_value(line, kind);
            }
        }
    }

    /// A secret that stands for another one: base64 or percent-encoding of it, and the password behind the name of its
    /// user (`ada:hunter2`) in base64. Both are known from then on.
    pub(crate) fn written_value(&mut self, value: &str, kind: &str) {
        self.value(value, kind);
        if value.contains('%') {
            self.value(&percent_decoded(value).text, kind);
        }
        if let Some(plain) = decode(value.trim_end_matches('=')) {
            self.value(&plain, kind);
            if let Some((_, password)) = plain.split_once(':').filter(is_login) {
                self.value(password, kind);
            }
        }
    }

    fn insert_value(&mut self, value: &str, kind: &str) {
        if self.values.len() >= MOST_VALUES {
            self.overflow = true;
        } else if !self.values.contains(value) {
            self.values.insert(value.to_owned());
            for (pattern, bounds) in writings(value) {
                self.add(pattern, value, kind, (0, 0), bounds);
            }
        }
    }

    fn add(
        &mut self,
        pattern: String,
        value: &str,
        kind: &str,
        (lead, trail): (usize, usize),
        bounds: Bounds,
    ) {
        if !matches!(bounds, Bounds::Name | Bounds::Number) {
            self.splits.add(&pattern);
        }
        self.search.add(pattern);
        self.needles.push(Needle {
            value: value.to_owned(),
            kind: kind.to_owned(),
            lead,
            trail,
            bounds,
        });
        self.dirty = true;
    }

    pub(crate) fn name(&mut self, name: &str, kind: &str) {
        let is_phrased = !is_distinctive(name) || kind == "volume";
        let names = if is_phrased {
            &mut self.phrased
        } else {
            &mut self.names
        };
        if names.len() >= MOST_VALUES {
            self.overflow = true;
        } else if !name.is_empty() && names.insert(name.to_owned()) {
            if is_phrased {
                for (before, after) in phrases(kind) {
                    let around = (before.len(), after.len());
                    let phrase = format!("{before}{name}{after}");
                    self.add(phrase, name, kind, around, Bounds::None);
                }
            } else {
                self.add(name.to_owned(), name, kind, (0, 0), Bounds::Name);
            }
        }
    }

    /// A name that stays readable even if a secret value or name is the same.
    pub(crate) fn public(&mut self, name: &str) {
        self.dirty |= self.public.insert(name.to_owned());
    }

    /// Where public names stand in a text, with what Kubernetes appends to the names of Pods and
    /// ReplicaSets.
    pub(crate) fn public_spans(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let names = self
            .public
            .iter()
            .filter(|name| name.len() >= SHORTEST_NAME);
        let all = names.flat_map(|name| text.match_indices(name.as_str()));
        all.map(|(start, name)| start..generated_end(bytes, start + name.len()))
            .filter(|span| Bounds::Name.hold(bytes, span.start, span.end))
            .collect()
    }

    /// More was to be learnt than is kept: nothing can be proved any more.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overflow
    }

    /// How many values and names are known: the same as before if nothing was learnt meanwhile.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.needles.len(), self.public.len())
    }

    /// Whether something was learnt since [`Self::settle`] was called.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Where known secrets are in a text, in order.
    pub(crate) fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        self.scan(text, &mut hits);
        let mut places: Vec<Range<usize>> = hits.iter().map(|hit| hit.start..hit.end).collect();
        places.sort_by_key(|place| (place.start, place.end));
        places
    }

    /// Takes note of everything learnt so far.
    pub(crate) fn settle(&mut self) {
        self.dirty = false;
    }

    /// The length of the longest string that is searched for.
    pub(crate) fn longest(&self) -> usize {
        self.search.longest()
    }

    /// Whether there are values among what is known.
    pub(crate) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// Whether a line ends within something known.
    pub(crate) fn has_line_breaks(&self) -> bool {
        self.search.has_line_breaks()
    }

    /// Hands over the surroundings of every line break that may stand in a known value, without the breaks,
    /// until told that it is enough.
    pub(crate) fn each_break(&self, text: &str, is_enough: impl FnMut(&str) -> bool) {
        self.splits.each(text, is_enough);
    }

    /// Appends the known values, not the names, that stand in a text as such.
    pub(crate) fn scan_values(&self, text: &str, hits: &mut Vec<Hit>) {
        self.scan_for(text, hits, |needle, place| {
            needle.bounds != Bounds::Name && needle.lead == 0 && place.len() == needle.value.len()
        });
    }

    /// Appends what is known to be secret in a text.
    pub(crate) fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        self.scan_for(text, hits, |_, _| true);
    }

    fn scan_for(
        &self,
        text: &str,
        hits: &mut Vec<Hit>,
        is_wanted: impl Fn(&Needle, &Range<usize>) -> bool,
    ) {
        self.search.find(text, |number, place| {
            let needle = &self.needles[number];
            if !is_wanted(needle, &place) {
                return;
            }
            let (start, end) = (place.start + needle.lead, place.end - needle.trail);
            let is_public = needle.lead == 0 && self.public.contains(&needle.value);
            if is_public
                || !needle.bounds.hold(text.as_bytes(), start, end)
                || !text.is_char_boundary(start)
                || !text.is_char_boundary(end)
            {
                return;
            }
            let mut hit = Hit::new(start, end, &needle.kind, "learnt-value", Strength::Learnt);
            hit.value = Some(needle.value.clone());
            hits.push(hit);
        });
    }
}

/// The end of a name with at most two generated parts behind it: the hash of a pod template, and the
/// random part of a Pod's name.
fn generated_end(bytes: &[u8], end: usize) -> usize {
    // Of `k8s.io/apimachinery/pkg/util/rand`: no vowels, nothing that looks like another character.
    let is_generated = |byte: &&u8| b"bcdfghjklmnpqrstvwxz2456789".contains(byte);
    (0..2).fold(end, |end, _| {
        let Some((b'-', rest)) = bytes.get(end..).and_then(<[u8]>::split_first) else {
            return end;
        };
        let length = rest.iter().take_while(is_generated).count();
        if (5..=10).contains(&length) {
            end + 1 + length
        } else {
            end
        }
    })
}

impl Bounds {
    fn hold(self, bytes: &[u8], start: usize, end: usize) -> bool {
        let inside = |byte: Option<&u8>| match self {
            Self::None => false,
            Self::Word => byte.is_some_and(u8::is_ascii_alphanumeric),
            Self::Number => byte.is_some_and(u8::is_ascii_digit),
            Self::Name => byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-'),
        };
        !inside(start.checked_sub(1).and_then(|index| bytes.get(index))) && !inside(bytes.get(end))
    }
}

/// Where names that are ordinary words are still told apart.
fn phrases(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "volume" => &[
            ("volume \"", "\""),
            ("volume \\\"", "\\\""),
            ("volumes=[", "]"),
        ],
        "secret-name" => &[
            ("secret \"", "\""),
            ("secret \\\"", "\\\""),
            ("secrets \"", "\""),
            ("ecret '", "'"),
            ("secret/", " "),
        ],
        "configmap-name" => &[
            ("configmap \"", "\""),
            ("configmap \\\"", "\\\""),
            ("configmaps \"", "\""),
            ("config map '", "'"),
            ("configmap/", " "),
        ],
        _ => &[
            ("find key ", " in"),
            ("secret key \"", "\""),
            ("the key '", "'"),
        ],
    }
}

/// `user:password`, as HTTP's Basic scheme has it (RFC 7617).
fn is_login((user, password): &(&str, &str)) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte);
    !user.is_empty()
        && user.bytes().all(is_name)
        && !password.starts_with("//")
        && !password.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn found(learnt: &Learnt, text: &str) -> Vec<String> {
        let mut hits = vec![];
        learnt.scan(text, &mut hits);
        crate::engine::merge(hits)
            .iter()
            .map(|h| text[h.start..h.end].to_owned())
            .collect()
    }

    #[test]
    fn finds_values_again_in_encodings() {
        let mut learnt = Learnt::default();
        learnt.value("p\"ss/w0rd-9", "secret");
        assert_eq!(found(&learnt, "got p\"ss/w0rd-9!"), ["p\"ss/w0rd-9"]);
        assert_eq!(
            found(&learnt, r#"{"a":"p\"ss/w0rd-9"}"#),
            [r#"p\"ss/w0rd-9"#]
        );
        assert_eq!(found(&learnt, "?p=p%22ss%2Fw0rd-9"), ["p%22ss%2Fw0rd-9"]);
        for lead in ["", "a", "ab", "abc"] {
            let encoded = STANDARD.encode(format!("{lead}p\"ss/w0rd-9:x"));
            assert_eq!(found(&learnt, &encoded).len(), 1, "{encoded}");
        }
    }

    #[test]
    fn names_have_boundaries_and_common_ones_need_a_phrase() {
        let mut learnt = Learnt::default();
        learnt.name("app-config", "configmap-name");
        learnt.name("config", "configmap-name");
        assert_eq!(
            found(&learnt, "configmap \"app-config\" not my-app-config-2"),
            ["app-config"]
        );
        assert_eq!(
            found(&learnt, "configmap \"config\" and config"),
            ["config"]
        );
    }

    #[test]
    fn public_names_reach_to_their_generated_end() {
        let mut learnt = Learnt::default();
        learnt.public("orders-secret");
        learnt.public("ab");
        for (text, expected) in [
            (
                "pod orders-secret-76974db858-m2xkq_shop",
                Some("orders-secret-76974db858-m2xkq"),
            ),
            (
                "rs orders-secret-76974db858.",
                Some("orders-secret-76974db858"),
            ),
            ("orders-secret", Some("orders-secret")),
            ("orders-secret=hunter2", Some("orders-secret")),
            ("orders-secret-hunter2", None),
            ("orders-secret-76974db858-m2xkq-76974", None),
            ("my-orders-secret", None),
            ("ab", None),
        ] {
            let spans = learnt.public_spans(text);
            let found = spans.first().map(|span| &text[span.clone()]);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn public_names_stay() {
        let mut learnt = Learnt::default();
        learnt.name("orders-db", "secret-name");
        learnt.public("orders-db");
        learnt.value("true", "secret");
        assert!(found(&learnt, "pod orders-db is true").is_empty());
    }
}
