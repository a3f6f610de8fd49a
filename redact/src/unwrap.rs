//! What a text says once encodings are undone. Unlike [`crate::view`] there is no way back to the text: this
//! is for proofs that something is not there.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::planes::{BLOCK, Pair, begins, each_block, high};

/// Shorter runs of digits and letters hold no value that matters.
const SHORTEST_RUN: usize = 11;
/// How many characters of a run say whether it is text in base64; a long run is decoded in any case.
const WINDOW: usize = 8;
/// Characters of base64 that stand for whole bytes.
const GROUP: usize = 4;
const LONG: usize = 96;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// A way to write characters that stand for themselves otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Escapes {
    /// `%41`
    Percent,
    /// `\n`, `\"`, `\u0041`, `\x41`, `\101`: JSON, C, shells. Line breaks are left out.
    Backslash,
    /// `&amp;`, `&#45;`
    Reference,
    /// The zero bytes of ASCII in UTF-16.
    Zero,
}

impl Escapes {
    pub(crate) const ALL: [Self; 4] = [Self::Percent, Self::Backslash, Self::Reference, Self::Zero];

    const fn sign(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Backslash => b'\\',
            Self::Reference => b'&',
            Self::Zero => 0,
        }
    }
}

/// What a text says with one layer of escapes undone, a line for each part that has any: an escape and as much
/// around it as `reach` says. Different kinds are undone one after the other: what one of them escapes may be the
/// sign of another.
pub(crate) fn unescaped(text: &str, escapes: Escapes, reach: usize) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut own) = (Vec::new(), Vec::new());
    // How far was read, and how far the part goes on.
    let (mut at, mut end) = (0, 0);
    for sign in memchr::memchr_iter(escapes.sign(), bytes) {
        if sign < at {
            continue;
        }
        own.clear();
        let Some(read) = escapes.undo(&bytes[sign + 1..], &mut own) else {
            continue;
        };
        let start = sign.saturating_sub(reach);
        if start > end {
            plain.extend_from_slice(&bytes[at..end]);
            plain.push(b'\n');
            at = start;
        }
        plain.extend_from_slice(&bytes[at..sign]);
        plain.extend_from_slice(&own);
        at = sign + 1 + read;
        end = bytes.len().min(at + reach);
    }
    plain.extend_from_slice(&bytes[at..end]);
    text_of(plain)
}

