//! The words that a name is made of.

use super::LONGEST;

/// A name in lower case, split at separators, camelCase humps and before trailing digits.
pub(super) struct Words {
    text: [u8; LONGEST],
    ends: [(u8, u8); LONGEST],
    pub(super) count: usize,
}

impl Words {
    /// At most `LONGEST` bytes of a name.
    pub(super) fn of(name: &[u8]) -> Self {
        let mut words = Self {
            text: [0; LONGEST],
            ends: [(0, 0); LONGEST],
            count: 0,
        };
        let mut start = 0;
        for (index, &byte) in name.iter().enumerate().take(LONGEST) {
            words.text[index] = byte.to_ascii_lowercase();
            if !byte.is_ascii_alphanumeric() {
                words.push(start, index);
                start = index + 1;
                continue;
            }
            let previous = index.checked_sub(1).map_or(b' ', |i| name[i]);
            let next = name.get(index + 1).copied().unwrap_or(b' ');
            let hump = byte.is_ascii_uppercase()
                && (previous.is_ascii_lowercase()
                    || previous.is_ascii_digit()
                    || (previous.is_ascii_uppercase() && next.is_ascii_lowercase()));
            if hump {
                words.push(start, index);
                start = index;
            }
        }
        words.push(start, name.len().min(LONGEST));
        words
    }

    fn push(&mut self, start: usize, end: usize) {
        let word = &self.text[start..end];
        let digits = word.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let middle = end - digits;
        if middle - start > 2 && digits > 0 {
            self.add(start, middle);
            self.add(middle, end);
        } else if start < end {
            self.add(start, end);
        }
    }

    fn add(&mut self, start: usize, end: usize) {
        if let (Some(slot), Ok(start), Ok(end)) = (
            self.ends.get_mut(self.count),
            u8::try_from(start),
            u8::try_from(end),
        ) {
            *slot = (start, end);
            self.count += 1;
        }
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let (start, end) = self.ends[index];
        &self.text[usize::from(start)..usize::from(end)]
    }
}
