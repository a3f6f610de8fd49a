//! A run of letters and digits, and whether it looks like a token.

use crate::rarity::letters_in_humps;

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
/// A letter that is no hexadecimal digit.
const BEYOND_HEX: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER,
            b'g'..=b'z' => LOWER | BEYOND_HEX,
            b'A'..=b'F' => UPPER,
            b'G'..=b'Z' => UPPER | BEYOND_HEX,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// A maximal run of letters and digits.
pub(crate) struct Part {
    from: usize,
    pub(crate) to: usize,
    seen: u8,
}

impl Part {
    /// The run that begins here.
    pub(crate) fn at(bytes: &[u8], from: usize) -> Self {
        let mut seen = 0;
        let run = bytes[from..].iter().map_while(|b| match class(*b) {
            0 => None,
            class => Some(class),
        });
        let length = run.inspect(|class| seen |= class).count();
        Self {
            from,
            to: from + length,
            seen,
        }
    }

    /// Long and mixed enough to be a token. Hexadecimal digits alone are commits, digests and trace ids,
    /// unless a prefix or a suffix is joined to them.
    pub(crate) fn is_token(&self, bytes: &[u8]) -> bool {
        let digits = self.seen & DIGIT != 0;
        let letters = self.seen & (LOWER | UPPER) != 0;
        if !digits || !letters {
            return !digits
                && self.seen & LOWER != 0
                && self.seen & UPPER != 0
                && self.is_shouted(bytes)
                && !self.is_identifier(bytes);
        }
        let hex = self.seen & (BEYOND_HEX | UPPER) == 0 || self.is_pointer(bytes);
        let before = self.from.checked_sub(1).map(|i| bytes[i]);
        let joined = matches!(before, Some(b'_' | b'-' | b'.' | b'$'))
            || matches!(bytes.get(self.to), Some(b'_' | b'-'));
        (!hex || joined) && !self.is_identifier(bytes)
    }

    /// Words with a number among them: `IO80211AWDLPeerManager`.
    fn is_identifier(&self, bytes: &[u8]) -> bool {
        let part = &bytes[self.from..self.to];
        let digits = part.iter().filter(|b| b.is_ascii_digit()).count();
        digits <= 5 && letters_in_humps(part) * 2 >= part.len()
    }

    /// `0x` and hexadecimal digits.
    fn is_pointer(&self, bytes: &[u8]) -> bool {
        let part = &bytes[self.from..self.to];
        part.len() <= 20
            && part.starts_with(b"0x")
            && part[2..]
                .iter()
                .all(|b| class(*b) & (BEYOND_HEX | UPPER) == 0)
    }

    /// Letters only, and the case changes more often than in words.
    fn is_shouted(&self, bytes: &[u8]) -> bool {
        let part = &bytes[self.from..self.to];
        if part.len() < 20 {
            return false;
        }
        let changes = part
            .windows(2)
            .filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
            .count();
        changes >= 5 && changes * 6 >= part.len()
    }
}
