//! Strings in quotes, in all that languages put around them.

use crate::rarity::is_token_byte;
use crate::segment::is_record;
use crate::syntax::{NAME_LIMIT, VALUE_LIMIT};

/// How much of a string that is broken for the width of a page stands on the second line.
const WRAPPED: usize = 256;
/// How much of a line is looked at.
const LINE: usize = 1 << 10;

/// Constructors around a string.
const WRAPPERS: &[&str] = &[
    "Some(",
    "Optional(",
    "Ok(",
    "Just(",
    "String(",
    "Secret(",
    "SecretBox(",
    "SecretString(",
    "Sensitive(",
    "Password(",
    "Token(",
    "ApiKey(",
    "str(",
    "Value(",
];

/// The length of constructors before a string, which may stand on the next line.
fn wrapper(rest: &str) -> usize {
    let mut length = 0;
    for _ in 0..2 {
        let mut wrappers = WRAPPERS.iter();
        let Some(wrapper) = wrappers.find(|wrapper| rest[length..].starts_with(**wrapper)) else {
            break;
        };
        length += wrapper.len();
        let space = rest.as_bytes()[length..].iter().take(NAME_LIMIT);
        let space = space.take_while(|b| b.is_ascii_whitespace()).count();
        length += space;
    }
    length
}

/// The inside of `Str(...)`, as the collector of OpenTelemetry prints attributes.
fn attribute(text: &str, start: usize) -> Option<(usize, usize, bool)> {
    let rest = &text[start..text.floor_char_boundary(start + LINE)];
    let line = rest.strip_prefix("Str(")?.lines().next()?;
    let end = line.rfind(')')?;
    let first = start + "Str(".len();
    (!line.starts_with(['"', '\''])).then_some((first, first + end, true))
}

/// The inside of a string in three quotes.
fn long_string(text: &str, open: usize, quote: u8) -> Option<(usize, usize, bool)> {
    let marks = [quote; 3];
    let first = open + marks.len();
    let bytes = text.as_bytes();
    let inside = bytes[open..].strip_prefix(&marks)?;
    let inside = &inside[..inside.len().min(VALUE_LIMIT)];
    let end = memchr::memmem::find(inside, &marks)?;
    Some((first, first + end, true))
}

/// The inside of quotes that open at `start`, also escaped ones and those with a letter before them.
pub(crate) fn quoted(text: &str, start: usize) -> Option<(usize, usize, bool)> {
    let bytes = text.as_bytes();
    let mut open = start;
    let prefixed = matches!(
        bytes.get(open),
        Some(
            b'b' | b'r'
                | b'f'
                | b'u'
                | b'h'
                | b'x'
                | b'@'
                | b'B'
                | b'X'
                | b'('
                | b'['
                | b'L'
                | b'N'
                | b'E'
        )
    ) && matches!(bytes.get(open + 1), Some(b'"' | b'\''));
    open += usize::from(prefixed);
    let wrapped = wrapper(&text[open..]);
    open += wrapped;
    if wrapped == 0
        && let Some(inside) = attribute(text, open)
    {
        return Some(inside);
    }
    let slashes = bytes[open.min(bytes.len())..]
        .iter()
        .take(8)
        .take_while(|b| **b == b'\\')
        .count();
    open += slashes;
    let quote = *bytes
        .get(open)
        .filter(|b| matches!(b, b'"' | b'\'' | b'`'))?;
    if slashes == 0
        && let Some(inside) = long_string(text, open, quote)
    {
        return Some(inside);
    }
    let first = open + 1;
    let limit = bytes.len().min(first + VALUE_LIMIT);
    let mut run = 0;
    let mut line_end = None;
    let mut doubled = false;
    for (index, byte) in bytes.iter().enumerate().take(limit).skip(first) {
        match *byte {
            b if b == quote && doubled => doubled = false,
            b'\\' => run += 1,
            // `'it''s'`: SQL, libpq, YAML and CSV write a quote twice.
            b if b == quote
                && slashes == 0
                && run == 0
                && index > first
                && bytes.get(index + 1) == Some(&quote) =>
            {
                doubled = true;
            }
            b if b == quote
                && (if slashes == 0 {
                    run % 2 == 0
                } else {
                    run <= slashes
                }) =>
            {
                return Some((first, index - run.min(slashes), true));
            }
            b'\n' if run % 2 == 1 && slashes == 0 && !begins_record(text, index + 1) => {
                line_end = line_end.or(Some(index));
                run = 0;
            }
            b'\n' if quote != b'`' => {
                let end = wrapped_end(bytes, index, quote).unwrap_or(index);
                return Some((first, end, true));
            }
            b'\n' => {
                line_end = line_end.or(Some(index));
                run = 0;
            }
            _ => run = 0,
        }
    }
    // What is closed nowhere ends with its line, however much text follows.
    let end = line_end.unwrap_or_else(|| text.floor_char_boundary(limit));
    Some((first, end, true))
}

/// Whether the line that begins here is another record, whatever the one before it ends with.
fn begins_record(text: &str, start: usize) -> bool {
    let rest = &text[start..text.floor_char_boundary(start + LINE)];
    is_record(rest.lines().next().unwrap_or_default())
}

/// Where a string is closed that was broken for the width of a page: before anything but a word of it stands on the
/// next line.
fn wrapped_end(bytes: &[u8], feed: usize, quote: u8) -> Option<usize> {
    let rest = &bytes[feed + 1..];
    let word = rest.iter().take(WRAPPED);
    let length = word.take_while(|b| is_token_byte(**b)).count();
    let last = *rest[..length].last()?;
    let is_closed = rest.get(length) == Some(&quote) && !matches!(last, b'=' | b':');
    is_closed.then_some(feed + 1 + length)
}

/// The inside of `<<"...">>`, a binary of Erlang.
pub(crate) fn binary(text: &str, start: usize) -> Option<(usize, usize, bool)> {
    let inside = quoted(
        text,
        start + text[start..].strip_prefix("<<\"").map(|_| "<<".len())?,
    )?;
    text[inside.1..].starts_with("\">>").then_some(inside)
}
