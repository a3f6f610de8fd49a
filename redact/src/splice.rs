//! How a text that is changed in rounds keeps the way back to its input.

/// Where a part of the current text comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece {
    /// Copied from these bytes of the input.
    Input(usize, usize),
    /// Stands for these bytes of the input, in so many bytes.
    Replaced(usize, usize, usize),
}

impl Piece {
    fn len(self) -> usize {
        match self {
            Self::Input(start, end) => end - start,
            Self::Replaced(_, _, length) => length,
        }
    }
}

/// The bytes of the input that `start..end` of the current text stands for.
pub(crate) fn origin(pieces: &[Piece], start: usize, end: usize) -> (usize, usize) {
    let (mut at, mut span) = (0, None::<(usize, usize)>);
    for piece in pieces {
        let next = at + piece.len();
        if next > start && at < end {
            let part = match *piece {
                Piece::Input(from, _) => (from + start.max(at) - at, from + end.min(next) - at),
                Piece::Replaced(from, to, _) => (from, to),
            };
            span = Some(span.map_or(part, |(from, to)| (from.min(part.0), to.max(part.1))));
        }
        at = next;
    }
    span.unwrap_or((0, 0))
}

/// Appends `start..end` of the current text with where it comes from.
pub(crate) fn copy(
    text: &str,
    pieces: &[Piece],
    start: usize,
    end: usize,
    output: &mut String,
    origins: &mut Vec<Piece>,
) {
    output.push_str(&text[start..end]);
    let mut at = 0;
    for piece in pieces {
        let next = at + piece.len();
        let (from, to) = (start.max(at), end.min(next));
        if from < to {
            origins.push(match *piece {
                Piece::Input(origin, _) => Piece::Input(origin + from - at, origin + to - at),
                Piece::Replaced(first, last, _) => Piece::Replaced(first, last, to - from),
            });
        }
        at = next;
    }
}
