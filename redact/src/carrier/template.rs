//! Literals in templates: `<%= "x" %>` of ERB, `{{ "x" | quote }}` of Go and Jinja, `${NAME:-x}` of shells.

use crate::strings::quoted;
use crate::syntax::NAME_LIMIT;
use crate::value::before;

/// How much of a template is read.
const LONGEST: usize = 512;
/// What a template is between.
const MARKS: [(&str, &str); 2] = [("<%", "%>"), ("{{", "}}")];
/// What stands before the value that is used if there is no other.
const ELSE: [&str; 5] = ["default", "default(", "||", " or", "{"];

/// What a shell takes where a variable is not set, if `${NAME:-` ends at `start`.
pub(crate) fn fallback(text: &str, start: usize) -> Option<(usize, usize)> {
    let head = before(text, start, NAME_LIMIT);
    let head = head
        .strip_suffix(":-")
        .or_else(|| head.strip_suffix(":="))?;
    let (_, name) = head.rsplit_once("${")?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let rest = &text[start..text.floor_char_boundary(start + LONGEST)];
    let length = rest.find(['}', '\n'])?;
    (name.bytes().all(is_name) && length > 0 && rest[length..].starts_with('}'))
        .then_some((start, start + length))
}

/// The inside of the string that a template puts in its place, if it begins at `start`.
pub(crate) fn literal(text: &str, start: usize) -> Option<(usize, usize)> {
    let rest = &text[start..text.floor_char_boundary(start + LONGEST)];
    if let Some(variable) = rest.strip_prefix("${") {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = variable.len() - variable.trim_start_matches(is_name).len();
        return fallback(
            text,
            (start + "${".len() + name + ":-".len()).min(text.len()),
        );
    }
    let (open, close) = MARKS.into_iter().find(|(open, _)| rest.starts_with(open))?;
    let first = start + open.len();
    let (inner, _) = rest[open.len()..].split_once(close)?;
    let mut at = 0;
    while let Some(quote) = inner[at..].find(['"', '\'']).map(|quote| at + quote) {
        let (from, to, _) = quoted(text, first + quote)?;
        if to >= first + inner.len() {
            return None;
        }
        let before = inner[..quote].trim_end();
        let is_first = before.bytes().all(|b| matches!(b, b'-' | b'=' | b' '));
        if is_first || ELSE.iter().any(|word| before.ends_with(word)) {
            return Some((from, to));
        }
        at = to + 1 - first;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_templates() {
        for (text, expected) in [
            ("<%= \"x7\" %>", Some("x7")),
            ("{{- 'x7' | quote -}}", Some("x7")),
            ("{{ .Values.pw | default \"x7\" }}", Some("x7")),
            ("{{ pw | default('x7') }}", Some("x7")),
            ("<%= ENV['DB_PASS'] || \"x7\" %>", Some("x7")),
            ("<%= ENV.fetch(\"DB_PASS\") { 'x7' } %>", Some("x7")),
            ("${DB_PASS:-x7}@db", Some("x7")),
            ("${DB_PASS:-}", None),
            ("${DB_PASS}:-x7}", None),
            ("${DB_PASS:-x7", None),
            ("${DB\u{e4}:-x7}", None),
            ("${", None),
            ("{{ .Values.pw }}", None),
            ("{{ lookup('env', 'DB_PASS') }}", None),
            ("<%= ENV[\"DB_PASS\"] %>", None),
            ("{{ \"x7", None),
            ("{{ pw }} \"x7\"", None),
        ] {
            let found = literal(text, 0).map(|(from, to)| &text[from..to]);
            assert_eq!(found, expected, "{text}");
        }
    }
}
