//! Where names and values begin and end.

use crate::carrier::template;
use crate::strings::{binary, quoted};

/// The longest name and the longest value that are looked at.
pub(crate) const NAME_LIMIT: usize = 100;
pub(crate) const VALUE_LIMIT: usize = 16 << 10;
const COMPOSITE_LIMIT: usize = 4 << 10;

/// The name that ends before the separator at `at`.
pub(crate) fn name_before(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let separator = bytes[at];
    let mut end = at;
    if separator == b'=' {
        let is_operator = |b: &u8| matches!(b, b':' | b'.' | b'+' | b'?' | b'=' | b'!');
        end -= bytes[..end]
            .iter()
            .rev()
            .take(3)
            .take_while(|b| is_operator(b))
            .count();
        if let Some(b'<' | b'>' | b'~') = bytes[..end].last() {
            return None;
        }
    } else if matches!(bytes.get(at + 1), Some(b':' | b'='))
        || bytes[..end].last() == Some(&b':')
        || text[at..].starts_with("://")
    {
        return None;
    }
    let floor = end.saturating_sub(NAME_LIMIT);
    while end > floor && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    end -= markup_before(&bytes[floor..end], separator);
    let closing = end;
    while end > floor && matches!(bytes[end - 1], b'"' | b'\'' | b'`' | b'\\' | b']' | b')') {
        end -= 1;
    }
    let (mut start, mut name) = word_before(text, floor, end)?;
    if is_type(name) && bytes[..start].last() == Some(&b' ') {
        // `var token string = "..."`
        (start, name) = word_before(text, floor, start - 1).unwrap_or((start, name));
    }
    // The end of a remark is not that of a call: `(no such password): [ada]`.
    let is_remark =
        separator == b':' && text[end..closing] == *")" && bytes[..start].last() == Some(&b' ');
    if is_remark {
        return None;
    }
    let noise = |b: &u8| matches!(b, b']' | b'%' | b'^' | b'!' | b'*' | b'#');
    if name.len() <= 2 && bytes[..start].last().is_some_and(noise) {
        return None;
    }
    let name = name.trim_start_matches(['-', '.', '/', '$', '@']);
    (start < end && !name.is_empty()).then_some(name)
}

/// The length of what ends a name before its separator: `**` of Markdown, `>>` of a binary of Erlang.
fn markup_before(head: &[u8], separator: u8) -> usize {
    if head.ends_with(b"\">>") {
        return ">>".len();
    }
    let is_mark = |b: &&u8| separator == b':' && **b == b'*';
    head.iter().rev().take(3).take_while(is_mark).count()
}

fn word_before(text: &str, floor: usize, end: usize) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut start = end;
    while start > floor && is_name_byte(bytes[start - 1]) {
        start -= 1;
    }
    Some((start, text.get(start..end)?))
}

fn is_type(word: &str) -> bool {
    matches!(
        word,
        "string" | "String" | "str" | "char" | "byte" | "text" | "varchar"
    )
}

/// Whether the separator is a comparison: `==`, `!=`.
pub(crate) fn compares(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'='
        && (matches!(bytes[..at].last(), Some(b'=' | b'!'))
            || bytes.get(at + 1) == Some(&b'=') && bytes.get(at + 2) != Some(&b'='))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$' | b'@')
}

/// The value after the separator at `at`: start, end, and whether it is in quotes.
///
/// With `whole`, an object in braces and a connection string are one value.
pub(crate) fn value_after(text: &str, at: usize, whole: bool) -> Option<(usize, usize, bool)> {
    let bytes = text.as_bytes();
    let mut start = at + 1;
    if matches!(bytes.get(start), Some(b'-' | b'='))
        && let Some((start, end)) = template::fallback(text, start + 1)
    {
        return Some((start, end, true));
    }
    while start < bytes.len() && matches!(bytes[start], b'=' | b'>') && start < at + 3 {
        start += 1;
    }
    if bytes[at] == b':' {
        start += markup_after(&text[start..]);
    }
    while start < bytes.len() && matches!(bytes[start], b' ' | b'\t') {
        start += 1;
    }
    if bytes[at] == b':' {
        start += properties(&text[start..]);
        start += declared(&text[start..]);
    }
    start += typed(&text[start..]);
    let literal = |start| template::literal(text, start).map(|(start, end)| (start, end, true));
    let in_quotes = |found: (usize, usize, bool)| {
        let inner = literal(found.0).filter(|inner| inner.1 < found.1);
        inner.unwrap_or(found)
    };
    literal(start)
        .or_else(|| binary(text, start))
        .or_else(|| quoted(text, start).map(in_quotes))
        .or_else(|| {
            let end = if whole {
                composite_end(text, start)
            } else {
                None
            };
            let end = end.unwrap_or_else(|| unquoted_end(text, start));
            (start < end).then_some((start, end, false))
        })
}

