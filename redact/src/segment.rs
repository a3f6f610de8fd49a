//! Which parts of a text are read in full: the lines that the gate stops, with the lines that belong to
//! them.
//!
//! A value may stand on another line than its name: in YAML, in JSON over many lines, in tables, in keys
//! and in what a container runtime has split. So a part is a line with everything before and behind it up to
//! the next line that looks like the beginning of a log record. Text without records is one part.

use std::cell::LazyCell;
use std::ops::Range;

use crate::csv::Header;
use crate::gate::{Gate, Verdict, line_around, line_end};
use crate::pem::{is_base64, public_blocks};
use crate::view::partial_head;

/// How far back the lines before a name are read with it.
const BACK: usize = 16 << 10;
/// The longest private key over many records.
const KEY: usize = 16 << 10;
/// Where in a line a time is looked for.
const HEAD: usize = 64;

/// A part of a text that is not clean.
#[derive(Debug)]
pub(crate) enum Part {
    /// A line that the rules of personal data read.
    Personal(Range<usize>),
    /// A line that everything reads that needs no words.
    Token(Range<usize>),
    /// Lines that are read in full.
    Deep(Range<usize>),
}

impl Part {
    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Self::Personal(range) | Self::Token(range) | Self::Deep(range) => range.clone(),
        }
    }
}

/// The parts of a text that have to be read, and the IPv4 addresses of the clean lines between them, both in
/// order. `known` are the places of learnt values, in order. Some addresses may be inside of parts.
pub(crate) fn parts(
    gate: &Gate,
    text: &str,
    known: &[Range<usize>],
) -> (Vec<Part>, Vec<Range<usize>>) {
    let (mut parts, mut addresses) = (Vec::new(), Vec::new());
    let mut known = known.iter().peekable();
    // Few texts have a line that may be within one, and all of a text has to be searched for them.
    let public = LazyCell::new(|| public_blocks(text));
    let is_public = |line: &Range<usize>| {
        let block = |public: &[Range<usize>]| {
            let block = public.partition_point(|block| block.end < line.end);
            public
                .get(block)
                .is_some_and(|block| block.start <= line.start)
        };
        is_base64(&text[line.clone()]) && block(&public)
    };
    let mut reader = gate.reader(text);
    let mut next = reader.next(0, &mut addresses);
    let mut at = 0;
    loop {
        while known.next_if(|span| span.end <= at).is_some() {}
        if next.as_ref().is_none_or(|line| line.range.start < at) {
            next = reader.next(at, &mut addresses);
        }
        let learnt = known
            .peek()
            .map(|span| line_around(text, span.start.max(at)))
            .filter(|line| {
                next.as_ref()
                    .is_none_or(|next| line.start <= next.range.start)
            });
        let (range, verdict) = match (learnt, next.take()) {
            (Some(line), read) => {
                next = read;
                (line, Verdict::Deep)
            }
            (None, Some(line)) => (line.range, line.verdict),
            (None, None) => return (parts, addresses),
        };
        at = range.end;
        match verdict {
            Verdict::Clean => {}
            Verdict::Token if is_public(&range) => {}
            Verdict::Personal => parts.push(Part::Personal(range)),
            Verdict::Token => parts.push(Part::Token(range)),
            Verdict::Deep => {
                let start = beginning(text, range.start, &mut parts);
                at = belonging(text, range.start, range.end, |place| {
                    known
                        .clone()
                        .any(|span| span.start < place && place < span.end)
                });
                parts.push(Part::Deep(start..at));
            }
        }
    }
}

/// Where the record of a line begins; takes the parts that it swallows.
fn beginning(text: &str, line: usize, parts: &mut Vec<Part>) -> usize {
    let bytes = text.as_bytes();
    let floor = parts.iter().rev().find_map(|part| match part {
        Part::Deep(range) => Some(range.end),
        _ => None,
    });
    let floor = floor.unwrap_or(0).max(line.saturating_sub(BACK));
    let mut start = line;
    while start > floor && !is_record(&text[start..line_end(text, start)]) {
        let before = memchr::memrchr(b'\n', &bytes[..start - 1]).map_or(0, |feed| feed + 1);
        if before < floor {
            break;
        }
        start = before;
    }
    while parts
        .pop_if(|part| !matches!(part, Part::Deep(_)) && part.range().start >= start)
        .is_some()
    {}
    start
}

