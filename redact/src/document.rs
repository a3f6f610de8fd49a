//! One text on its way through the engine: its clean parts untouched, the others as drafts.

use std::ops::Range;

use crate::engine::Hit;
use crate::finding::Finding;
use crate::segment::Part;
use crate::splice::Draft;
use crate::view::views;

/// A part of a text.
#[derive(Debug)]
pub(crate) enum Piece {
    /// These bytes of the input, as they are.
    Clean(Range<usize>),
    /// Lines of the input with these addresses, and with their placeholders once those are known.
    Addresses(Range<usize>, Vec<Hit>, Vec<String>),
    Hot(Hot),
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
}

/// The parts of a text, in order.
pub(crate) fn pieces(text: &str, parts: Vec<Part>) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    let mut at = 0;
    for part in parts {
        let (start, end) = match &part {
            Part::Addresses(range, _) | Part::Deep(range) => (range.start, range.end),
        };
        if at < start {
            pieces.push(Piece::Clean(at..start));
        }
        at = end;
        pieces.push(match part {
            Part::Addresses(range, hits) => Piece::Addresses(range, hits, Vec::new()),
            Part::Deep(range) => Piece::Hot(hot(text, range)),
        });
    }
    if at < text.len() {
        pieces.push(Piece::Clean(at..text.len()));
    }
    pieces
}

fn hot(text: &str, range: Range<usize>) -> Hot {
    Hot {
        views: !views(&text[range.clone()]).is_empty(),
        draft: Draft::part_of(text, range),
        findings: Vec::new(),
        open: true,
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
                hot.open |= hot.views || !places(&hot.draft.text).is_empty();
                opened.push(Piece::Hot(hot));
            }
            Piece::Addresses(range, ..) if !places(&text[range.clone()]).is_empty() => {
                opened.push(Piece::Hot(hot(text, range)));
            }
            Piece::Addresses(..) => opened.push(piece),
            Piece::Clean(range) => split(text, range, &places, &mut opened),
        }
    }
    opened
}

fn split(
    text: &str,
    range: Range<usize>,
    places: &impl Fn(&str) -> Vec<Range<usize>>,
    pieces: &mut Vec<Piece>,
) {
    let part = &text[range.clone()];
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
            pieces.push(Piece::Clean(range.start + at..range.start + start));
        }
        let lines = range.start + start..range.start + end;
        pieces.push(Piece::Hot(hot(text, lines)));
        at = end;
    }
    if at < part.len() {
        pieces.push(Piece::Clean(range.start + at..range.end));
    }
}

/// The whole text, and everything that was taken out of it.
pub(crate) fn joined(text: &str, pieces: Vec<Piece>) -> (String, Vec<Finding>) {
    let mut whole = String::with_capacity(text.len() + text.len() / 16);
    let mut findings = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Clean(range) => whole.push_str(&text[range]),
            Piece::Addresses(range, hits, placeholders) => {
                let mut at = range.start;
                for (hit, placeholder) in hits.iter().zip(&placeholders) {
                    whole.push_str(&text[at..hit.start]);
                    whole.push_str(placeholder);
                    at = hit.end;
                }
                whole.push_str(&text[at..range.end]);
                findings.extend(hits.into_iter().map(Hit::finding));
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
