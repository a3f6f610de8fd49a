//! Patterns of bits for what the gate looks for in runs of letters and digits, over blocks of 64 bytes.

use crate::planes::{Classes, Pair, begins, high};

/// The shortest part of letters and digits that a token format or an account number has.
pub(crate) const TOKEN: usize = 15;
/// The shortest base64 that is decoded.
pub(crate) const ENCODED: usize = 20;

/// What the patterns of bits look back at.
#[derive(Debug, Default)]
pub(crate) struct History {
    word: Pair,
    digit: Pair,
    upper: Pair,
    lower: Pair,
    space: Pair,
    open: Pair,
    plus: Pair,
    hyphen: Pair,
    dot: Pair,
    colon: Pair,
    less: Pair,
    at: Pair,
    join: Pair,
}

/// Where in a block there may be something; the bit is that of its last byte looked at.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) token: u64,
    pub(crate) encoded: u64,
    pub(crate) ipv4: u64,
    pub(crate) network: u64,
    pub(crate) license: u64,
    pub(crate) account: u64,
    pub(crate) number: u64,
    /// The byte behind `@`, `+` or `<`.
    pub(crate) mark: u64,
    pub(crate) area: u64,
    pub(crate) unseen: u64,
}

impl Candidates {
    /// All of them.
    pub(crate) fn any(&self) -> u64 {
        self.token
            | self.encoded
            | self.ipv4
            | self.network
            | self.license
            | self.account
            | self.number
            | self.mark
            | self.area
            | self.unseen
    }
}

impl History {
    /// What the next block may hold of tokens and encoded texts.
    pub(crate) fn tokens(&mut self, c: &Classes) -> Candidates {
        let word = self.word.push(c.digit | c.upper | c.lower);
        let hyphen = self.hyphen.push(c.hyphen);
        let join = self.join.push(c.plus | c.slash | c.hyphen | c.underscore);
        Candidates {
            license: high(rows(between(hyphen, word), 6)),
            ..runs(word, join)
        }
    }

    /// What the next block may hold of IPv4 addresses.
    pub(crate) fn addresses(&mut self, c: &Classes) -> Candidates {
        let dots = between(self.dot.push(c.dot), self.digit.push(c.digit));
        Candidates {
            ipv4: ipv4(dots),
            ..Candidates::default()
        }
    }

    /// What the next block may hold.
    pub(crate) fn candidates(&mut self, c: &Classes) -> Candidates {
        let digit = self.digit.push(c.digit);
        let upper = self.upper.push(c.upper);
        let lower = self.lower.push(c.lower);
        let space = self.space.push(c.space);
        let hyphen = self.hyphen.push(c.hyphen);
        let dot = self.dot.push(c.dot);
        let colon = self.colon.push(c.colon);
        let join = self.join.push(c.plus | c.slash | c.hyphen | c.underscore);
        let word = digit | upper | lower;
        let hyphens = between(hyphen, word);
        let open = self.open.push(c.open);
        let marks = [
            self.at.push(c.at),
            self.plus.push(c.plus),
            self.less.push(c.less),
        ];
        let groups = between(dot, word);
        let numbers = digit & digit << 1 & upper << 2 & upper << 3;
        Candidates {
            ipv4: ipv4(between(dot, digit)),
            network: high(colons(between(colon, word)) | pairs(hyphens) | groups & groups << 5),
            license: high(rows(hyphens, 6)),
            account: if numbers == 0 {
                0
            } else {
                let before = numbers & !(word << 4);
                high(before << 5 & space << 4 & word << 3 & word << 2 & word << 1 & word)
            },
            number: high(begins(row15(digit | space | hyphen))),
            mark: if marks == [0; 3] {
                0
            } else {
                let [at, plus, less] = marks;
                high(word & at << 1 | digit & plus << 1 | lower & less << 1)
            },
            area: if open == 0 {
                0
            } else {
                high(open << 4 & digit << 1 & digit << 2 & digit << 3) & c.close
            },
            unseen: c.unseen,
            ..runs(word, join)
        }
    }
}

/// Long runs of letters and digits, and of what base64 has besides.
fn runs(word: u128, join: u128) -> Candidates {
    let all = row15(word | join);
    Candidates {
        token: high(begins(row15(word))),
        encoded: high(begins(all & all << 5)),
        ..Candidates::default()
    }
}

/// The last of four groups of digits.
fn ipv4(dots: u128) -> u64 {
    high(dots & spread3(dots & spread3(dots)))
}

/// A mark between two of such bytes; the bit is that of the second.
fn between(mark: u128, part: u128) -> u128 {
    part & mark << 1 & part << 2
}

/// The last of 15 in a row.
fn row15(bits: u128) -> u128 {
    let two = bits & bits << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & eight << 7
}

/// Two to four places on: behind the next group of one to three.
fn spread3(bits: u128) -> u128 {
    bits << 2 | bits << 3 | bits << 4
}

/// The sixth of groups of one to five between colons.
fn colons(marks: u128) -> u128 {
    let step = |bits: u128| {
        let two = bits | bits << 1;
        (two | two << 2 | bits << 4) << 2 & marks
    };
    let second = step(marks);
    if second == 0 {
        return 0;
    }
    let third = step(second);
    if third == 0 { 0 } else { step(step(third)) }
}

/// The sixth of groups of two between hyphens.
fn pairs(marks: u128) -> u128 {
    let two = marks & marks << 3;
    if two == 0 {
        0
    } else {
        two & two << 6 & marks << 12
    }
}

/// The last of four marks with the same distance.
fn rows(marks: u128, distance: u32) -> u128 {
    let two = marks & marks << distance;
    if two == 0 {
        0
    } else {
        two & two << (2 * distance)
    }
}
