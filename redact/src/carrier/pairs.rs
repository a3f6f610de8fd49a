//! Pairs of a name and a value that neither `=` nor `:` joins: tuples of Erlang, arrows, and the
//! elements of property lists.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::json::names::is_name_key;
use crate::lexicon::{Naming, classify};
use crate::strings::{binary, quoted};
use crate::syntax::{NAME_LIMIT, name_before, unquoted_end};
use crate::value::{Shape, before};

/// The shortest value without quotes behind an arrow: members of C are shorter.
const SHORTEST: usize = 8;
/// How many elements may stand around the value of a property list.
const DEEPEST: usize = 3;

/// Appends the values of such pairs in a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    for at in memchr::memchr3_iter(b'{', b'>', b'<', bytes) {
        hits.extend(match bytes[at] {
            b'{' => tuple(text, at),
            b'>' if bytes[..at].ends_with(b"-") => arrow(text, at - 1),
            b'<' if bytes[at + 1..].starts_with(b"/") => property(text, at),
            _ => None,
        });
    }
}

/// `{password, "x"}`, `{password,<<"x">>}`.
fn tuple(text: &str, open: usize) -> Option<Hit> {
    let rest = &text[open + 1..text.floor_char_boundary(open + 1 + NAME_LIMIT)];
    let (name, _) = rest.split_once(',')?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let comma = open + 1 + name.len();
    let blank = usize::from(text[comma + 1..].starts_with(' '));
    let start = comma + 1 + blank;
    let (start, end, _) = binary(text, start).or_else(|| quoted(text, start))?;
    secret(text, classify(name), start, end)
}

/// `password -> "x"`, `dbPwd->x7`.
fn arrow(text: &str, at: usize) -> Option<Hit> {
    let naming = classify(name_before(text, at)?);
    if naming < Naming::Strong {
        return None;
    }
    let rest = &text[at + 2..];
    let start = at + 2 + (rest.len() - rest.trim_start_matches(' ').len());
    let (start, end) = match quoted(text, start) {
        Some((start, end, _)) => (start, end),
        None => (start, unquoted_end(text, start)),
    };
    let value = &text[start..end];
    let shape = Shape::of(value);
    let is_in_quotes = start > at + 2 && matches!(text.as_bytes()[start - 1], b'"' | b'\'');
    let is_no_member = value.len() >= SHORTEST
        && shape.digits > 0
        && shape.lower + shape.upper > 0
        && !value.contains(['(', '>', '{', '[']);
    (is_in_quotes || is_no_member)
        .then(|| secret(text, naming, start, end))
        .flatten()
}

/// `<key>password</key><string>x</string>`, `<name>password</name><value><string>x</string></value>`.
fn property(text: &str, close: usize) -> Option<Hit> {
    let rest = &text[close + 2..text.floor_char_boundary(close + 2 + NAME_LIMIT)];
    let (element, _) = rest.split_once('>')?;
    if !is_name_key(element) {
        return None;
    }
    let name = before(text, close, NAME_LIMIT).rsplit('>').next()?;
    let naming = classify(name.trim());
    let mut start = close + 2 + element.len() + 1;
    for _ in 0..DEEPEST {
        let rest = &text[start..text.floor_char_boundary(start + NAME_LIMIT)];
        let inner = rest.trim_start();
        let Some((tag, _)) = inner.strip_prefix('<').and_then(|tag| tag.split_once('>')) else {
            break;
        };
        if tag.starts_with(['/', '!', '?']) {
            return None;
        }
        start += rest.len() - inner.len() + tag.len() + 2;
    }
    let value = text[start..].split(['<', '\n']).next()?;
    secret(text, naming, start, start + value.trim_end().len())
}

fn secret(text: &str, naming: Naming, start: usize, end: usize) -> Option<Hit> {
    let value = text.get(start..end)?;
    (naming >= Naming::Strong && is_secret_value(naming, value))
        .then(|| Hit::secret(start, end, "pair"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_values() {
        for (text, expected) in [
            ("[{host, \"pg\"}, {password, \"hunter2\"}]", "hunter2"),
            ("{default_pass,<<\"hunter2\">>}", "hunter2"),
            ("(user,ada) password -> hunter22", "hunter22"),
            ("dbPwd->hunter22; retries->3", "hunter22"),
            ("<key>password</key>\n\t<string>hunter2</string>", "hunter2"),
            (
                "<name>password</name><value><string>hunter2</string></value>",
                "hunter2",
            ),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "{badmatch,{error,password}}",
            "{password, Password}",
            "ctx->password = 1",
            "secret->len32",
            "token -> Token::new(a1b2c3d4)",
            "<key>password</key></dict>",
            "<key>port</key><integer>5432</integer>",
            "<name>orders</name><value>x7</value>",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
