//! Runs of letters and digits: long and mixed ones, and the digits of personal data.
//!
//! Patterns of bits find the few places where there may be one ([`crate::gate::bits`]); those are looked at
//! byte by byte.

use std::ops::Range;

use crate::gate::bits::{Candidates, ENCODED, History, TOKEN};
use crate::gate::part::Part;
use crate::placeholder::lookalike_end;
use crate::planes::{Classes, each_block};
use crate::urls::login_at_host;
use crate::validate::is_luhn;
use crate::view::is_invisible;

/// What a place in a text may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something hidden: everything has to look at the line.
    Deep,
    /// A token or an encoded text: what needs no words has to look at the line.
    Token,
    /// An e-mail address, a phone, card or account number: the rules of personal data have to.
    Personal,
    /// A hardware or IPv6 address.
    Network,
    /// This is an IPv4 address of somebody.
    Address(Range<usize>),
}

/// Looks at the runs of `start..end`, which begins and ends with lines; hands over what it finds with its
/// place, in order. After a deep one the rest of its line is left out.
pub(crate) fn scan(text: &str, range: Range<usize>, mut found: impl FnMut(usize, Sign)) {
    let bytes = &text.as_bytes()[..range.end];
    let mut skip_to = range.start;
    candidates(
        bytes,
        range.start,
        History::candidates,
        |candidates, place, at| {
            if at < skip_to {
                return;
            }
            let Some(sign) = look(text, bytes, candidates, place, at) else {
                return;
            };
            match &sign {
                Sign::Deep => skip_to = line_end(bytes, at),
                Sign::Address(address) => skip_to = skip_to.max(address.end),
                Sign::Token | Sign::Personal | Sign::Network => {}
            }
            found(at, sign);
        },
    );
}

/// Hands over the place of every token of `start..end`, which begins and ends with lines.
pub(crate) fn tokens(text: &str, range: Range<usize>, mut found: impl FnMut(usize)) {
    let bytes = &text.as_bytes()[..range.end];
    candidates(
        bytes,
        range.start,
        History::tokens,
        |candidates, place, at| {
            if is_token(bytes, candidates, place, at) {
                found(at);
            }
        },
    );
}

/// What a text may have that rules need; too often rather than too seldom.
#[expect(clippy::struct_excessive_bools, reason = "five independent answers")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) token: bool,
    /// As many digits as a payment card has, perhaps in groups.
    pub(crate) number: bool,
    /// Other personal data.
    pub(crate) personal: bool,
    pub(crate) network: bool,
    pub(crate) address: bool,
}

impl Kinds {
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut kinds = Self::default();
        candidates(bytes, 0, History::candidates, |found, place, at| {
            let has = |kind: u64| kind & place != 0;
            kinds.number |= has(found.number);
            kinds.personal |= has(found.account | found.area | found.mark);
            kinds.network |= has(found.network);
            kinds.address |= has(found.ipv4);
            kinds.token = kinds.token || is_token(bytes, found, place, at);
        });
        kinds
    }
}

/// Hands over every place from `start` on where there may be something that is looked for: all of its block, which of
/// them, and its byte.
fn candidates(
    bytes: &[u8],
    start: usize,
    look: impl Fn(&mut History, &Classes) -> Candidates,
    mut found: impl FnMut(&Candidates, u64, usize),
) {
    let mut history = History::default();
    each_block(&bytes[start..], |classes, first| {
        let candidates = look(&mut history, classes);
        let mut any = candidates.any();
        while any != 0 {
            let place = any & any.wrapping_neg();
            let at = start + first + any.trailing_zeros() as usize;
            found(&candidates, place, at);
            any &= any - 1;
        }
    });
}

/// Whether there is a token or an encoded text.
fn is_token(bytes: &[u8], found: &Candidates, place: u64, at: usize) -> bool {
    let has = |kind: u64| kind & place != 0;
    has(found.token) && Part::at(bytes, at + 1 - TOKEN).is_token(bytes)
        || has(found.encoded) && is_encoded_text(&bytes[at + 1 - ENCODED..])
        || has(found.license)
}

/// The byte after the line that has this byte in it.
pub(crate) fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length + 1)
}

