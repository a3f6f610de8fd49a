//! One text on its way through the engine: its clean parts untouched, the others as drafts.

use std::borrow::Cow;
use std::iter::Peekable;
use std::ops::Range;

use crate::finding::Finding;
use crate::placeholder::Pseudonyms;
use crate::segment::Part;
use crate::splice::Draft;
use crate::view::views;

/// A part of a text.
#[derive(Debug)]
pub(crate) enum Piece {
    /// These lines of the input, of which only these IPv4 addresses are taken out.
    Clean(Range<usize>, Vec<Range<usize>>),
    Hot(Hot),
}

/// What has to read a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The rules of personal data.
    Personal,
    /// What needs no words.
    Tokens,
    All,
}

/// A part that is read and changed.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) draft: Draft,
    /// What was taken out of it.
    pub(crate) findings: Vec<Finding>,
    /// Whether there are other readings of it, in which something learnt may be found.
    pub(crate) views: bool,
    /// Whether it has to be read (again).
    pub(crate) open: bool,
    /// What has to read it.
    pub(crate) by: Readers,
}

/// A text that was read while learning, so that redacting it does not read it again.
#[derive(Debug)]
struct Reading {
    text: String,
    pieces: Vec<Piece>,
    /// How much was known when it was read.
    known: (usize, usize),
}

/// What was read and not yet redacted. Texts are compared and not hashed: there are few long ones.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    kept: Vec<Reading>,
    bytes: usize,
}

/// How many bytes of how many texts are kept, and how long a text must be to be worth it.
const KEPT_BYTES: usize = 8 << 20;
const KEPT: usize = 1024;
const SHORTEST: usize = 256;

impl Readings {
    /// Keeps what was found in a text, if there is room.
    pub(crate) fn keep(&mut self, text: &str, pieces: Vec<Piece>, known: (usize, usize)) {
        self.take(text);
        let has_room = self.kept.len() < KEPT && self.bytes + text.len() <= KEPT_BYTES;
        if has_room && text.len() >= SHORTEST {
            self.bytes += text.len();
            self.kept.push(Reading {
                text: text.to_owned(),
                pieces,
                known,
            });
        }
    }

    /// What was found in a text when it was read, and how much was known then.
    pub(crate) fn take(&mut self, text: &str) -> Option<(Vec<Piece>, (usize, usize))> {
        let index = self.kept.iter().position(|kept| kept.text == text)?;
        let reading = self.kept.swap_remove(index);
        self.bytes -= text.len();
        Some((reading.pieces, reading.known))
    }
}

/// The parts of a text, in order, with the addresses between them.
pub(crate) fn pieces(text: &str, parts: Vec<Part>, addresses: Vec<Range<usize>>) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    let mut addresses = addresses.into_iter().peekable();
    let mut at = 0;
    for part in parts {
        let Range { start, end } = part.range();
        if at < start {
            pieces.push(clean(at..start, &mut addresses));
        }
        at = end;
        pieces.push(match part {
            Part::Personal(range) => Piece::Hot(line(text, range, Readers::Personal)),
            Part::Token(range) => Piece::Hot(line(text, range, Readers::Tokens)),
            Part::Deep(range) => Piece::Hot(hot(text, range)),
        });
    }
    if at < text.len() {
        pieces.push(clean(at..text.len(), &mut addresses));
    }
    pieces
}

/// Clean lines with those of the addresses that are in them. What is before them is read in full.
fn clean(
    range: Range<usize>,
    addresses: &mut Peekable<impl Iterator<Item = Range<usize>>>,
) -> Piece {
    while addresses
        .next_if(|address| address.start < range.start)
        .is_some()
    {}
    let inside = std::iter::from_fn(|| addresses.next_if(|address| address.start < range.end));
    let inside = inside.collect();
    Piece::Clean(range, inside)
}

/// A line without other readings.
fn line(text: &str, range: Range<usize>, by: Readers) -> Hot {
    Hot {
        views: false,
        draft: Draft::part_of(text, range),
        findings: Vec::new(),
        open: true,
        by,
    }
}

fn hot(text: &str, range: Range<usize>) -> Hot {
    Hot {
        views: !views(&text[range.clone()]).is_empty(),
        draft: Draft::part_of(text, range),
        findings: Vec::new(),
        open: true,
        by: Readers::All,
    }
}

/// Opens everything in which something that was learnt meanwhile may be found: what is read in full, and
/// the lines of clean parts in which `places` finds it.
pub(crate) fn reopen(
    text: &str,
    pieces: Vec<Piece>,
    places: impl Fn(&str) -> Vec<Range<usize>>,
) -> Vec<Piece> {
    let mut opened = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Hot(mut hot) => {
                let known = !places(&hot.draft.text).is_empty();
                hot.open |= hot.views || known;
                if known {
                    hot.by = Readers::All;
                }
                opened.push(Piece::Hot(hot));
            }
            Piece::Clean(range, addresses) => split(text, range, addresses, &places, &mut opened),
        }
    }
    opened
}

fn split(
    text: &str,
    range: Range<usize>,
    addresses: Vec<Range<usize>>,
    places: &impl Fn(&str) -> Vec<Range<usize>>,
    pieces: &mut Vec<Piece>,
) {
    let part = &text[range.clone()];
    let mut addresses = addresses.into_iter().peekable();
    let mut at = 0;
    for place in places(part) {
        if place.end <= at {
            continue;
        }
        let from = place.start.max(at);
        let start = part[..from].rfind('\n').map_or(0, |feed| feed + 1).max(at);
        let end = part[place.end..]
            .find('\n')
            .map_or(part.len(), |feed| place.end + feed + 1);
        if at < start {
            pieces.push(clean(range.start + at..range.start + start, &mut addresses));
        }
        let lines = range.start + start..range.start + end;
        pieces.push(Piece::Hot(hot(text, lines)));
        at = end;
    }
    if at < part.len() {
        pieces.push(clean(range.start + at..range.end, &mut addresses));
    }
}

/// The whole text, and everything that was taken out of it.
pub(crate) fn joined(
    text: &str,
    pieces: Vec<Piece>,
    placeholders: &mut Pseudonyms,
) -> (String, Vec<Finding>) {
    let mut whole = String::with_capacity(text.len() + text.len() / 8);
    let mut findings = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Clean(range, addresses) => {
                let mut at = range.start;
                for Range { start, end } in addresses {
                    whole.push_str(&text[at..start]);
                    whole.push_str(&placeholders.of("ip", &text[start..end]));
                    findings.push(Finding {
                        rule: Cow::Borrowed("ipv4"),
                        kind: Cow::Borrowed("ip"),
                        start,
                        end,
                    });
                    at = end;
                }
                whole.push_str(&text[at..range.end]);
            }
            Piece::Hot(mut hot) => {
                whole.push_str(&hot.draft.text);
                hot.findings.sort_by_key(|found| (found.start, found.end));
                findings.append(&mut hot.findings);
            }
        }
    }
    (whole, findings)
}