/// The length of what closes the name behind its colon: `Password:** x`, `<b>Password:</b> x`.
fn markup_after(rest: &str) -> usize {
    let marks = rest.bytes().take(3).take_while(|b| *b == b'*').count();
    let is_name = |b: &u8| b.is_ascii_alphanumeric();
    let tag = rest.strip_prefix("</").map_or(0, |tag| {
        let name = tag.bytes().take(10).take_while(is_name).count();
        if tag[name..].starts_with('>') {
            "</>".len() + name
        } else {
            0
        }
    });
    let length = if tag > 0 { tag } else { marks };
    if length == 0 {
        return 0;
    }
    let blanks = blanks(&rest.as_bytes()[length..]);
    if blanks > 0 || rest[length..].starts_with('`') {
        length + blanks
    } else {
        0
    }
}

/// The length of a type between a name and its value, which is in quotes: `password: String = "x"`.
fn declared(rest: &str) -> usize {
    const SMALL: [&str; 6] = ["str", "string", "char", "text", "bytes", "any"];
    let is_inside = |b: &u8| b.is_ascii_alphabetic() || b"_&<>[]?.|".contains(b);
    let length = rest.bytes().take(40).take_while(is_inside).count();
    let name = rest[..length].trim_start_matches('&');
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase())
        || SMALL
            .iter()
            .any(|small| name.trim_end_matches(['?', '[', ']']) == *small);
    let is_balanced = name.matches('[').count() == name.matches(']').count();
    let is_declared = is_type
        && is_balanced
        && rest[length..]
            .strip_prefix(" = ")
            .is_some_and(|value| value.starts_with(['"', '\'', '`']));
    if is_declared { length + " = ".len() } else { 0 }
}

/// The length of what a debugger and a dump of PHP write before a string: its address, its type on a line.
fn typed(rest: &str) -> usize {
    let (digits, end) = if let Some(address) = rest.strip_prefix("0x") {
        (address, " ")
    } else if let Some(length) = on_next_line(rest).strip_prefix("string(") {
        (length, ") ")
    } else {
        return 0;
    };
    let lead = rest.len() - digits.len();
    let count = digits.bytes().take(16).take_while(u8::is_ascii_hexdigit);
    let length = lead + count.count();
    let is_string = |rest: &str| rest.starts_with(end) && rest[end.len()..].starts_with('"');
    if is_string(&rest[length..]) {
        length + end.len()
    } else {
        0
    }
}

/// What the next line begins with, if nothing is left on this one.
fn on_next_line(rest: &str) -> &str {
    match rest.strip_prefix('\n') {
        Some(next) => &next[blanks(next.as_bytes())..],
        None => rest,
    }
}

/// The length of what YAML has before a value: an anchor, and a tag that does not refer to something else.
fn properties(rest: &str) -> usize {
    let mut length = 0;
    while let Some((word, _)) = rest[length..].split_once(' ')
        && (word.starts_with('&') && word.len() > 1
            || word.starts_with("!!")
            || matches!(word, "!vault" | "!unsafe" | "!Sub"))
        && word.len() <= NAME_LIMIT
        && !word.contains('\n')
    {
        length += word.len() + 1;
    }
    length
}

/// Where `{...}` or `Endpoint=...;Key=...` ends.
fn composite_end(text: &str, start: usize) -> Option<usize> {
    let rest = &text.as_bytes()[start..text.len().min(start + COMPOSITE_LIMIT)];
    if rest.first() == Some(&b'{') && rest.get(1) != Some(&b'{') {
        let mut depth = 0_usize;
        for (index, byte) in rest.iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'\n' => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(start + index + 1);
            }
        }
        return None;
    }
    if let Some(length) = registry_bytes(rest).or_else(|| byte_array(rest)) {
        return Some(start + length);
    }
    if ["Endpoint=", "jdbc:", "Server=", "DefaultEndpointsProtocol="]
        .iter()
        .any(|head| rest.starts_with(head.as_bytes()))
    {
        let end = rest
            .iter()
            .position(|b| matches!(b, b' ' | b'\n' | b'"' | b'\'' | b',' | b'\\' | b'`'))?;
        return Some(start + end);
    }
    None
}

/// The length of bytes as source code has them: `[]byte{18, 9, 0x64}`, `byteArrayOf(1, 2, 3)`.
fn byte_array(rest: &[u8]) -> Option<usize> {
    const FEWEST: usize = 8;
    const LONGEST: usize = 2 << 10;
    let is_type = |b: &&u8| b.is_ascii_alphanumeric() || b"_[] ".contains(b);
    let open = rest.iter().take(24).take_while(is_type).count();
    let is_number = |b: &&u8| b.is_ascii_hexdigit() || b"xX, \t\n".contains(b);
    let body = rest.get(open + 1..)?;
    let length = body.iter().take(LONGEST).take_while(is_number).count();
    let is_closed = matches!(
        (rest[open], body.get(length)),
        (b'{', Some(b'}')) | (b'(', Some(b')'))
    );
    let commas = memchr::memchr_iter(b',', &body[..length]).count();
    (is_closed && commas >= FEWEST).then_some(open + 1 + length + 1)
}