/// What there is at a candidate, byte by byte.
#[cold]
#[inline(never)]
fn look(text: &str, bytes: &[u8], found: &Candidates, place: u64, at: usize) -> Option<Sign> {
    let has = |kind: u64| kind & place != 0;
    let deep = has(found.unseen) && is_unseen(text, at)
        || has(found.mark)
            && match bytes[at - 1] {
                b'<' => lookalike_end(bytes, at - 1).is_some(),
                b'@' => login_at_host(bytes, at - 1).is_some(),
                _ => false,
            };
    if deep {
        return Some(Sign::Deep);
    }
    if is_token(bytes, found, place, at) {
        return Some(Sign::Token);
    }
    let number = if has(found.number) {
        number(bytes, at + 1 - TOKEN)
    } else {
        None
    };
    if number.is_some() {
        return number;
    }
    let personal =
        has(found.account) || has(found.area) || has(found.mark) && is_mark(bytes, at - 1);
    if personal {
        return Some(Sign::Personal);
    }
    if has(found.network) && is_network(bytes, at) {
        return Some(Sign::Network);
    }
    if !has(found.ipv4) {
        return None;
    }
    address(bytes, at).map(Sign::Address)
}

/// Every IPv4 address of somebody, as the rule `ipv4` has it.
pub(crate) fn addresses(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut skip_to = 0;
    candidates(bytes, 0, History::addresses, |_, _, at| {
        if at >= skip_to
            && let Some(address) = address(bytes, at)
        {
            skip_to = address.end;
            found(address);
        }
    });
}

/// The address whose last number begins at `at`, unless it is nobody's.
fn address(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let from = address_start(bytes, at);
    let to = ipv4(bytes, from)?;
    let address = &bytes[from..to];
    let is_nobody = address.starts_with(b"127.") || address == b"0.0.0.0";
    (!is_nobody).then_some(from..to)
}

/// Where the four numbers begin whose last begins at `at`.
fn address_start(bytes: &[u8], at: usize) -> usize {
    let digits = |end: usize| {
        let before = bytes[..end].iter().rev().take(3);
        end - before.take_while(|b| b.is_ascii_digit()).count()
    };
    (0..3).fold(at, |start, _| digits(start - 1))
}

/// Whether the separator before `at` stands among nothing but hexadecimal digits.
fn is_network(bytes: &[u8], at: usize) -> bool {
    if bytes[at - 1] == b'.' {
        let run = &bytes[at.saturating_sub(10)..bytes.len().min(at + 4)];
        return run.iter().all(|b| b.is_ascii_hexdigit() || *b == b'.');
    }
    is_hexadecimal_run(bytes, at, bytes[at - 1])
}

/// Whether a place is among nothing but hexadecimal digits and separators.
pub(crate) fn is_hexadecimal_run(bytes: &[u8], at: usize, separator: u8) -> bool {
    let inside = |b: &&u8| b.is_ascii_alphanumeric() || **b == separator;
    let head = bytes[..at].iter().rev().take(48).take_while(inside);
    let tail = bytes[at..].iter().take(48).take_while(inside);
    let mut some = false;
    let all = head.chain(tail).all(|b| {
        some |= b.is_ascii_hexdigit();
        b.is_ascii_hexdigit() || *b == separator
    });
    all && some
}

/// Whether one of the numbers in a row of digits, spaces and hyphens may be a payment card. One that may be
/// the value of a member in JSON must be read as such, so that it becomes a string.
fn number(bytes: &[u8], start: usize) -> Option<Sign> {
    let joined = |b: &u8| b.is_ascii_digit() || matches!(b, b' ' | b'-');
    let mut at = start;
    while bytes.get(at).is_some_and(joined) {
        let length = bytes[at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if length >= 4 && is_number(bytes, at) {
            let is_member = is_after_colon(bytes[..at].trim_ascii_end());
            return Some(if is_member {
                Sign::Deep
            } else {
                Sign::Personal
            });
        }
        at += length.max(1);
    }
    None
}

/// Whether a name in JSON has just ended.
fn is_after_colon(before: &[u8]) -> bool {
    before.ends_with(b"\":")
}

/// Digits that may be a payment card, alone or in groups.
fn is_number(bytes: &[u8], from: usize) -> bool {
    let is_bound =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'_' | b'/' | b'-');
    let before = &bytes[..from];
    if !(b'2'..=b'6').contains(&bytes[from])
        || before.last().is_some_and(is_bound) && !is_after_colon(before)
    {
        return false;
    }
    let mut digits = String::with_capacity(24);
    let joined = |b: &&u8| b.is_ascii_digit() || matches!(b, b' ' | b'-');
    let run = bytes[from..].iter().take(24).take_while(joined);
    digits.extend(run.filter(|b| b.is_ascii_digit()).map(|b| char::from(*b)));
    [15, 16]
        .iter()
        .any(|length| digits.get(..*length).is_some_and(is_luhn))
}

