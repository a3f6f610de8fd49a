//! A search for many exact strings that are added one by one.
//!
//! An automaton would have to be built anew for each string that a session learns. Here a string is
//! represented by four of its bytes in a table of bits, at three places in a row, so that every third byte of
//! a text is enough to find one of them; the few places where they are found are compared.

use std::collections::HashMap;
use std::ops::Range;

const BITS: u32 = 17;
/// How many bytes a search goes on at once.
const STEP: usize = 3;
/// How many bytes represent a string.
const KEY: usize = 4;

/// The strings of one session.
#[derive(Default)]
pub(crate) struct Needles {
    strings: Vec<String>,
    /// One bit for the hash of each key; empty without strings.
    bits: Vec<u64>,
    /// The strings of each key, with the place of the key in them.
    places: HashMap<u32, Vec<(usize, usize)>>,
    /// Strings that are too short for that.
    short: Vec<usize>,
    longest: usize,
    has_line_breaks: bool,
}

impl Needles {
    /// Adds a string; its number is the count of those before.
    pub(crate) fn add(&mut self, string: String) {
        let number = self.strings.len();
        let bytes = string.as_bytes();
        self.longest = self.longest.max(bytes.len());
        self.has_line_breaks |= bytes.contains(&b'\n');
        match rarest(bytes) {
            Some(first) => {
                self.bits.resize(1 << (BITS - 6), 0);
                for offset in first..first + STEP {
                    let key = key_at(bytes, offset);
                    let (word, bit) = place(key);
                    self.bits[word] |= bit;
                    self.places.entry(key).or_default().push((number, offset));
                }
            }
            None => self.short.push(number),
        }
        self.strings.push(string);
    }

    /// The length of the longest string.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether a line ends within one of the strings.
    pub(crate) fn has_line_breaks(&self) -> bool {
        self.has_line_breaks
    }

    /// Hands over every string in a text, overlapping ones too, in no particular order.
    pub(crate) fn find(&self, text: &str, mut found: impl FnMut(usize, Range<usize>)) {
        for &number in &self.short {
            for (start, part) in text.match_indices(self.strings[number].as_str()) {
                found(number, start..start + part.len());
            }
        }
        if self.bits.is_empty() {
            return;
        }
        let bytes = text.as_bytes();
        for at in (0..(bytes.len() + 1).saturating_sub(KEY)).step_by(STEP) {
            let key = key_at(bytes, at);
            let (word, bit) = place(key);
            if self.bits[word] & bit != 0 {
                self.compare(bytes, at, key, &mut found);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn compare(
        &self,
        bytes: &[u8],
        at: usize,
        key: u32,
        found: &mut impl FnMut(usize, Range<usize>),
    ) {
        for &(number, offset) in self.places.get(&key).into_iter().flatten() {
            let string = self.strings[number].as_bytes();
            let Some(start) = at.checked_sub(offset) else {
                continue;
            };
            if bytes[start..].starts_with(string) {
                found(number, start..start + string.len());
            }
        }
    }
}

/// The word and the bit in it of a key.
fn place(key: u32) -> (usize, u64) {
    let hash = key.wrapping_mul(0x9e37_79b1) >> (32 - BITS);
    (hash as usize >> 6, 1 << (hash & 63))
}

fn key_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Where in the beginning of a string the bytes are that texts have least often.
fn rarest(string: &[u8]) -> Option<usize> {
    let cost = |byte: &u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'n' | b'i' | b'r' | b's' | b' ' => 6,
        b'a'..=b'z' => 4,
        b'-' | b'_' | b'.' | b'/' | b':' | b'"' | b'=' => 3,
        b'0'..=b'9' | b'A'..=b'Z' => 2,
        _ => 1_u32,
    };
    let windows = string.windows(KEY + STEP - 1).take(16).enumerate();
    let best = windows.min_by_key(|(_, window)| window.iter().map(cost).sum::<u32>());
    best.map(|(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_that_were_added() {
        let mut needles = Needles::default();
        let found = |needles: &Needles, text: &str| {
            let mut found = vec![];
            needles.find(text, |number, place| {
                found.push((place.start, place.end, number));
            });
            found.sort_unstable();
            found
        };
        assert_eq!(found(&needles, "hunter2"), []);
        needles.add("hunter2".to_owned());
        assert_eq!(found(&needles, "hunter2, hunter"), [(0, 7, 0)]);
        needles.add("unter".to_owned());
        needles.add("ab".to_owned());
        assert_eq!(
            found(&needles, "xhunter2ab"),
            [(1, 8, 0), (2, 7, 1), (8, 10, 2)]
        );
        for number in 3..4000 {
            needles.add(format!("value-{number}-\u{e4}"));
        }
        for lead in 0..7 {
            let text = format!("{}value-3999-\u{e4} b", "x".repeat(lead));
            assert_eq!(found(&needles, &text), [(lead, lead + 13, 3999)]);
        }
    }
}
