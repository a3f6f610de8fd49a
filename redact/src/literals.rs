//! A search for a thousand short literals at once, in any case, at the speed of reading.
//!
//! An automaton of this many words does not fit into the fast caches, and each of its steps waits for the
//! one before. Here every literal is represented by its rarest three characters; one table of bits, which
//! fits, says whether three characters belong to any. The few places where they do are compared.

use std::collections::HashMap;

/// A key is made of the codes of three characters, each moved by so many bits. The codes of letters have
/// no more bits; those of other characters reach into their neighbours, which makes some keys equal.
const SHIFT: usize = 5;
const KEYS: usize = 1 << 16;
/// How many characters are looked at before any of them is looked at more closely.
const STEP: usize = 8;
/// Codes are below this.
const CODE_END: u8 = 64;

/// How often letters occur in a thousand of running text; everything else is taken to be in between.
const FREQUENCIES: [u16; 26] = [
    80, 15, 30, 42, 120, 22, 20, 60, 70, 2, 8, 40, 25, 68, 75, 20, 1, 60, 63, 90, 28, 10, 23, 2,
    20, 1,
];

/// Three letters that are frequent, the most frequent first.
const COMMON: &str = include_str!("../trigrams.txt");
/// What a letter costs at most, three times.
const DEAREST: u32 = 150 * 150 * 150;

/// Compiled literals.
#[derive(Debug)]
pub(crate) struct Literals {
    patterns: Vec<Vec<u8>>,
    /// One bit for each three characters.
    bits: Box<[u64; KEYS / 64]>,
    /// The key of three characters, the literal and where in it they end; sorted.
    places: Vec<(u32, u16, u8)>,
    /// For each key the number of its group.
    heads: Vec<u16>,
    groups: Vec<Group>,
}

/// The places of one key.
#[derive(Debug, Default)]
struct Group {
    first: usize,
    /// What may stand before and behind the three characters, one bit for each code.
    before: u64,
    behind: u64,
    /// Some of them are whole words.
    words: bool,
}

/// The codes of the last two characters, moved to where the next key has them.
#[derive(Debug, Default)]
struct Window {
    before: u32,
    last: u32,
}

impl Window {
    #[inline]
    const fn with(&self, code: u32) -> u32 {
        self.before ^ self.last ^ code
    }

    #[inline]
    const fn push(&mut self, code: u32) {
        self.before = self.last << SHIFT;
        self.last = code << SHIFT;
    }
}

