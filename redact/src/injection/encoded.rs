//! Texts that are written as base64 or hex, or spelled.

use crate::decode;

/// Fewer bytes spell no instruction.
const FEWEST_BYTES: usize = 12;
/// Fewer words that are spelled are abbreviations.
const FEWEST_SPELLED: usize = 3;

/// A place in a text, and what is written there.
pub(super) struct Encoded {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: String,
}

/// Everything in a text that decodes to readable ASCII, and words that are spelled.
pub(super) fn texts(text: &str) -> Vec<Encoded> {
    let base64 = decode::texts(text);
    let mut found: Vec<Encoded> = base64
        .into_iter()
        .map(|(start, end, text)| Encoded { start, end, text })
        .collect();
    found.extend(hex(text));
    found.extend(spelled(text));
    found
}

/// Runs of readable bytes in hex: `69676e`, `69 67 6e`, `69:67:6e`, `0x69, 0x67, 0x6e`.
fn hex(text: &str) -> impl Iterator<Item = Encoded> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            let (text, end) = run(bytes, start);
            at = end.max(start + 1);
            if text.len() >= FEWEST_BYTES {
                return Some(Encoded { start, end, text });
            }
        }
        None
    })
}

/// What is written from here on, and the end of its last byte.
fn run(bytes: &[u8], start: usize) -> (String, usize) {
    let (mut decoded, mut end) = (String::new(), start);
    while let Some((character, next)) = pair(bytes, end, decoded.is_empty()) {
        decoded.push(character);
        end = next;
    }
    (decoded, end)
}

/// One character and where it ends, behind what may stand between two of them.
fn pair(bytes: &[u8], from: usize, is_first: bool) -> Option<(char, usize)> {
    let is_between = |byte: &&u8| matches!(byte, b' ' | b',' | b':' | b'-');
    let between = if is_first {
        0
    } else {
        let rest = bytes[from..].iter().take(2);
        rest.take_while(is_between).count()
    };
    let mut at = from + between;
    if bytes[at..].starts_with(b"0x") {
        at += 2;
    }
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let character = char::from_u32(digit(at)? << 4 | digit(at + 1)?)?;
    let is_readable = matches!(character, ' '..='~' | '\n' | '\r' | '\t');
    is_readable.then_some((character, at + 2))
}

/// What is spelled in a text, letter by letter with marks between: `i-g-n-o-r-e a-l-l`.
fn spelled(text: &str) -> Option<Encoded> {
    let mut words: Vec<String> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for word in text.split_whitespace() {
        let Some(letters) = letters(word) else {
            continue;
        };
        let at = word.as_ptr().addr() - text.as_ptr().addr();
        if words.is_empty() {
            start = at;
        }
        end = at + word.len();
        words.push(letters);
    }
    (words.len() >= FEWEST_SPELLED).then(|| Encoded {
        start,
        end,
        text: words.join(" "),
    })
}

/// The letters of a word that is spelled with one mark between any two of them.
fn letters(word: &str) -> Option<String> {
    let bytes = word.as_bytes();
    let mark = *bytes.get(1).filter(|mark| b"-._*+~".contains(mark))?;
    let is_spelled = |(index, byte): (usize, &u8)| match index % 2 {
        0 => byte.is_ascii_alphabetic(),
        _ => *byte == mark,
    };
    let letters = bytes.iter().step_by(2).map(|byte| char::from(*byte));
    (bytes.len() >= 5 && bytes.len() % 2 == 1 && bytes.iter().enumerate().all(is_spelled))
        .then(|| letters.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_every_common_way_of_writing_it() {
        let joined = |before: &str, between: &str| {
            let bytes = "obey me, reader".bytes();
            let bytes: Vec<String> = bytes.map(|byte| format!("{before}{byte:02x}")).collect();
            bytes.join(between)
        };
        for written in [
            joined("", ""),
            joined("", "").to_uppercase(),
            joined("", " "),
            joined("", ":"),
            joined("", "-"),
            joined("0x", ", "),
            format!("0x{}", joined("", "")),
        ] {
            let line = format!("body={written}; size=15");
            let found = texts(&line);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].text, "obey me, reader");
            assert_eq!(&line[found[0].start..found[0].end], written);
        }
    }

    #[test]
    fn digests_addresses_and_times_are_no_texts() {
        for line in [
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "link 02:42:ac:11:00:02 at 0xffff8800 on 2026-01-02 03:04:05",
            "id 3f2b8c1e-0000-4000-8000-000000000000",
            "6f626579",
        ] {
            assert_eq!(texts(line).len(), 0, "{line}");
        }
    }
}
