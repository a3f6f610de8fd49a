//! Other readings of a text, with a way back to its bytes: without terminal colours and invisible
//! characters, with split container log lines joined, percent-decoded.

use bonesetter_proto::Unseen;

use crate::engine::Hit;
use crate::json::text::unescape;
use crate::spelling::{is_spelled, spelled};

/// A reading of a text and where each of its bytes comes from.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) text: String,
    /// For each byte of `text`, the byte of the original; one more for the end.
    starts: Vec<usize>,
    /// For each byte of `text`, the byte after its origin.
    ends: Vec<usize>,
}

impl View {
    fn with_capacity(length: usize) -> Self {
        Self {
            text: String::with_capacity(length),
            starts: Vec::with_capacity(length + 1),
            ends: Vec::with_capacity(length),
        }
    }

    /// Appends a character that stands for the bytes `start..end` of the original.
    pub(crate) fn push(&mut self, character: char, start: usize, end: usize) {
        self.text.push(character);
        for _ in 0..character.len_utf8() {
            self.starts.push(start);
            self.ends.push(end);
        }
    }

    /// A place in the view as one in the original.
    pub(crate) fn origin(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let start = *self.starts.get(start)?;
        let end = *self.ends.get(end.checked_sub(1)?)?;
        (start < end).then_some((start, end))
    }

    /// A find in the view as one in the original.
    pub(crate) fn back(&self, mut hit: Hit) -> Option<Hit> {
        let (start, end) = self.origin(hit.start, hit.end)?;
        if hit.value.is_none() {
            hit.value = self.text.get(hit.start..hit.end).map(str::to_owned);
        }
        (hit.start, hit.end) = (start, end);
        // Inside a string, quotes would end it.
        hit.bare = false;
        Some(hit)
    }

    pub(crate) fn empty(length: usize) -> Self {
        Self::with_capacity(length)
    }
}

/// The readings that differ from the text itself.
pub(crate) fn views(text: &str) -> Vec<View> {
    let mut views = Vec::new();
    let bytes = text.as_bytes();
    let has = |byte: u8| memchr::memchr(byte, bytes).is_some();
    if has(0x1b)
        || has(b'[') && text.contains("[3") && text.contains("[0m")
        || !text.is_ascii() && text.chars().any(|c| is_invisible(c) || narrow(c) != c)
    {
        views.push(without_noise(text));
    }
    if has(b'P') && text.contains(" P ") {
        views.extend(joined_lines(text));
    }
    let encodes = |at: usize| {
        let code = bytes.get(at + 1..at + 3).unwrap_or_default();
        [b"3d", b"22", b"3a", b"7b"]
            .iter()
            .any(|known| code.eq_ignore_ascii_case(*known))
    };
    let is_encoded = memchr::memchr_iter(b'%', bytes).any(encodes);
    if is_encoded {
        views.push(percent_decoded(text));
    }
    if has(b'&') && ENTITIES.iter().any(|(entity, _)| text.contains(entity)) {
        views.push(without_entities(text));
    }
    if has(b'\\') && text.contains("\\u002") {
        views.push(unescape(text, 0));
    }
    if is_spelled(text, !is_encoded) {
        views.push(without_spelling(text));
    }
    views
}

/// The text with letters in the place of their escapes, and nothing in that of what nobody sees.
fn without_spelling(text: &str) -> View {
    let mut view = View::with_capacity(text.len());
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        let (meant, length) =
            spelled(text.as_bytes(), index).unwrap_or((character, character.len_utf8()));
        skip_to = index + length;
        if !is_invisible(meant) {
            view.push(meant, index, skip_to);
        }
    }
    view
}

/// What quotes and separators are in HTML.
const ENTITIES: [(&str, char); 5] = [
    ("&quot;", '"'),
    ("&#34;", '"'),
    ("&#39;", '\''),
    ("&apos;", '\''),
    ("&#x27;", '\''),
];

/// The ASCII separator that a wide one stands for, as in texts in Chinese and Japanese.
const fn narrow(character: char) -> char {
    match character {
        '\u{ff1a}' => ':',
        '\u{ff1d}' => '=',
        other => other,
    }
}

fn without_entities(text: &str) -> View {
    let mut view = View::with_capacity(text.len());
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        let mut entities = ENTITIES.iter();
        let entity =
            entities.find(|(entity, _)| character == '&' && text[index..].starts_with(entity));
        let (decoded, length) = match entity {
            Some((entity, decoded)) => (*decoded, entity.len()),
            None => (character, character.len_utf8()),
        };
        skip_to = index + length;
        view.push(decoded, index, skip_to);
    }
    view
}