impl Escapes {
    /// Reads the rest of an escape behind its sign; how many bytes it has.
    fn undo(self, rest: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Percent => percent(rest, plain),
            Self::Backslash => backslash(rest, plain),
            Self::Reference => reference(rest, plain),
            Self::Zero => Some(0),
        }
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn percent(rest: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    plain.push(byte_of(rest.get(..2)?)?);
    Some(2)
}

fn backslash(rest: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    match rest.first()? {
        b'u' => unicode(rest, plain),
        b'x' => {
            plain.push(byte_of(rest.get(1..3)?)?);
            Some(3)
        }
        b'n' | b'r' => Some(1),
        b't' => {
            plain.push(b'\t');
            Some(1)
        }
        b'0'..=b'3' => {
            let digits = rest.get(..3)?;
            let digit = |value: u32, digit: &u8| Some(value * 8 + char::from(*digit).to_digit(8)?);
            let code = digits.iter().try_fold(0, digit)?;
            plain.push(u8::try_from(code).ok()?);
            Some(3)
        }
        byte @ (b'"' | b'\'' | b'\\' | b'/' | b'$' | b'`' | b'&' | b' ' | b'=' | b':') => {
            plain.push(*byte);
            Some(1)
        }
        _ => None,
    }
}

fn unicode(rest: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    let unit = |digits: &[u8]| {
        let [high, low] = [byte_of(digits.get(..2)?)?, byte_of(digits.get(2..4)?)?];
        Some(u16::from_be_bytes([high, low]))
    };
    let first = unit(rest.get(1..)?)?;
    let second = rest
        .get(5..11)
        .filter(|next| next.starts_with(b"\\u"))
        .and_then(|next| unit(&next[2..]));
    let mut buffer = [0; 4];
    if let Some(second) = second
        && let Some(Ok(character)) = char::decode_utf16([first, second]).next()
        && character.len_utf16() == 2
    {
        plain.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        return Some(11);
    }
    let character = char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
    plain.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    Some(5)
}

fn reference(rest: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    let end = rest.iter().take(10).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    let mut buffer = [0; 4];
    plain.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    Some(end + 1)
}

/// What every long run of digits and letters says as hexadecimal digits and as base64, wherever in the run it
/// begins, a line for each.
pub(crate) fn decoded_runs(text: &str) -> String {
    let mut decoded = Vec::new();
    each_run(text.as_bytes(), |run| {
        each_number(run, |digits| hexadecimal(digits, &mut decoded));
        base64(run, &mut decoded);
    });
    text_of(decoded)
}

/// Hands over every run of the characters of base64 that is not too short.
fn each_run(bytes: &[u8], mut found: impl FnMut(&[u8])) {
    let mut pair = Pair::default();
    // Where the run begins that reaches the end of the last block.
    let mut open = None;
    each_block(bytes, |c, first| {
        let word = c.digit | c.upper | c.lower;
        let now = word | c.plus | c.slash | c.hyphen | c.underscore;
        let both = pair.push(now);
        let mut close = |from: usize, at: usize| {
            let end = at + (now >> at).trailing_ones() as usize;
            if end == BLOCK {
                return Some(from);
            }
            found(&bytes[from..first + end]);
            None
        };
        open = open.and_then(|from| close(from, 0));
        let mut ends = high(begins(row11(both)));
        while ends != 0 {
            let at = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            open = close(first + at + 1 - SHORTEST_RUN, at);
        }
    });
    if let Some(from) = open {
        found(&bytes[from..]);
    }
}

/// The last of as many in a row as the shortest run has.
fn row11(bits: u128) -> u128 {
    let two = bits & bits << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & eight << 3
}

/// Hands over every run of hexadecimal digits that is not too short. Looks at one byte of as many as the shortest has,
/// where there is none.
fn each_number(bytes: &[u8], mut found: impl FnMut(&[u8])) {
    let is_in = |byte: &u8| IS_DIGIT[usize::from(*byte)];
    let mut at = 0;
    while let Some(probe) = bytes.get(at + SHORTEST_RUN - 1) {
        if !is_in(probe) {
            at += SHORTEST_RUN;
            continue;
        }
        let before = &bytes[at..at + SHORTEST_RUN];
        let start = before.iter().rposition(|byte| !is_in(byte));
        let start = at + start.map_or(0, |last| last + 1);
        let rest = &bytes[at + SHORTEST_RUN..];
        let more = rest.iter().position(|byte| !is_in(byte));
        let end = at + SHORTEST_RUN + more.unwrap_or(rest.len());
        if end - start >= SHORTEST_RUN {
            found(&bytes[start..end]);
        }
        at = end;
    }
}

const IS_DIGIT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_hexdigit();
        byte += 1;
    }
    table
};

fn hexadecimal(digits: &[u8], decoded: &mut Vec<u8>) {
    for start in 0..2 {
        let before = decoded.len();
        let pairs = digits[start..].chunks_exact(2);
        decoded.extend(pairs.filter_map(byte_of));
        end_line(decoded, before);
    }
}

fn base64(run: &[u8], decoded: &mut Vec<u8>) {
    for start in 0..4 {
        let part = &run[start..];
        // What is written right before it does not hide it.
        let texts = part.windows(WINDOW).step_by(GROUP).position(is_text);
        let part = match texts {
            Some(groups) => &part[groups * GROUP..],
            None if part.len() < LONG => continue,
            None => part,
        };
        // A single character at the end says nothing.
        let part = &part[..part.len() - usize::from(part.len() % 4 == 1)];
        let before = decoded.len();
        let is_of_urls = run.iter().any(|byte| matches!(byte, b'-' | b'_'));
        let engine = if is_of_urls { &URL } else { &PLAIN };
        if engine.decode_vec(part, decoded).is_err() {
            decoded.truncate(before);
        }
        end_line(decoded, before);
    }
}

