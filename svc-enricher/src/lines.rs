//! Reading the tail of a log from a stream of bytes.
//!
//! Memory is bounded whatever the stream holds: of a line that is too long its head and its tail
//! are kept, of too many lines the newest. A line is never dropped for its length; the last line
//! before a crash is often a long one.

use std::collections::VecDeque;

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TailLimits {
    /// The newest lines that are kept.
    pub(crate) lines: usize,
    /// Bytes that are kept of one line.
    pub(crate) line_bytes: usize,
}

/// One line as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without its end of line.
    pub(crate) text: String,
    /// Whether the middle has been cut out.
    pub(crate) cut: bool,
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Oldest first.
    pub(crate) lines: Vec<Line>,
    /// Older lines that were read and not kept.
    pub(crate) left_out: u64,
}

/// Takes a log piece by piece and keeps its tail.
#[derive(Debug)]
pub(crate) struct TailReader {
    limits: TailLimits,
    lines: VecDeque<Line>,
    left_out: u64,
    open: OpenLine,
}

impl TailReader {
    /// A reader that has seen nothing yet.
    pub(crate) fn new(limits: TailLimits) -> Self {
        Self {
            limits,
            lines: VecDeque::new(),
            left_out: 0,
            open: OpenLine::default(),
        }
    }

    /// Takes the next bytes of the log, wherever they were split.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', line)) => {
                    self.open.push(line, self.limits.line_bytes);
                    self.close_line();
                }
                _ => self.open.push(piece, self.limits.line_bytes),
            }
        }
    }

    /// The tail, once the log has ended; a last line without an end counts too.
    pub(crate) fn finish(mut self) -> Tail {
        if self.open.length > 0 {
            self.close_line();
        }
        Tail {
            lines: self.lines.into(),
            left_out: self.left_out,
        }
    }

    fn close_line(&mut self) {
        let line = std::mem::take(&mut self.open).close(self.limits.line_bytes);
        self.lines.push_back(line);
        if self.lines.len() > self.limits.lines {
            self.lines.pop_front();
            self.left_out += 1;
        }
    }
}

/// One line that is already in memory, cut like any other.
pub(crate) fn cut(line: &str, max_bytes: usize) -> Line {
    let mut open = OpenLine::default();
    open.push(line.as_bytes(), max_bytes);
    open.close(max_bytes)
}

#[derive(Debug, Default)]
struct OpenLine {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    length: u64,
}

impl OpenLine {
    fn push(&mut self, bytes: &[u8], max: usize) {
        let head_max = max / 2;
        let tail_max = max - head_max;
        self.length = self.length.saturating_add(bytes.len() as u64);
        let room = head_max.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        let newest = &rest[rest.len().saturating_sub(tail_max)..];
        let excess = (self.tail.len() + newest.len()).saturating_sub(tail_max);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend(newest);
    }

    fn close(mut self, max: usize) -> Line {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let tail: &[u8] = self.tail.make_contiguous();
        if self.length <= max as u64 {
            self.head.extend_from_slice(tail);
            let line = self.head.strip_suffix(b"\r").unwrap_or(&self.head);
            return Line {
                text: String::from_utf8_lossy(line).into_owned(),
                cut: false,
            };
        }
        let head = trim_broken_end(&self.head);
        let tail = trim_broken_start(tail);
        let tail = tail.strip_suffix(b"\r").unwrap_or(tail);
        let text = format!(
            "{} [... {} bytes cut ...] {}",
            String::from_utf8_lossy(head),
            self.length - kept,
            String::from_utf8_lossy(tail)
        );
        Line { text, cut: true }
    }
}

/// Without the first bytes of a character whose rest was cut off.
fn trim_broken_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Without the last bytes of a character whose start was cut off.
fn trim_broken_start(bytes: &[u8]) -> &[u8] {
    let broken = bytes
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xC0 == 0x80)
        .count();
    &bytes[broken..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: TailLimits = TailLimits {
        lines: 3,
        line_bytes: 8,
    };

    fn read(pieces: &[&[u8]]) -> Tail {
        let mut reader = TailReader::new(LIMITS);
        for piece in pieces {
            reader.push(piece);
        }
        reader.finish()
    }

    fn texts(tail: &Tail) -> Vec<&str> {
        tail.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_newest_lines_are_kept_and_the_others_counted() {
        let cases: [(&[u8], &[&str], u64); 7] = [
            (b"", &[], 0),
            (b"a", &["a"], 0),
            (b"a\n", &["a"], 0),
            (b"a\n\nb\r\n", &["a", "", "b"], 0),
            (b"a\nb\nc\nd\ne", &["c", "d", "e"], 2),
            (b"\n\n\n\n", &["", "", ""], 1),
            (b"\xff\xfe\n", &["\u{fffd}\u{fffd}"], 0),
        ];
        for (log, lines, left_out) in cases {
            let tail = read(&[log]);
            assert_eq!(texts(&tail), lines, "{log:?}");
            assert_eq!(tail.left_out, left_out, "{log:?}");
        }
    }

    #[test]
    fn a_long_line_keeps_its_head_and_its_tail() {
        let tail = read(&[b"before\n01234567\n0123", b"45678", b"9abcdef\nafter"]);
        assert_eq!(
            texts(&tail),
            ["01234567", "0123 [... 8 bytes cut ...] cdef", "after"]
        );
        assert_eq!(
            tail.lines.iter().map(|line| line.cut).collect::<Vec<_>>(),
            [false, true, false]
        );
    }

    #[test]
    fn a_cut_never_leaves_half_a_character() {
        let tail = read(&["abc\u{e9}xxxxxxx\u{e9}def\n".as_bytes()]);
        assert_eq!(texts(&tail), ["abc [... 9 bytes cut ...] def"]);
    }

    #[test]
    fn a_line_of_many_mebibytes_costs_no_more_than_its_limit() {
        let mut reader = TailReader::new(TailLimits {
            lines: 2,
            line_bytes: 4096,
        });
        reader.push(b"2026 started\n");
        for _ in 0..64 {
            reader.push(&vec![b'x'; 1 << 20]);
            assert!(reader.open.head.len() + reader.open.tail.len() <= 4096);
        }
        reader.push(b" fatal: no such key\n");
        let tail = reader.finish();
        assert_eq!(tail.lines[0].text, "2026 started");
        assert!(tail.lines[1].cut && tail.lines[1].text.ends_with("fatal: no such key"));
        assert!(tail.lines[1].text.len() < 4200);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_stream_is_split(
            log in "[a-c\u{e9}\\n]{0,60}", splits in proptest::collection::vec(0_usize..60, 0..6)
        ) {
            let whole = read(&[log.as_bytes()]);
            let mut splits: Vec<usize> = splits.into_iter().map(|at| at.min(log.len())).collect();
            splits.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for at in splits.into_iter().chain([log.len()]) {
                pieces.push(&log.as_bytes()[start..at]);
                start = at;
            }
            prop_assert_eq!(read(&pieces), whole);
        }
    }
}
