//! A search for a thousand short literals at once, in any case, at the speed of reading.
//!
//! An automaton of this many words does not fit into the fast caches, and each of its steps waits for the
//! one before. Here every literal is represented by its rarest three characters; one table of bits, which
//! fits, says whether three characters belong to any. The few places where they do are compared.

/// Characters are told apart as far as six bits go.
const BITS: usize = 6;
const KEYS: usize = 1 << (3 * BITS);
const MASK: u32 = (1 << (3 * BITS)) - 1;
const ANY: u8 = 1 << BITS;

/// How often letters occur in a thousand of running text; everything else is taken to be in between.
const FREQUENCIES: [u16; 26] = [
    80, 15, 30, 42, 120, 22, 20, 60, 70, 2, 8, 40, 25, 68, 75, 20, 1, 60, 63, 90, 28, 10, 23, 2,
    20, 1,
];

/// Compiled literals.
#[derive(Debug)]
pub(crate) struct Literals {
    patterns: Vec<Vec<u8>>,
    /// One bit for each three characters.
    bits: Vec<u64>,
    /// The key of three characters, the literal and where in it they end; sorted.
    places: Vec<(u32, u16, u8)>,
    /// For each key the first of its places.
    heads: Vec<u16>,
}

impl Literals {
    /// Literals of two to 255 bytes; at most a few thousand.
    pub(crate) fn new(patterns: &[String]) -> Self {
        let patterns: Vec<Vec<u8>> = patterns
            .iter()
            .map(|pattern| pattern.to_ascii_lowercase().into_bytes())
            .collect();
        let mut places = Vec::new();
        for (index, pattern) in (0_u16..).zip(&patterns) {
            let end = rarest(pattern);
            for key in keys(pattern, usize::from(end)) {
                places.push((key, index, end));
            }
        }
        places.sort_unstable();
        places.dedup();
        let mut bits = vec![0; KEYS / 64];
        let mut heads = vec![0; KEYS];
        for (head, (key, ..)) in (0_u16..).zip(&places).collect::<Vec<_>>().into_iter().rev() {
            bits[*key as usize / 64] |= 1 << (key % 64);
            heads[*key as usize] = head;
        }
        Self {
            patterns,
            bits,
            places,
            heads,
        }
    }

    /// Whether `holds` says so of any literal in `start..end`: it gets the number of the literal and the
    /// bytes that it covers.
    pub(crate) fn any(
        &self,
        bytes: &[u8],
        start: usize,
        end: usize,
        mut holds: impl FnMut(usize, usize, usize) -> bool,
    ) -> bool {
        let mut key = 0_u32;
        // One character more, so that literals of two are complete.
        let line = bytes[start..end].iter().chain(b"\n");
        for (at, &byte) in (start..).zip(line) {
            key = (key << BITS | u32::from(CODES[usize::from(byte)])) & MASK;
            if self.bits[key as usize / 64] >> (key % 64) & 1 == 1
                && self.compare(key, bytes, (start, end), at + 1, &mut holds)
            {
                return true;
            }
        }
        false
    }

    #[cold]
    #[inline(never)]
    fn compare(
        &self,
        key: u32,
        bytes: &[u8],
        (start, end): (usize, usize),
        at: usize,
        holds: &mut impl FnMut(usize, usize, usize) -> bool,
    ) -> bool {
        self.places[usize::from(self.heads[key as usize])..]
            .iter()
            .take_while(|place| place.0 == key)
            .any(|&(_, index, offset)| {
                let pattern = &self.patterns[usize::from(index)];
                let Some(from) = at.checked_sub(usize::from(offset)) else {
                    return false;
                };
                let to = from + pattern.len();
                from >= start
                    && to <= end
                    && bytes[from..to].eq_ignore_ascii_case(pattern)
                    && holds(usize::from(index), from, to)
            })
    }
}

/// Where in a literal its rarest three characters end.
fn rarest(pattern: &[u8]) -> u8 {
    let cost = |window: &[u8]| -> u32 {
        let frequency = |byte: &u8| match byte {
            b'a'..=b'z' => u32::from(FREQUENCIES[usize::from(byte - b'a')]),
            b' ' => 150,
            b'.' | b'-' | b'/' | b':' => 60,
            _ => 30,
        };
        window.iter().map(frequency).product()
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
            .fold(0, |key, code| key << BITS | u32::from(*code))
    };
    let (first, second) = (code(end - 3).unwrap_or(0), code(end - 2).unwrap_or(0));
    match code(end - 1) {
        Some(third) => vec![key([first, second, third])],
        None => (0..ANY).map(|third| key([first, second, third])).collect(),
    }
}

const CODES: [u8; 256] = codes();

const fn codes() -> [u8; 256] {
    const MARKS: &[u8] = b"_-./:=@%$<+~\"\\ ([{&?'\x1b\n,";
    let mut codes = [0; 256];
    let mut byte = 0_u8;
    loop {
        codes[byte as usize] = match byte {
            b'a'..=b'z' => byte - b'a' + 1,
            b'A'..=b'Z' => byte - b'A' + 1,
            b'0'..=b'9' => byte - b'0' + 27,
            _ => 0,
        };
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    let mut index = 0;
    while index < MARKS.len() {
        #[expect(clippy::cast_possible_truncation, reason = "there are 24 marks")]
        let code = 37 + index as u8;
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
        Literals::new(&patterns).any(text.as_bytes(), 0, text.len(), |index, from, to| {
            found.push((index, from, to));
            false
        });
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
}
