//! Strings that a line break stands in: wrapped logs, string literals over several lines.
//!
//! Joining all lines of a text in every way that lines go on would cost as many copies. Here the six bytes around
//! each place where a string may be broken are bits in a table; a break is looked at more closely only if the bytes
//! on both sides of it are among them.

use std::ops::Range;

const BITS: u32 = 18;
/// How much of a string must stand on either side of a break.
const SIDE: usize = 3;
/// How many breaks one string may have before and after the one that is looked at.
const BREAKS: usize = 8;
/// How far from a break the other end of a string may be.
const REACH: usize = 512;

/// Where the strings of one session may be broken.
#[derive(Debug, Default)]
pub(crate) struct Splits {
    /// Empty without strings.
    bits: Vec<u64>,
}

/// How one line goes on in the next.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Indented, perhaps.
    Plain,
    /// With a backslash (shells) or an equals sign (quoted-printable) at the end.
    Marked,
    /// As a string that is closed and opened again, perhaps with a plus sign between.
    Literals,
}

impl Splits {
    /// Adds a string.
    pub(crate) fn add(&mut self, string: &str) {
        for window in string.as_bytes().windows(2 * SIDE) {
            self.bits.resize(1 << (BITS - 6), 0);
            let (word, bit) = place(&window[..SIDE], &window[SIDE..]);
            self.bits[word] |= bit;
        }
    }

    /// Hands over the surroundings of every break that may stand in a string, without the breaks, until told
    /// that it is enough.
    pub(crate) fn each(&self, text: &str, mut is_enough: impl FnMut(&str) -> bool) {
        if self.bits.is_empty() {
            return;
        }
        let bytes = text.as_bytes();
        for feed in memchr::memchr_iter(b'\n', bytes) {
            for form in [Form::Plain, Form::Marked, Form::Literals] {
                let gap = form.gap(bytes, feed);
                let head = gap.start.checked_sub(SIDE).map(|at| &bytes[at..gap.start]);
                let tail = bytes.get(gap.end..gap.end + SIDE);
                let (Some(head), Some(tail)) = (head, tail) else {
                    continue;
                };
                let (word, bit) = place(head, tail);
                if self.bits[word] & bit != 0 && is_enough(&form.around(bytes, &gap)) {
                    return;
                }
            }
        }
    }
}

impl Form {
    /// What is between the end of what is on a line and what follows on the next.
    fn gap(self, bytes: &[u8], feed: usize) -> Range<usize> {
        let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
        let mut start = feed - usize::from(feed > 0 && bytes[feed - 1] == b'\r');
        let mut end = feed + 1;
        let next = |end: usize| bytes.get(end).copied();
        while next(end).is_some_and(is_blank) {
            end += 1;
        }
        let before = |start: usize| start.checked_sub(1).map(|at| bytes[at]);
        match self {
            Self::Plain => {}
            Self::Marked => {
                if before(start).is_some_and(|byte| matches!(byte, b'\\' | b'=')) {
                    start -= 1;
                }
            }
            Self::Literals => {
                while before(start)
                    .is_some_and(|byte| is_blank(byte) || matches!(byte, b'\\' | b'+' | b'.'))
                {
                    start -= 1;
                }
                if before(start).is_some_and(|byte| matches!(byte, b'"' | b'\'')) {
                    start -= 1;
                }
                if next(end).is_some_and(|byte| matches!(byte, b'"' | b'\'')) {
                    end += 1;
                }
            }
        }
        start..end
    }

    /// The text around a gap, without this and the nearest other gaps.
    fn around(self, bytes: &[u8], gap: &Range<usize>) -> String {
        let from = gap.start.saturating_sub(REACH);
        let to = bytes.len().min(gap.end + REACH);
        let feeds = |range: Range<usize>| {
            memchr::memchr_iter(b'\n', &bytes[range.clone()]).map(move |at| range.start + at)
        };
        let all: Vec<usize> = feeds(from..gap.start).collect();
        let earlier = &all[all.len().saturating_sub(BREAKS)..];
        let later = feeds(gap.end..to).take(BREAKS);
        let mut joined: Vec<u8> = Vec::with_capacity(to - from);
        let mut at = from;
        let others = earlier.iter().copied().map(|feed| self.gap(bytes, feed));
        let later = later.map(|feed| self.gap(bytes, feed));
        for gap in others.chain([gap.clone()]).chain(later) {
            if at <= gap.start && gap.end <= to {
                joined.extend(&bytes[at..gap.start]);
                at = gap.end;
            }
        }
        joined.extend(&bytes[at..to]);
        String::from_utf8_lossy(&joined).into_owned()
    }
}

/// The word and the bit in it of the bytes on both sides of a break.
fn place(head: &[u8], tail: &[u8]) -> (usize, u64) {
    let byte = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = head.iter().chain(tail).fold(0x811c_9dc5, byte);
    let hash = hash.wrapping_mul(0x9e37_79b1) >> (32 - BITS);
    (hash as usize >> 6, 1 << (hash & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_over_breaks() {
        let mut splits = Splits::default();
        splits.add("correct-horse-7");
        for (text, expected) in [
            ("x correct-\nhorse-7 y", true),
            ("x correct-\r\n    horse-7 y", true),
            ("corr\nect-\nhors\ne-7", true),
            ("correct-\\\n  horse-7", true),
            ("\"correct-\" +\n  \"horse-7\"", true),
            ("correct-horse-7\n", false),
            ("co\nrrect-horse-7", false),
            ("\n\n", false),
            ("a\nb", false),
            ("", false),
        ] {
            let mut found = false;
            splits.each(text, |joined| {
                found |= joined.contains("correct-horse-7");
                found
            });
            assert_eq!(found, expected, "{text}");
        }
    }
}