/// The length of bytes as the registry of Windows exports them, over many lines: `hex(2):66,00,\`.
fn registry_bytes(rest: &[u8]) -> Option<usize> {
    let kind = rest.strip_prefix(b"hex")?;
    let colon = memchr::memchr(b':', &kind[..kind.len().min(4)])?;
    let mut length = "hex:".len() + colon;
    loop {
        let is_digit = |b: &&u8| b.is_ascii_hexdigit() || **b == b',';
        length += rest[length..].iter().take_while(is_digit).count();
        let feed = rest[length..].strip_prefix(b"\\\r\n");
        let Some(next) = feed.or_else(|| rest[length..].strip_prefix(b"\\\n")) else {
            return Some(length);
        };
        length = rest.len() - next.len() + blanks(next);
    }
}

/// Where the lines of `<<EOF` begin and end.
pub(crate) fn heredoc(text: &str, start: usize) -> Option<(usize, usize)> {
    let rest = text.get(start..)?.strip_prefix("<<")?;
    let (tag, _) = rest.split_once('\n')?;
    let body = start + "<<".len() + tag.len() + 1;
    let tag = tag.trim().trim_start_matches(['-', '~']);
    let tag = tag.trim_matches(['"', '\'', '\\']);
    let is_tag = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if tag.is_empty() || tag.len() > NAME_LIMIT || !tag.bytes().all(is_tag) {
        return None;
    }
    let limit = text.floor_char_boundary(body + VALUE_LIMIT);
    let mut end = body;
    for line in text[body..limit].split_inclusive('\n') {
        if line.trim() == tag {
            let lead = text[body..end].len() - text[body..end].trim_start().len();
            return Some((body + lead, body + text[body..end].trim_end().len()));
        }
        end += line.len();
    }
    None
}

/// Where a value without quotes ends.
pub(crate) fn unquoted_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let limit = bytes.len().min(start + VALUE_LIMIT);
    let mut end = start;
    while end < limit {
        let rest = &bytes[end..];
        match rest[0] {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'`' | 0 => break,
            b'\'' | b'<' if end > start => break,
            b'\\' if matches!(rest.get(1), Some(b'n' | b'r' | b't' | b'"' | b'\\')) => break,
            // A line that goes on, as in properties of Java; a record is none, whatever stands before it.
            b'\\' if rest.get(1) == Some(&b'\n') && end > start && blanks(&rest[2..]) > 0 => {
                end += 2 + blanks(&rest[2..]);
            }
            b',' | b';' | b'&' | b'|' if next_pair(&rest[1..]) => break,
            _ => end += 1,
        }
    }
    let mut end = text.floor_char_boundary(end);
    while end > start {
        let open = |c: u8| bytes[start..end].contains(&c);
        match bytes[end - 1] {
            b',' | b';' | b':' | b'.' => end -= 1,
            b')' if !open(b'(') => end -= 1,
            b']' if !open(b'[') => end -= 1,
            b'}' if !open(b'{') => end -= 1,
            _ => break,
        }
    }
    end
}

fn blanks(bytes: &[u8]) -> usize {
    let is_blank = |b: &&u8| matches!(b, b' ' | b'\t');
    bytes.iter().take(NAME_LIMIT).take_while(is_blank).count()
}

/// Whether another `name=value` or nothing follows a separator.
fn next_pair(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(b"amp;").unwrap_or(rest);
    let name = rest
        .iter()
        .take(NAME_LIMIT)
        .take_while(|b| is_name_byte(**b) || **b == b' ' || **b == b'"')
        .count();
    rest.is_empty()
        || matches!(rest[0], b' ' | b'\n' | b'"')
        || (name > 0
            && rest[0].is_ascii_alphabetic()
            && matches!(rest.get(name), Some(b'=' | b':'))
            && rest.get(name + 1) != Some(&b'='))
}

pub(crate) fn line_end(text: &str, start: usize) -> usize {
    let bytes = &text.as_bytes()[start..];
    let end = bytes
        .iter()
        .position(|b| matches!(b, b'\n' | b'\r' | b'"'))
        .unwrap_or(bytes.len());
    let escaped = memchr::memmem::find(&bytes[..end], b"\\n")
        .or_else(|| memchr::memmem::find(&bytes[..end], b"\\r"));
    start + escaped.unwrap_or(end)
}
