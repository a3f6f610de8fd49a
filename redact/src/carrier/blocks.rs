//! Blocks whose name tells what their members are: `tokens { agent = "x" }`, as HCL has it.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};
use crate::strings::quoted;
use crate::syntax::{NAME_LIMIT, name_before};
use crate::value::{Shape, before};

/// How much of a block is read.
const LONGEST: usize = 2 << 10;

/// Appends the strings in such blocks of a text. What is in a block within one is read once.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let mut covered = 0;
    for open in memchr::memchr_iter(b'{', text.as_bytes()) {
        if open < covered {
            continue;
        }
        if let Some(name) = name_of(text, open).filter(|name| classify(name) >= Naming::Strong) {
            covered = members(text, name, open, hits);
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

/// Reads a block, and says where it ends.
fn members(text: &str, block: &str, open: usize, hits: &mut Vec<Hit>) -> usize {
    let first = open + 1;
    let limit = text.floor_char_boundary(first + LONGEST);
    let end = first + length_of_block(&text.as_bytes()[first..limit]);
    let bytes = &text.as_bytes()[..end];
    for at in memchr::memchr_iter(b'=', &bytes[first..]).map(|at| first + at) {
        let blanks = bytes[at + 1..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'));
        let (Some(name), Some((start, end, _))) =
            (name_before(text, at), quoted(text, at + 1 + blanks.count()))
        else {
            continue;
        };
        let naming = match name {
            // Whose token it is, in Consul.
            "agent" => classify(block),
            _ => classify(&format!("{block}_{name}")),
        };
        let value = &text[start..end];
        if naming >= Naming::Strong && is_secret_value(naming, value) && is_told(naming, value) {
            hits.push(Hit::secret(start, end, "block"));
        }
    }
    end
}

/// The length of what is in a block, or of what is there of it. Braces in strings, which end with their line, are none.
fn length_of_block(inside: &[u8]) -> usize {
    let (mut depth, mut in_string) = (1_usize, false);
    let end = inside.iter().enumerate().position(|(at, byte)| {
        match byte {
            b'"' if at == 0 || inside[at - 1] != b'\\' => in_string = !in_string,
            b'\n' => in_string = false,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.unwrap_or(inside.len())
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
    use crate::engine::found_by;

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
            (
                "tokens {\n  a = \"hx}81-ab\"\n  b =\t\"hx-81-ab\"",
                vec!["hx}81-ab", "hx-81-ab"],
            ),
            ("if token {\n  a = \"hx-81-ab\"", vec![]),
            ("resource \"token\" {\n  a = \"hx-81-ab\"\n}", vec![]),
        ] {
            assert_eq!(found_by(scan, text), expected, "{text}");
        }
    }
}
