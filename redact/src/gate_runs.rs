//! Runs of letters and digits: long and mixed ones, and the digits of personal data.

use crate::placeholder::lookalike_end;
use crate::validate::{is_address_of_somebody, is_luhn};
use crate::view::is_invisible;

/// The shortest part of letters and digits that a token format or an account number has.
const TOKEN: usize = 15;
/// The shortest base64 that is decoded.
const ENCODED: usize = 20;

/// What the runs of a line say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    Harmless,
    Deep,
}

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
/// A letter that is no hexadecimal digit.
const BEYOND_HEX: u8 = 8;
const ALNUM: u8 = 16;
/// Joins parts to one run of base64: `+ / - _`.
const JOIN: u8 = 32;
/// Anything else that matters.
const OTHER: u8 = 64;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT | ALNUM,
            b'a'..=b'f' => LOWER | ALNUM,
            b'g'..=b'z' => LOWER | BEYOND_HEX | ALNUM,
            b'A'..=b'F' => UPPER | ALNUM,
            b'G'..=b'Z' => UPPER | BEYOND_HEX | ALNUM,
            b'+' => JOIN | OTHER,
            b'/' | b'-' | b'_' => JOIN,
            b'@' | b'(' | b'<' | 0x80.. => OTHER,
            _ => 0,
        };
        if byte == 255 {
            return classes;
        }
        byte += 1;
    }
}

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Looks at the runs of `start..end`, and hands over the IPv4 addresses of somebody.
pub(crate) fn read(
    text: &str,
    start: usize,
    end: usize,
    mut address: impl FnMut(usize, usize),
) -> Runs {
    let bytes = &text.as_bytes()[..end];
    let mut at = start;
    let mut run = start;
    let mut groups = Groups::default();
    while at < end {
        let byte = bytes[at];
        if class(byte) & ALNUM == 0 {
            if class(byte) & OTHER != 0 && is_mark(text, bytes, start, at) {
                return Runs::Deep;
            }
            at += 1;
            continue;
        }
        let from = at;
        let mut seen = 0;
        while at < end && class(bytes[at]) & ALNUM != 0 {
            seen |= class(bytes[at]);
            at += 1;
        }
        let part = Part { from, to: at, seen };
        if from == start || class(bytes[from - 1]) & JOIN == 0 {
            run = from;
        }
        if at - from >= TOKEN && part.is_token(bytes)
            || groups.add(bytes, start, &part)
            || part.is_account(bytes)
            || seen == DIGIT | ALNUM && part.is_number(bytes, start)
        {
            return Runs::Deep;
        }
        if seen == DIGIT | ALNUM
            && at - from <= 3
            && bytes.get(at) == Some(&b'.')
            && let Some(to) = ipv4(bytes, start, from)
        {
            let is_somebody = text.get(from..to).is_some_and(is_address_of_somebody);
            if is_somebody {
                address(from, to);
            }
            at = to;
        }
        let goes_on = bytes.get(at).is_some_and(|b| class(*b) & JOIN != 0);
        if !goes_on && at - run >= ENCODED && is_encoded_text(&bytes[run..at]) {
            return Runs::Deep;
        }
    }
    Runs::Harmless
}

/// A maximal run of letters and digits.
struct Part {
    from: usize,
    to: usize,
    seen: u8,
}

impl Part {
    fn length(&self) -> usize {
        self.to - self.from
    }

    /// Long and mixed enough to be a token. Hexadecimal digits alone are commits, digests and trace ids,
    /// unless a prefix or a suffix is joined to them.
    fn is_token(&self, bytes: &[u8]) -> bool {
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
        let humps = part.split(|b| !b.is_ascii_lowercase());
        let letters: usize = humps.map(<[u8]>::len).filter(|length| *length >= 3).sum();
        digits <= 5 && letters * 2 >= part.len()
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
        let changes = part
            .windows(2)
            .filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
            .count();
        self.length() >= 20 && changes >= 5 && changes * 6 >= self.length()
    }