impl Literals {
    /// Literals of two to 255 bytes; at most a few thousand. Of those that are whole words not all are found that
    /// have small letters or digits joined to them.
    pub(crate) fn new(patterns: &[String], is_word: impl Fn(usize) -> bool) -> Self {
        let patterns: Vec<Vec<u8>> = patterns
            .iter()
            .map(|pattern| pattern.to_ascii_lowercase().into_bytes())
            .collect();
        let common = common();
        let mut places = Vec::new();
        for (index, pattern) in (0_u16..).zip(&patterns) {
            let end = rarest(pattern, &common);
            for key in keys(pattern, usize::from(end)) {
                places.push((key, index, end));
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut bits = Box::new([0; KEYS / 64]);
        let mut heads = vec![0; KEYS];
        let mut groups: Vec<Group> = Vec::new();
        for (first, (key, index, end)) in places.iter().enumerate() {
            let pattern = &patterns[usize::from(*index)];
            let is_word = is_word(usize::from(*index));
            let outside = if is_word { !ALPHANUMERIC } else { u64::MAX };
            let around = |place: Option<usize>| {
                let byte = place.and_then(|place| pattern.get(place));
                byte.map_or(outside, |byte| 1 << CODES[usize::from(*byte)])
            };
            let (word, bit) = (*key as usize / 64, 1 << (key % 64));
            if bits[word] & bit == 0 {
                bits[word] |= bit;
                heads[*key as usize] = u16::try_from(groups.len()).unwrap_or(u16::MAX);
                groups.push(Group {
                    first,
                    ..Group::default()
                });
            }
            if let Some(group) = groups.last_mut() {
                let end = usize::from(*end);
                group.before |= around(end.checked_sub(4));
                // A literal of two ends before.
                group.behind |= if end > pattern.len() {
                    u64::MAX
                } else {
                    around(Some(end))
                };
                group.words |= is_word;
            }
        }
        Self {
            patterns,
            bits,
            places,
            heads,
            groups,
        }
    }

    /// Hands over every literal in `start..end`: its number and the bytes that it covers. The answer is
    /// where to go on, at least.
    pub(crate) fn find(
        &self,
        bytes: &[u8],
        start: usize,
        end: usize,
        mut found: impl FnMut(usize, usize, usize) -> usize,
    ) {
        let mut go_on = start;
        let mut window = Window::default();
        let mut look = |mut hits: u64, first: usize| {
            while hits != 0 {
                let at = first + hits.trailing_zeros() as usize;
                hits &= hits - 1;
                let key = key_at(&bytes[start..], at - start);
                if at >= go_on && self.may_go_on(key, bytes, at) {
                    go_on = self.compare(key, bytes, (start, end), at + 1, &mut found);
                }
            }
        };
        // Eight at a time: nearly always none of them is any.
        let (chunks, rest) = bytes[start..end].as_chunks::<STEP>();
        let mut first = start;
        for chunk in chunks {
            look(self.hits(chunk, &mut window), first);
            first += STEP;
        }
        for byte in rest {
            look(self.hits(std::array::from_ref(byte), &mut window), first);
            first += 1;
        }
        // One character more, so that literals of two are complete.
        let key = window.with(0);
        if self.bit(key) == 1 && end >= go_on {
            self.compare(key, bytes, (start, end), end + 1, &mut found);
        }
    }

    /// A bit for each character with which three end that may belong to a literal.
    #[inline]
    fn hits<const N: usize>(&self, bytes: &[u8; N], window: &mut Window) -> u64 {
        let mut hits = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            let code = u32::from(CODES[usize::from(byte)]);
            hits |= self.bit(window.with(code)) << index;
            window.push(code);
        }
        hits
    }

    /// 1 if three characters may belong to a literal, else 0.
    #[inline]
    fn bit(&self, key: u32) -> u64 {
        self.bits[key as usize / 64 % (KEYS / 64)] >> (key % 64) & 1
    }

    /// Whether what stands around three characters is that of some literal.
    fn may_go_on(&self, key: u32, bytes: &[u8], at: usize) -> bool {
        let code = |byte: Option<&u8>| byte.map_or(0, |byte| CODES[usize::from(*byte)]);
        let group = &self.groups[usize::from(self.heads[key as usize])];
        let first = at.checked_sub(3).and_then(|place| bytes.get(place));
        let next = bytes.get(at + 1);
        // In `aNameLikeThis` letters are joined to words.
        let is_capital =
            |byte: Option<&u8>| group.words && byte.is_some_and(u8::is_ascii_uppercase);
        let begins = at.checked_sub(2).and_then(|place| bytes.get(place));
        (group.before >> code(first) & 1 == 1 || is_capital(begins))
            && (group.behind >> code(next) & 1 == 1 || is_capital(next))
    }

    #[cold]
    #[inline(never)]
    fn compare(
        &self,
        key: u32,
        bytes: &[u8],
        (start, end): (usize, usize),
        at: usize,
        found: &mut impl FnMut(usize, usize, usize) -> usize,
    ) -> usize {
        let mut go_on = at;
        let group = &self.groups[usize::from(self.heads[key as usize])];
        let places = &self.places[group.first..];
        for &(_, index, offset) in places.iter().take_while(|place| place.0 == key) {
            let pattern = &self.patterns[usize::from(index)];
            let Some(from) = at.checked_sub(usize::from(offset)) else {
                continue;
            };
            let to = from + pattern.len();
            if from >= start && to <= end && bytes[from..to].eq_ignore_ascii_case(pattern) {
                go_on = go_on.max(found(usize::from(index), from, to));
                if go_on > at {
                    break;
                }
            }
        }
        go_on
    }
}

/// The key of the three characters that end with this one.
fn key_at(bytes: &[u8], at: usize) -> u32 {
    let code = |back: usize| {
        let byte = at.checked_sub(back).and_then(|place| bytes.get(place));
        byte.map_or(0, |byte| u32::from(CODES[usize::from(*byte)]))
    };
    code(2) << (2 * SHIFT) ^ code(1) << SHIFT ^ code(0)
}

/// Frequent letters in a row with what they cost.
fn common() -> HashMap<&'static [u8], u32> {
    let lines = COMMON.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<&[u8]> = lines
        .flat_map(str::split_whitespace)
        .map(str::as_bytes)
        .collect();
    all.into_iter().rev().zip(DEAREST..).collect()
}

