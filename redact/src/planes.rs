//! Which bytes of a text are what, 64 at a time, one bit each.
//!
//! The bits of 64 bytes are turned into eight words, one for each bit of a byte; a class of bytes is then a
//! few operations on those words, and a pattern such as "fifteen letters or digits in a row" a few shifts.
//! That costs about one cycle a byte on any machine, without instructions that only some have.

/// How many bytes are looked at together.
pub(crate) const BLOCK: usize = 64;

/// The classes of 64 bytes; bit `i` speaks of byte `i`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Classes {
    pub(crate) digit: u64,
    pub(crate) upper: u64,
    pub(crate) lower: u64,
    pub(crate) space: u64,
    pub(crate) open: u64,
    pub(crate) close: u64,
    pub(crate) plus: u64,
    pub(crate) hyphen: u64,
    pub(crate) dot: u64,
    pub(crate) slash: u64,
    pub(crate) colon: u64,
    pub(crate) less: u64,
    pub(crate) at: u64,
    pub(crate) underscore: u64,
    /// An escape, or the first byte of a character that may be invisible.
    pub(crate) unseen: u64,
}

impl Classes {
    pub(crate) fn of(block: &[u8; BLOCK]) -> Self {
        let p = planes(block);
        let (p0, p1, p2, p3) = (p[0], p[1], p[2], p[3]);
        // By the upper half of the byte.
        let row = |bits: usize| {
            let is = |plane: u64, bit: usize| if bits >> bit & 1 == 1 { plane } else { !plane };
            is(p[4], 0) & is(p[5], 1) & is(p[6], 2) & is(p[7], 3)
        };
        let (row2, row3, row4, row5, row6, row7) = (row(2), row(3), row(4), row(5), row(6), row(7));
        // By the lower half.
        let any = p0 | p1 | p2 | p3;
        let all = p0 & p1 & p2 & p3;
        let upto9 = !(p3 & (p1 | p2));
        let upto10 = !(p3 & (p2 | p1 & p0));
        let (two, three) = (!p3 & !p2 & p1 & !p0, !p3 & !p2 & p1 & p0);
        let (eight, eleven) = (p3 & !p2 & !p1 & !p0, p3 & !p2 & p1 & p0);
        Self {
            digit: row3 & upto9,
            upper: row4 & any | row5 & upto10,
            lower: row6 & any | row7 & upto10,
            space: row2 & !any,
            open: row2 & eight,
            close: row2 & p3 & !p2 & !p1 & p0,
            plus: row2 & eleven,
            hyphen: row2 & p3 & p2 & !p1 & p0,
            dot: row2 & p3 & p2 & p1 & !p0,
            slash: row2 & all,
            colon: row3 & p3 & !p2 & p1 & !p0,
            less: row3 & p3 & p2 & !p1 & !p0,
            at: row4 & !any,
            underscore: row5 & all,
            // ESC, and C2, D8, E2, EF, F3.
            unseen: row(1) & eleven
                | (row(12) | row(14)) & two
                | row(13) & eight
                | row(14) & all
                | row(15) & three,
        }
    }
}

/// Hands over the classes of every block with its first byte; what the last one lacks is zero bytes.
#[inline]
pub(crate) fn each_block(bytes: &[u8], mut found: impl FnMut(&Classes, usize)) {
    let (blocks, rest) = bytes.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        found(&Classes::of(block), index * BLOCK);
    }
    if !rest.is_empty() {
        let mut padded = [0; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        found(&Classes::of(&padded), bytes.len() - rest.len());
    }
}

/// The last block and this one, so that what spans both is seen: bit 64 is the first byte of this one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair(u128);

impl Pair {
    /// Goes on to the next block.
    pub(crate) fn push(&mut self, now: u64) -> u128 {
        self.0 = self.0 >> 64 | u128::from(now) << 64;
        self.0
    }
}

/// What speaks of this block.
pub(crate) fn high(pair: u128) -> u64 {
    (pair >> 64) as u64
}

/// The first bit of each row.
pub(crate) fn begins(bits: u128) -> u128 {
    bits & !(bits << 1)
}

/// Word `k` has bit `k` of every byte.
fn planes(block: &[u8; BLOCK]) -> [u64; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    // The bits within each word: bit `k` of byte `i` becomes bit `i` of byte `k`.
    for word in &mut words {
        for (shift, mask) in [
            (7, 0x00aa_00aa_00aa_00aa),
            (14, 0x0000_cccc_0000_cccc),
            (28, 0x0000_0000_f0f0_f0f0),
        ] {
            let swapped = (*word ^ *word >> shift) & mask;
            *word ^= swapped ^ swapped << shift;
        }
    }
    // The bytes between the words: byte `k` of word `i` becomes byte `i` of word `k`.
    for (distance, shift, mask) in [
        (4, 32, 0x0000_0000_ffff_ffff),
        (2, 16, 0x0000_ffff_0000_ffff),
        (1, 8, 0x00ff_00ff_00ff_00ff_u64),
    ] {
        for first in (0..8).filter(|first| first & distance == 0) {
            let second = first + distance;
            let swapped = (words[first] >> shift ^ words[second]) & mask;
            words[second] ^= swapped;
            words[first] ^= swapped << shift;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_its_class() {
        for byte in 0..=u8::MAX {
            for place in [0, 1, 31, 63] {
                let mut block = [b'~'; BLOCK];
                block[place] = byte;
                let c = Classes::of(&block);
                let bit = 1 << place;
                for (name, class, expected) in [
                    ("digit", c.digit, byte.is_ascii_digit()),
                    ("upper", c.upper, byte.is_ascii_uppercase()),
                    ("lower", c.lower, byte.is_ascii_lowercase()),
                    ("space", c.space, byte == b' '),
                    ("open", c.open, byte == b'('),
                    ("close", c.close, byte == b')'),
                    ("plus", c.plus, byte == b'+'),
                    ("hyphen", c.hyphen, byte == b'-'),
                    ("dot", c.dot, byte == b'.'),
                    ("slash", c.slash, byte == b'/'),
                    ("colon", c.colon, byte == b':'),
                    ("less", c.less, byte == b'<'),
                    ("at", c.at, byte == b'@'),
                    ("underscore", c.underscore, byte == b'_'),
                    (
                        "unseen",
                        c.unseen,
                        matches!(byte, 0x1b | 0xc2 | 0xd8 | 0xe2 | 0xef | 0xf3),
                    ),
                ] {
                    let expected = if expected { bit } else { 0 };
                    assert_eq!(class, expected, "{name} of {byte:#x} at {place}");
                }
            }
        }
    }
}