    /// Digits that may be a payment card, alone or in groups.
    fn is_number(&self, bytes: &[u8], start: usize) -> bool {
        if !(b'2'..=b'6').contains(&bytes[self.from]) || self.length() < 4 {
            return false;
        }
        let joined = |b: &u8| b.is_ascii_digit() || matches!(b, b' ' | b'-');
        let bound = bytes[start..self.from].last();
        if bound.is_some_and(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'_' | b'/' | b'-')
        }) {
            return false;
        }
        let digits: String = bytes[self.from..]
            .iter()
            .take(24)
            .take_while(|b| joined(b))
            .filter(|b| b.is_ascii_digit())
            .map(|b| char::from(*b))
            .collect();
        [15, 16]
            .iter()
            .any(|length| digits.get(..*length).is_some_and(is_luhn))
    }

    /// The first group of an account number in groups of four: `DE89 3704 ...`.
    fn is_account(&self, bytes: &[u8]) -> bool {
        let part = &bytes[self.from..self.to];
        let next = bytes.get(self.to..self.to + 5).unwrap_or_default();
        part.len() == 4
            && part[..2].iter().all(u8::is_ascii_uppercase)
            && part[2..].iter().all(u8::is_ascii_digit)
            && next.first() == Some(&b' ')
            && next[1..].iter().all(u8::is_ascii_alphanumeric)
    }
}

/// Short parts in a row: hardware addresses, IPv6 addresses in full, account numbers in groups.
#[derive(Default)]
struct Groups {
    separator: u8,
    count: usize,
    length: usize,
    end: usize,
    /// Whether any part is not `0`.
    nonzero: bool,
}

impl Groups {
    #[inline]
    fn add(&mut self, bytes: &[u8], start: usize, part: &Part) -> bool {
        let length = part.length();
        if length > 5 {
            self.count = 0;
            return false;
        }
        let separator = if part.from > start {
            bytes[part.from - 1]
        } else {
            b' '
        };
        let adjacent = self.end + 1 == part.from && self.end > start;
        self.count = match separator {
            _ if !adjacent || separator != b':' && self.length != length => 1,
            _ if separator == self.separator => self.count + 1,
            _ => 2,
        };
        self.nonzero &= self.count > 1;
        self.nonzero |= length > 1 || bytes[part.from] != b'0';
        (self.separator, self.length, self.end) = (separator, length, part.to);
        match separator {
            b':' => self.count >= 6 && self.nonzero,
            b'-' => length == 2 && self.count >= 6 || length == 5 && self.count >= 5,
            b'.' => length == 4 && self.count >= 3,
            _ => false,
        }
    }
}

/// The end of an IPv4 address that begins here, as the rule `ipv4` has it.
fn ipv4(bytes: &[u8], start: usize, from: usize) -> Option<usize> {
    let before = bytes[start..from].last();
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
        return None;
    }
    let mut at = from;
    for group in 0..4 {
        if group > 0 {
            at += usize::from(*bytes.get(at)? == b'.');
            if bytes[at - 1] != b'.' {
                return None;
            }
        }
        let digits = bytes[at..]
            .iter()
            .take(4)
            .take_while(|b| b.is_ascii_digit())
            .count();
        let number = bytes[at..at + digits]
            .iter()
            .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
        if digits == 0 || digits > 3 || number > 255 || digits == 3 && bytes[at] == b'0' {
            return None;
        }
        at += digits;
    }
    let after = bytes.get(at);
    (!after.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-')).then_some(at)
}

/// `@` of addresses and credentials, the start of a phone number, characters that are not seen.
fn is_mark(text: &str, bytes: &[u8], start: usize, at: usize) -> bool {
    let before = bytes[start..at].last().copied();
    let after = bytes.get(at + 1).copied().unwrap_or(b' ');
    match bytes[at] {
        b'@' => before.is_some_and(|b| !b.is_ascii_whitespace()) && is_domain(&bytes[at + 1..]),
        b'+' => {
            (b'1'..=b'9').contains(&after)
                && before.is_none_or(|b| {
                    b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b':' | b'=' | b'<' | b',')
                })
                && bytes[at..]
                    .iter()
                    .take(24)
                    .filter(|b| b.is_ascii_digit())
                    .count()
                    >= 6
        }
        b'(' => {
            bytes.get(at + 4) == Some(&b')')
                && bytes
                    .get(at + 1..at + 4)
                    .is_some_and(|area| area.iter().all(u8::is_ascii_digit))
        }
        b'<' => after.is_ascii_lowercase() && lookalike_end(bytes, at).is_some(),
        0x80.. => text.is_char_boundary(at) && text[at..].chars().next().is_some_and(is_invisible),
        _ => false,
    }
}