/// Where in a literal its rarest three characters end.
fn rarest(pattern: &[u8], common: &HashMap<&[u8], u32>) -> u8 {
    let frequency = |byte: &u8| match byte {
        b'a'..=b'z' => u32::from(FREQUENCIES[usize::from(byte - b'a')]),
        b' ' | b'0'..=b'9' => 150,
        b'.' | b'-' | b'/' | b':' => 60,
        _ => 30,
    };
    let cost = |window: &[u8]| {
        let known = common.get(window).copied();
        known.unwrap_or_else(|| window.iter().map(frequency).product())
    };
    let best = pattern
        .windows(3)
        .enumerate()
        .min_by_key(|(_, window)| cost(window))
        .map_or(3, |(index, _)| index + 3);
    u8::try_from(best).unwrap_or(3)
}

/// The keys under which a literal is found: of its characters that end before `end`; a literal of two has
/// one for every character that may follow.
fn keys(pattern: &[u8], end: usize) -> Vec<u32> {
    let code = |index: usize| pattern.get(index).map(|byte| CODES[usize::from(*byte)]);
    let key = |codes: [u8; 3]| {
        codes
            .iter()
            .fold(0, |key, code| key << SHIFT ^ u32::from(*code))
    };
    let (first, second) = (code(end - 3).unwrap_or(0), code(end - 2).unwrap_or(0));
    match code(end - 1) {
        Some(third) => vec![key([first, second, third])],
        None => (0..CODE_END)
            .map(|third| key([first, second, third]))
            .collect(),
    }
}

const CODES: [u8; 256] = codes();
/// The codes of letters and digits.
const ALPHANUMERIC: u64 = 0x3ff << CODES[b'0' as usize] | 0x3ff_ffff << CODES[b'a' as usize];

const fn codes() -> [u8; 256] {
    const MARKS: &[u8] = b"_-./:=@%$<+~\"\\ ([{&?',";
    let mut codes = [0; 256];
    let mut byte = 0_u8;
    loop {
        codes[byte as usize] = match byte {
            b'a'..=b'z' => byte - b'a' + 1,
            b'A'..=b'Z' => byte - b'A' + 1,
            b'0'..=b'9' => byte - b'0' + 32,
            // Words in other scripts would else be alike, and like marks in a row.
            128.. => 27 + byte % 5,
            _ => 0,
        };
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    let mut index = 0;
    while index < MARKS.len() {
        #[expect(clippy::cast_possible_truncation, reason = "there are 22 marks")]
        let code = 42 + index as u8;
        codes[MARKS[index] as usize] = code;
        index += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], text: &str) -> Vec<(usize, usize, usize)> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let mut found = vec![];
        Literals::new(&patterns, |_| false).find(
            text.as_bytes(),
            0,
            text.len(),
            |index, from, to| {
                found.push((index, from, to));
                0
            },
        );
        found.sort_unstable();
        found
    }

    #[test]
    fn finds_all_in_any_case() {
        assert_eq!(
            found(
                &["pass", "password", "word", "::", "pw"],
                "a PassWord a::b pw"
            ),
            [(0, 2, 6), (1, 2, 10), (2, 6, 10), (3, 12, 14), (4, 16, 18)]
        );
        assert_eq!(found(&["token"], "toke"), []);
        assert_eq!(
            found(&["\u{1b}[", "%3a%2f%2f"], "\u{1b}[31m x%3A%2F%2Fy").len(),
            2
        );
    }

    #[test]
    fn finds_whole_words() {
        let patterns: Vec<String> = ["nit", "ab", "tax id", "taxid"].map(str::to_owned).to_vec();
        let literals = Literals::new(&patterns, |_| true);
        for text in [
            "nit",
            "a nit: 1",
            "NIT=1",
            "x_nit_y",
            "clientNit",
            "nitNumber=1",
            "aTaxIdOf",
            "tax id",
            "TaxID:",
            "ab",
            "x abC",
            "(ab)",
        ] {
            let mut found = 0;
            literals.find(text.as_bytes(), 0, text.len(), |_, _, _| {
                found += 1;
                0
            });
            assert_eq!(found, 1, "{text}");
        }
    }
}
