//! Blocks whose name tells what their members are: `tokens { agent = "x" }`, as HCL has it.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};
use crate::strings::quoted;
use crate::syntax::{NAME_LIMIT, name_before};
use crate::value::{Shape, before};

/// How much of a block is read.
const LONGEST: usize = 2 << 10;

/// Appends the strings in such blocks of a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    for open in memchr::memchr_iter(b'{', text.as_bytes()) {
        if let Some(name) = name_of(text, open).filter(|name| classify(name) >= Naming::Strong) {
            members(text, name, open, hits);
        }
    }
}

/// The word before a brace that nothing stands before on its line but other braces; between may be a label in quotes or an
/// equals sign.
fn name_of(text: &str, open: usize) -> Option<&str> {
    let head = before(text, open, NAME_LIMIT);
    let line = head.rsplit(['\n', '{', '}']).next()?.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let (name, between) = line.split_at(line.find(|c| !is_name(c)).unwrap_or(line.len()));
    let between = between.trim();
    let is_label = between.len() > 1 && between.starts_with('"') && between.ends_with('"');
    (between.is_empty() || between == "=" || is_label).then_some(name)
}

fn members(text: &str, block: &str, open: usize, hits: &mut Vec<Hit>) {
    let first = open + 1;
    let limit = text.floor_char_boundary(first + LONGEST);
    let Some(length) = end_of_block(&text[first..limit]) else {
        return;
    };
    let bytes = &text.as_bytes()[..first + length];
    for at in memchr::memchr_iter(b'=', &bytes[first..]).map(|at| first + at) {
        let blanks = bytes[at + 1..].iter().take_while(|b| **b == b' ').count();
        let (Some(name), Some((start, end, _))) =
            (name_before(text, at), quoted(text, at + 1 + blanks))
        else {
            continue;
        };
        let (naming, value) = (classify(&format!("{block}_{name}")), &text[start..end]);
        if naming >= Naming::Strong && is_secret_value(naming, value) && is_told(naming, value) {
            hits.push(Hit::secret(start, end, "block"));
        }
    }
}

/// The length of what is in a block.
fn end_of_block(inside: &str) -> Option<usize> {
    let mut depth = 1_usize;
    memchr::memchr2_iter(b'{', b'}', inside.as_bytes()).find(|at| {
        match inside.as_bytes()[*at] {
            b'{' => depth += 1,
            _ => depth -= 1,
        }
        depth == 0
    })
}

/// In a block of tokens a word is a name.
fn is_told(naming: Naming, value: &str) -> bool {
    let shape = Shape::of(value);
    naming == Naming::Password
        || shape.digits > 0 && shape.lower + shape.upper > 0 && value.len() >= 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut hits = vec![];
        scan(text, &mut hits);
        hits.iter().map(|hit| &text[hit.start..hit.end]).collect()
    }

    #[test]
    fn members_of_blocks() {
        for (text, expected) in [
            (
                "tokens {\n  default = \"hx-81-ab\"\n  x { y = \"k2-77-ww\" }\n}\nport = \"k9\"\n",
                vec!["hx-81-ab", "k2-77-ww"],
            ),
            (
                "acl { tokens { agent = \"17115f9d-6a6c-46ac-b118-5a9ec71b4f03\" } }",
                vec!["17115f9d-6a6c-46ac-b118-5a9ec71b4f03"],
            ),
            ("password \"db\" {\n  value = \"meadow\"\n}", vec!["meadow"]),
            ("secrets = { orders = \"hx-81-ab\" }", vec!["hx-81-ab"]),
            (
                "tokens {\n  ttl = \"768h3m\"\n  n = 3\n  kind = \"orders-v2\"\n}",
                vec![],
            ),
            ("secret {\n  engine = \"orders\"\n}", vec![]),
            ("if token {\n  a = \"hx-81-ab\"", vec![]),
            ("resource \"token\" {\n  a = \"hx-81-ab\"\n}", vec![]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