/// A name with a dot in it.
fn is_domain(bytes: &[u8]) -> bool {
    let length = bytes
        .iter()
        .take(260)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        .count();
    let name = &bytes[..length];
    name.iter()
        .position(|b| *b == b'.')
        .is_some_and(|dot| dot > 0 && name.get(dot + 1).is_some_and(u8::is_ascii_alphabetic))
}

/// Whether base64 begins like text.
fn is_encoded_text(run: &[u8]) -> bool {
    let mut bits = 0_u32;
    let mut printable = true;
    for (index, byte) in run.iter().take(16).enumerate() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        if index % 4 == 3 {
            let decoded = bits.to_be_bytes();
            printable &= decoded[1..]
                .iter()
                .all(|b| (b' '..=b'~').contains(b) || matches!(b, b'\n' | b'\r' | b'\t'));
            bits = 0;
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<&str> {
        let mut found = vec![];
        read(text, 0, text.len(), |from, to| found.push(&text[from..to]));
        found
    }

    #[test]
    fn addresses_are_those_of_the_rule() {
        let pattern = r"(?:^|[^0-9.A-Za-z-])((?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9]))(?:$|[^0-9A-Za-z-])";
        let rule = regex::Regex::new(pattern).unwrap();
        for text in [
            "from 10.1.2.3:80",
            "10.1.2.3, 10.1.2.4/24 (10.1.2.5)",
            "1.2.3 1.2.3.4.5 v1.2.3.4 1.2.3.4-5 256.1.1.1",
            "[/10.251.43.210:50010] a.1.2.3.4 1..2.3.4 010.1.1.1 01.1.1.1",
            "127.0.0.1 0.0.0.0",
        ] {
            let expected: Vec<&str> = rule
                .captures_iter(text)
                .map(|c| c.get(1).unwrap().as_str())
                .filter(|a| is_address_of_somebody(a))
                .collect();
            assert_eq!(addresses(text), expected, "{text}");
        }
    }

    #[test]
    fn runs_that_must_be_read() {
        for (text, expected) in [
            ("blk_38865049064139660 done", Runs::Harmless),
            (
                "commit 5fe409fee10ec58c78470c1f21862430bd671d25",
                Runs::Harmless,
            ),
            ("pod orders-5c9d8f7b6-x2x4z", Runs::Harmless),
            ("2025-06-20T10:47:35.852Z 081109 203615 148", Runs::Harmless),
            ("got 9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8", Runs::Deep),
            ("key_5fe409fee10ec58c78470c1f21862430", Runs::Deep),
            ("card 4111 1111 1111 1111", Runs::Deep),
            ("card 4111111111111111", Runs::Deep),
            ("mac 00:1a:2b:3c:4d:5e", Runs::Deep),
            ("mac 00-1a-2b-3c-4d-5e", Runs::Deep),
            ("mac 001a.2b3c.4d5e", Runs::Deep),
            ("from 2001:db8:0:0:1:0:0:1", Runs::Deep),
            ("iban DE89 3704 0044 0532 0130 00", Runs::Deep),
            ("iban NO9386011117947", Runs::Deep),
            ("mail jane.doe@example.com", Runs::Deep),
            ("call +44 20 7946 0958", Runs::Deep),
            ("call (415) 555-0132", Runs::Deep),
            ("x cGFzc3dvcmQ9aHVudGVyMgo=", Runs::Deep),
            ("pass\u{200b}word", Runs::Deep),
            ("src@eadmin1 and a @ b.c", Runs::Harmless),
        ] {
            assert_eq!(read(text, 0, text.len(), |_, _| ()), expected, "{text}");
        }
    }
}