/// The end of an IPv4 address that begins here, as the rule `ipv4` has it.
fn ipv4(bytes: &[u8], from: usize) -> Option<usize> {
    let before = bytes[..from].last();
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

/// `@` of addresses, the start of a phone number.
fn is_mark(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].last().copied();
    let after = bytes.get(at + 1).copied().unwrap_or(b' ');
    match bytes[at] {
        b'@' => before.is_some_and(|b| !b.is_ascii_whitespace()) && is_domain(&bytes[at + 1..]),
        b'+' => {
            let digits = bytes[at..].iter().take(24).filter(|b| b.is_ascii_digit());
            (b'1'..=b'9').contains(&after)
                && before.is_none_or(|b| {
                    b.is_ascii_whitespace()
                        || matches!(b, b'"' | b'\'' | b':' | b'=' | b'<' | b',' | b'/')
                })
                && digits.count() >= 6
        }
        _ => false,
    }
}

/// An escape of a terminal, or a character that is not seen.
fn is_unseen(text: &str, at: usize) -> bool {
    text.get(at..)
        .and_then(|rest| rest.chars().next())
        .is_some_and(|character| character == '\u{1b}' || is_invisible(character))
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
    let is_printable = |b: &u8| (b' '..=b'~').contains(b) || matches!(b, b'\n' | b'\r' | b'\t');
    run.chunks_exact(4).take(4).all(|four| {
        let bits = four.iter().fold(0_u32, |bits, byte| {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                _ => 63,
            };
            bits << 6 | u32::from(value)
        });
        bits.to_be_bytes()[1..].iter().all(is_printable)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::is_address_of_somebody;

    fn signs(text: &str) -> Vec<Sign> {
        let mut signs = vec![];
        scan(text, 0..text.len(), |_, sign| signs.push(sign));
        signs
    }

    fn addresses(text: &str) -> Vec<&str> {
        let signs = signs(text).into_iter();
        let addresses = signs.filter_map(|sign| match sign {
            Sign::Address(range) => Some(&text[range]),
            _ => None,
        });
        addresses.collect()
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
            ("blk_38865049064139660 done", None),
            ("commit 5fe409fee10ec58c78470c1f21862430bd671d25", None),
            ("pod orders-5c9d8f7b6-x2x4z", None),
            ("2025-06-20T10:47:35.852Z 081109 203615 148", None),
            ("src@eadmin1 and a @ b.c", None),
            ("/0:0:0:0:0:0:0:0:2181:Learner@325", None),
            ("got 9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8", Some(Sign::Token)),
            ("key_5fe409fee10ec58c78470c1f21862430", Some(Sign::Token)),
            ("iban NO9386011117947", Some(Sign::Token)),
            ("x cGFzc3dvcmQ9aHVudGVyMgo=", Some(Sign::Token)),
            ("pass\u{200b}word", Some(Sign::Deep)),
            ("pass\u{61c}word", Some(Sign::Deep)),
            ("pass\u{1b}[31mword", Some(Sign::Deep)),
            ("a <secret:abcdef> b", Some(Sign::Deep)),
            ("ZAQWS-XCDER-VBGTR-FRTGU-KLMNX", Some(Sign::Token)),
            ("card 4111 1111 1111 1111", Some(Sign::Personal)),
            ("card 4111111111111111", Some(Sign::Personal)),
            ("2025-06-20 4111 1111 1111 1111", Some(Sign::Personal)),
            ("iban DE89 3704 0044 0532 0130 00", Some(Sign::Personal)),
            ("mail jane.doe@example.com", Some(Sign::Personal)),
            ("call +44 20 7946 0958", Some(Sign::Personal)),
            ("call (415) 555-0132", Some(Sign::Personal)),
            ("mac 00:1a:2b:3c:4d:5e", Some(Sign::Network)),
            ("mac 00-1a-2b-3c-4d-5e", Some(Sign::Network)),
            ("mac 001a.2b3c.4d5e", Some(Sign::Network)),
            ("from 2001:db8:0:0:1:0:0:1", Some(Sign::Network)),
            ("from 10.1.2.3", Some(Sign::Address(5..13))),
        ] {
            // Wherever it stands to the blocks.
            for lead in [0, 1, 40, 50, 60, 63] {
                let padded = format!("{}\n{text}\n", "a ".repeat(lead));
                let moved = expected.clone().map(|sign| match sign {
                    Sign::Address(range) => {
                        Sign::Address(range.start + 2 * lead + 1..range.end + 2 * lead + 1)
                    }
                    sign => sign,
                });
                assert_eq!(signs(&padded).first(), moved.as_ref(), "{text} at {lead}");
            }
        }
    }
}