/// Where what belongs to a line that ends at `end` ends.
fn belonging(text: &str, start: usize, mut end: usize, is_inside: impl Fn(usize) -> bool) -> usize {
    let mut last = &text[start..end];
    let header = Header::of(last);
    let mut key = key_left(last);
    while end < text.len() {
        let next = line_end(text, end);
        let line = &text[end..next];
        let goes_on = !is_record(line)
            || key > 0
            || is_inside(end)
            || header.as_ref().is_some_and(|header| header.has_row(line))
            || partial_head(last).is_some_and(|(_, partial)| partial);
        if !goes_on {
            break;
        }
        key = if line.contains("-----END") {
            0
        } else {
            key.saturating_sub(line.len()).max(key_left(line))
        };
        (last, end) = (line, next);
    }
    end
}

/// How many bytes a private key that begins on this line may go on.
fn key_left(line: &str) -> usize {
    match line.find("PRIVATE KEY") {
        Some(at) if !line[at..].contains("-----END") => KEY,
        _ => 0,
    }
}

/// Whether a line looks like the beginning of a log record: it begins with a time, or is JSON.
pub(crate) fn is_record(line: &str) -> bool {
    let line = line.as_bytes();
    if line.starts_with(b"{\"") {
        return line.trim_ascii_end().ends_with(b"}");
    }
    let Some(first) = line.first() else {
        return false;
    };
    if !first.is_ascii_alphanumeric() && !matches!(first, b'[' | b'-' | b'<' | b'(') {
        return false;
    }
    let head = &line[..line.len().min(HEAD)];
    let mut digits = 0;
    for (index, byte) in head.iter().enumerate() {
        if byte.is_ascii_digit() {
            digits += 1;
            continue;
        }
        let next_two = head
            .get(index + 1..index + 3)
            .is_some_and(|next| next.iter().all(u8::is_ascii_digit));
        let is_time = digits == 2 && *byte == b':' && next_two;
        let is_date = digits == 4 && matches!(byte, b'-' | b'/' | b'.') && next_two;
        let is_joined = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
        let before = (index - digits).checked_sub(1).and_then(|at| head.get(at));
        let is_number = digits >= 9 && !is_joined(before) && !is_joined(Some(byte));
        if is_time || is_date || is_number {
            return true;
        }
        digits = 0;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn records() {
        for line in [
            "2025-06-20T10:47:35.852Z [INFO] x",
            "081109 203615 148 INFO dfs.DataNode: at 10:20",
            "- 1131566461 2005.11.09 dn228 Nov 9",
            "[10.30 16:49:06] chrome.exe",
            "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: x",
            "W0512 07:53:46.125975       2 main.go:635] x",
            "{\"level\":\"info\"}",
            "10.0.0.1 - - [26/Mar/2025:17:55:09 +0000] \"GET",
        ] {
            assert!(is_record(line), "{line}");
        }
        for line in [
            "",
            "  at com.example.Main(Main.java:12)",
            "password: hunter2",
            "\"a\": \"10:20\",",
            "{\"a\":",
            "}",
            "MIIEpQIBAAKCAQEAn6aa",
            "eeccd8ff02fc8044448877bdc8a27e71",
            "a,hunter2",
        ] {
            assert!(!is_record(line), "{line}");
        }
    }

    fn deep(text: &str) -> Vec<&str> {
        let gate = Gate::new(&Rules::builtin().unwrap()).unwrap();
        let (parts, _) = parts(&gate, text, &[]);
        let deep = parts.into_iter().filter_map(|part| match part {
            Part::Deep(range) => Some(&text[range]),
            _ => None,
        });
        deep.collect()
    }

    #[test]
    fn a_part_is_a_record() {
        let text = "10:00:01 a\n10:00:02 b password=\n  hunter2\n  x\n10:00:03 c\n";
        assert_eq!(deep(text), ["10:00:02 b password=\n  hunter2\n  x\n"]);
        let text = "10:00:01 a\nkind: Secret\ndata:\n  x: YQ==\n10:00:03 c\n";
        assert_eq!(deep(text), ["10:00:01 a\nkind: Secret\ndata:\n  x: YQ==\n"]);
        let table = "time,password\n10:00:01,a\n10:00:02,b\n";
        assert_eq!(deep(table), [table]);
        assert!(deep("10:00:01 a\nb\n10:00:03 from 10.1.2.3\n").is_empty());
    }
}
