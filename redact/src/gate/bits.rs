//! Patterns of bits for what the gate looks for in runs of letters and digits, over blocks of 64 bytes.

use crate::planes::Classes;

/// The shortest part of letters and digits that a token format or an account number has.
pub(crate) const TOKEN: usize = 15;
/// The shortest base64 that is decoded.
pub(crate) const ENCODED: usize = 20;

/// The last block and this one, so that what spans both is seen: bit 64 is the first byte of this one.
#[derive(Debug, Clone, Copy, Default)]
struct Pair(u128);

impl Pair {
    fn push(&mut self, now: u64) -> u128 {
        self.0 = self.0 >> 64 | u128::from(now) << 64;
        self.0
    }
}

/// What the patterns of bits look back at.
#[derive(Debug, Default)]
pub(crate) struct History {
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
    /// Tokens and encoded texts.
    pub(crate) fn tokens(&self) -> u64 {
        self.token | self.encoded | self.license
    }

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
        let letter = upper | lower;
        let word = digit | letter;
        let between = |mark: u128, part: u128| part & mark << 1 & part << 2;
        let dots = between(dot, digit);
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
            token: high(begins(row15(word))),
            encoded: high(begins({
                let run = word | join;
                let row15 = row15(run);
                row15 & row15 << 5
            })),
            ipv4: high(dots & spread3(dots & spread3(dots))),
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
        }
    }
}

fn high(pair: u128) -> u64 {
    (pair >> 64) as u64
}

/// The last of 15 in a row.
fn row15(bits: u128) -> u128 {
    let two = bits & bits << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & eight << 7
}

/// The first bit of each row.
fn begins(bits: u128) -> u128 {
    bits & !(bits << 1)
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