/// Whether characters of base64 are those of printable ASCII or UTF-16.
fn is_text(characters: &[u8]) -> bool {
    let has_high_bit = |group: &[u8]| {
        let value = |index: usize| VALUES[usize::from(group[index])];
        (value(0) & 0x20) | (value(1) & 0x08) | (value(2) & 0x02) != 0
    };
    if characters.chunks_exact(GROUP).any(has_high_bit) {
        return false;
    }
    let mut bits = 0_u32;
    characters.iter().enumerate().all(|(index, character)| {
        bits = bits << 6 | u32::from(VALUES[usize::from(*character)]);
        let pending = (index + 1) * 6 % 8;
        let is_whole = index % 4 != 0;
        let byte = bits >> pending & 0xff;
        !is_whole || matches!(byte, 0 | 9 | 10 | 13 | 0x20..=0x7e)
    })
}

/// What each character of base64 stands for.
const VALUES: [u8; 256] = {
    let mut table = [0; 256];
    let mut value: u8 = 0;
    while value < 64 {
        let character = match value {
            0..26 => b'A' + value,
            26..52 => b'a' + value - 26,
            52..62 => b'0' + value - 52,
            62 => b'+',
            _ => b'/',
        };
        table[character as usize] = value;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// Ends the line of what was decoded since `before`, or takes it away: what is mostly not text is another start
/// than the right one.
fn end_line(decoded: &mut Vec<u8>, before: usize) {
    let line = &decoded[before..];
    let printable = line
        .iter()
        .filter(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0))
        .count();
    if line.is_empty() || printable * 2 < line.len() {
        decoded.truncate(before);
    } else {
        decoded.push(b'\n');
    }
}

fn byte_of(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' | b'A'..=b'F' => Some((byte | 0x20) - b'a' + 10),
        _ => None,
    };
    let &[high, low] = digits else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_one_layer_at_a_time() {
        for (text, escapes, plain) in [
            ("a%20b%2", Escapes::Percent, Some("a b%2")),
            ("%2541", Escapes::Percent, Some("%41")),
            (
                r#"\"a\\nb\u0041\x42\103"#,
                Escapes::Backslash,
                Some(r#""a\nbABC"#),
            ),
            (r"\ud83d\ude00", Escapes::Backslash, Some("\u{1f600}")),
            (r"\ud83dx", Escapes::Backslash, Some("\u{fffd}x")),
            (
                "&lt;&#65;&#x42;&;&unknown;",
                Escapes::Reference,
                Some("<AB&;&unknown;"),
            ),
            ("a\0b\0", Escapes::Zero, Some("ab")),
            ("100% & \\d", Escapes::Percent, None),
            ("100% & \\d", Escapes::Backslash, None),
            ("100% & \\d", Escapes::Reference, None),
            ("", Escapes::Zero, None),
        ] {
            assert_eq!(
                unescaped(text, escapes, 20),
                plain.unwrap_or_default(),
                "{text}"
            );
        }
        let text = "0123456789%41bcdefghijklmnopqr%53tu%56wxyz";
        let parts = unescaped(text, Escapes::Percent, 3);
        assert_eq!(parts, "\n789Abcd\npqrStuVwxy");
    }

    #[test]
    fn runs_are_decoded_wherever_they_begin() {
        for text in [
            "68656c6c6f207468",
            "f68656c6c6f207468",
            "68656C6c6f207468",
            "aGVsbG8gdGhlcmU",
            "xxxaGVsbG8gdGhlcmU",
            "aaaaaGVsbG8gdGhlcmU",
            "theWholeRunBeforeItaGVsbG8gdGhlcmU",
        ] {
            assert!(decoded_runs(text).contains("hello th"), "{text}");
        }
        assert_eq!(decoded_runs("too short"), "");
    }
}
