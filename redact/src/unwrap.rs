//! What a text says once encodings are undone. Unlike [`crate::view`] there is no way back to the text: this
//! is for proofs that something is not there.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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

/// The text with one layer of escapes undone; `None` where there is nothing of the kind. Different kinds are
/// undone one after the other: what one of them escapes may be the sign of another.
pub(crate) fn unescaped(text: &str, escapes: Escapes) -> Option<String> {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let (mut at, mut changed) = (0, false);
    for sign in memchr::memchr_iter(escapes.sign(), bytes) {
        if sign < at {
            continue;
        }
        plain.extend_from_slice(&bytes[at..sign]);
        let rest = &bytes[sign + 1..];
        let read = match escapes {
            Escapes::Percent => percent(rest, &mut plain),
            Escapes::Backslash => backslash(rest, &mut plain),
            Escapes::Reference => reference(rest, &mut plain),
            Escapes::Zero => Some(0),
        };
        changed |= read.is_some();
        at = read.map_or(sign, |read| sign + 1 + read);
    }
    if !changed {
        return None;
    }
    plain.extend_from_slice(&bytes[at..]);
    Some(String::from_utf8_lossy(&plain).into_owned())
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

/// Hands over what every long run of digits and letters says as hexadecimal digits and as base64, wherever
/// in the run it begins.
pub(crate) fn decoded_runs(text: &str, mut found: impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !IN_RUN[usize::from(bytes[at])] {
            at += 1;
            continue;
        }
        let length = bytes[at..]
            .iter()
            .position(|byte| !IN_RUN[usize::from(*byte)])
            .unwrap_or(bytes.len() - at);
        if length >= SHORTEST_RUN {
            let run = &bytes[at..at + length];
            hexadecimal(run, &mut found);
            base64(run, &mut found);
        }
        at += length;
    }
}

const IN_RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    table
};

fn hexadecimal(run: &[u8], found: &mut impl FnMut(&str)) {
    for digits in run.split(|byte| !byte.is_ascii_hexdigit()) {
        if digits.len() < SHORTEST_RUN {
            continue;
        }
        for start in 0..2 {
            let pairs = digits[start..].chunks_exact(2);
            let decoded: Vec<u8> = pairs.filter_map(byte_of).collect();
            read(&decoded, found);
        }
    }
}

fn base64(run: &[u8], found: &mut impl FnMut(&str)) {
    let engine = if run.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        &URL
    } else {
        &PLAIN
    };
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
        if let Ok(decoded) = engine.decode(part) {
            read(&decoded, found);
        }
    }
}

/// Whether characters of base64 are those of printable ASCII or UTF-16.
fn is_text(characters: &[u8]) -> bool {
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

/// Bytes as text, of whatever width its characters are.
fn read(decoded: &[u8], found: &mut impl FnMut(&str)) {
    // What is not text is most likely another start than the right one.
    let printable = decoded
        .iter()
        .filter(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0))
        .count();
    if printable * 2 < decoded.len() {
        return;
    }
    found(&String::from_utf8_lossy(decoded));
}

fn byte_of(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = digits else { return None };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
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
            assert_eq!(unescaped(text, escapes).as_deref(), plain, "{text}");
        }
    }

    #[test]
    fn runs_are_decoded_wherever_they_begin() {
        let all = |text: &str| {
            let mut all = Vec::new();
            decoded_runs(text, |found| all.push(found.to_owned()));
            all
        };
        for text in [
            "68656c6c6f207468",
            "f68656c6c6f207468",
            "aGVsbG8gdGhlcmU",
            "xxxaGVsbG8gdGhlcmU",
            "aaaaaGVsbG8gdGhlcmU",
            "theWholeRunBeforeItaGVsbG8gdGhlcmU",
        ] {
            assert!(all(text).iter().any(|it| it.contains("hello th")), "{text}");
        }
        assert_eq!(all("too short"), Vec::<String>::new());
    }
}
