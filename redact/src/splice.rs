//! A text that is changed in rounds, with the way back to its input.

use std::ops::Range;

/// Where a part of the text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Copied from the input, from this byte on.
    Input(usize),
    /// Stands for these bytes of the input.
    Replaced(usize, usize),
}

/// A text and the origin of each of its parts.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) text: String,
    /// Each piece with its first byte in `text`, in order.
    pieces: Vec<(usize, Piece)>,
}

impl Draft {
    /// A part of the input itself.
    pub(crate) fn part_of(input: &str, range: Range<usize>) -> Self {
        Self {
            pieces: vec![(0, Piece::Input(range.start))],
            text: input[range].to_owned(),
        }
    }

    pub(crate) fn empty(capacity: usize) -> Self {
        Self {
            text: String::with_capacity(capacity),
            pieces: Vec::new(),
        }
    }

    /// Appends `start..end` of an earlier draft.
    pub(crate) fn copy(&mut self, earlier: &Self, start: usize, end: usize) {
        for (from, to, at, piece) in earlier.parts(start, end) {
            let piece = match piece {
                Piece::Input(origin) => Piece::Input(origin + from - at),
                replaced @ Piece::Replaced(..) => replaced,
            };
            self.pieces.push((self.text.len(), piece));
            self.text.push_str(&earlier.text[from..to]);
        }
    }

    /// Appends a text that stands for these bytes of the input.
    pub(crate) fn replace(&mut self, origin: (usize, usize), text: &str) {
        self.pieces
            .push((self.text.len(), Piece::Replaced(origin.0, origin.1)));
        self.text.push_str(text);
    }

    /// The bytes of the input that `start..end` stands for.
    pub(crate) fn origin(&self, start: usize, end: usize) -> (usize, usize) {
        let parts = self
            .parts(start, end)
            .map(|(from, to, at, piece)| match piece {
                Piece::Input(origin) => (origin + from - at, origin + to - at),
                Piece::Replaced(first, last) => (first, last),
            });
        parts
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .unwrap_or((0, 0))
    }

    /// The parts of the pieces inside `start..end`: from, to, where the piece begins, the piece.
    fn parts(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = (usize, usize, usize, Piece)> + '_ {
        let first = self
            .pieces
            .partition_point(|(at, _)| *at <= start)
            .saturating_sub(1);
        let ends = self.pieces[first.min(self.pieces.len())..]
            .iter()
            .skip(1)
            .map(|(at, _)| *at);
        let ends = ends.chain([self.text.len()]);
        self.pieces[first..]
            .iter()
            .zip(ends)
            .take_while(move |((at, _), _)| *at < end)
            .map(move |(&(at, piece), next)| (start.max(at), end.min(next), at, piece))
            .filter(|(from, to, _, _)| from < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_way_back_over_rounds() {
        let input = Draft::part_of("abcdefgh", 0..8);
        let mut first = Draft::empty(8);
        first.copy(&input, 0, 2);
        first.replace((2, 5), "<1>");
        first.copy(&input, 5, 8);
        assert_eq!(first.text, "ab<1>fgh");
        assert_eq!(first.origin(0, 2), (0, 2));
        assert_eq!(first.origin(3, 4), (2, 5));
        assert_eq!(first.origin(6, 8), (6, 8));
        let mut second = Draft::empty(8);
        second.copy(&first, 0, 1);
        second.replace(first.origin(1, 6), "<2>");
        second.copy(&first, 6, 8);
        assert_eq!(second.text, "a<2>gh");
        assert_eq!(second.origin(0, 6), (0, 8));
        assert_eq!(second.origin(1, 2), (1, 6));
    }
}