/// Whether a word is read without this character. A separator is none: what it stands between are two words.
pub(crate) const fn is_invisible(character: char) -> bool {
    matches!(
        Unseen::of(character),
        Some(Unseen::Joint | Unseen::Direction | Unseen::Tag)
    )
}

fn without_noise(text: &str) -> View {
    let mut view = View::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to || is_invisible(character) {
            continue;
        }
        if let Some(end) = escape_end(bytes, index) {
            skip_to = end;
            continue;
        }
        view.push(narrow(character), index, index + character.len_utf8());
    }
    view
}

/// The end of a terminal escape sequence that starts here, also one whose escape character was lost or
/// written as `\u001b` or `\x1b`.
pub(crate) fn escape_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    let introducers: [&[u8]; 6] = [b"\x1b[", b"\\u001b[", b"\\x1b[", b"\\033[", b"\\e[", b"["];
    let introducer = introducers
        .iter()
        .find(|introducer| rest.starts_with(introducer))?;
    let parameters = rest[introducer.len()..]
        .iter()
        .take(16)
        .position(|b| !(b.is_ascii_digit() || *b == b';'))?;
    let last = rest[introducer.len() + parameters];
    let is_sequence = if introducer.len() == 1 {
        last == b'm' && parameters > 0
    } else {
        last.is_ascii_alphabetic()
    };
    is_sequence.then_some(start + introducer.len() + parameters + 1)
}

/// Container log lines that the runtime has split: `TIME stdout P part` and `TIME stdout F rest`.
fn joined_lines(text: &str) -> Option<View> {
    let mut view = View::with_capacity(text.len());
    let (mut joined, mut partial, mut offset) = (false, false, 0);
    for line in text.split_inclusive('\n') {
        let head = partial_head(line);
        let skip = match head {
            Some((length, _)) if partial => length,
            _ => 0,
        };
        joined |= skip > 0;
        partial = head.is_some_and(|(_, is_partial)| is_partial);
        for (index, character) in line.char_indices().filter(|(index, _)| *index >= skip) {
            if partial && matches!(character, '\n' | '\r') {
                continue;
            }
            view.push(
                character,
                offset + index,
                offset + index + character.len_utf8(),
            );
        }
        offset += line.len();
    }
    joined.then_some(view)
}

/// The length of `TIME stdout P ` and whether it says that the line goes on.
pub(crate) fn partial_head(line: &str) -> Option<(usize, bool)> {
    let stream = line.find(" stdout ").or_else(|| line.find(" stderr "))?;
    let tag = line.get(stream + 8..stream + 10)?;
    (stream <= 48 && matches!(tag, "P " | "F ")).then_some((stream + 10, tag == "P "))
}

/// The text with `%XX` of ASCII characters decoded.
pub(crate) fn percent_decoded(text: &str) -> View {
    let bytes = text.as_bytes();
    let mut view = View::with_capacity(text.len());
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        let code = (character == '%')
            .then(|| bytes.get(index + 1..index + 3))
            .flatten();
        let decoded = code
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match decoded {
            Some(byte) if byte.is_ascii_graphic() || byte == b' ' => {
                skip_to = index + 3;
                view.push(char::from(byte), index, index + 3);
            }
            _ => view.push(character, index, index + character.len_utf8()),
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<String> {
        views(text).into_iter().map(|view| view.text).collect()
    }

    #[test]
    fn readings_of_texts() {
        for (text, expected) in [
            ("\u{1b}[31mpass\u{1b}[0mword=x", "password=x"),
            ("pass\u{200b}word=x", "password=x"),
            ("pass\u{61c}wo\u{2065}rd=x", "password=x"),
            (
                "2025-01-01T00:00:00Z stdout P tok\n2025-01-01T00:00:00Z stdout F en=x\n",
                "2025-01-01T00:00:00Z stdout P token=x\n",
            ),
            ("token%3Dabc", "token=abc"),
            ("pass\\u0077ord=x", "password=x"),
            ("pass\\u200bword=x", "password=x"),
            ("p&#97;ssword=x", "password=x"),
        ] {
            assert_eq!(readings(text), [expected], "{text}");
        }
        assert!(readings("plain [text] 100%").is_empty());
    }

    #[test]
    fn a_find_covers_the_whole_origin() {
        let text = "a \u{1b}[31mse\u{1b}[0mcret";
        let view = without_noise(text);
        let start = view.text.find("secret").unwrap();
        let hit = view.back(Hit::secret(start, start + 6, "x")).unwrap();
        assert_eq!(&text[hit.start..hit.end], "se\u{1b}[0mcret");
        assert_eq!(hit.value.as_deref(), Some("secret"));
    }
}
