//! Choices out of bytes; when they are used up, always the first.

/// The bytes that are left.
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    /// A number less than `end`, which is small.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(crate) fn pick<'b, T: ?Sized>(&mut self, all: &[&'b T]) -> &'b T {
        all[self.below(all.len())]
    }

    /// A secret: long and mixed enough that nobody would take it for anything else.
    pub(crate) fn canary(&mut self) -> String {
        // Without the letter that values are masked with: a row of it is nobody's secret.
        const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwyzABCDEFGHJKLMNPQRSTUVWYZ23456789";
        let mut canary = String::from("Q7");
        for _ in 0..14 {
            canary.push(char::from(LETTERS[self.below(LETTERS.len())]));
        }
        canary.push_str("x4");
        canary
    }

    /// A few harmless words.
    pub(crate) fn words(&mut self, most: usize) -> String {
        const WORDS: [&str; 8] = [
            "starting",
            "listening",
            "failed",
            "pool",
            "ready",
            "retry",
            "shop",
            "checkout",
        ];
        let words: Vec<&str> = (0..self.below(most)).map(|_| self.pick(&WORDS)).collect();
        words.join(" ")
    }

    /// A few characters, whatever they are.
    pub(crate) fn raw(&mut self) -> String {
        let length = self.below(12).min(self.bytes.len());
        let (raw, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        String::from_utf8_lossy(raw).into_owned()
    }
}
