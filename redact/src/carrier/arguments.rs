//! Values in argument pairs and in elements: `("API_KEY", "abc")`, `<password>abc</password>`.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::json::names::is_value_key;
use crate::lexicon::{Naming, classify};
use crate::rarity::is_random_token;
use crate::strings::quoted;
use crate::value::before;

/// Appends both.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    arguments(text, hits);
    elements(text, hits);
}

/// `"API_KEY", "value"`, also with one quote of each kind, as in calls, tuples and CSV.
fn arguments(text: &str, hits: &mut Vec<Hit>) {
    for needle in ["\\\",", "\",", "',"] {
        for at in memchr::memmem::find_iter(text.as_bytes(), needle) {
            let name = before(text, at, 100)
                .rsplit(is_no_argument_name)
                .next()
                .unwrap_or_default();
            let head = before(text, at, 120).strip_suffix(name).unwrap_or_default();
            let is_value = head
                .trim_end_matches(['"', '\'', '\\', ' '])
                .ends_with([':', '=', '>']);
            let is_link = head.ends_with('/')
                && (head.rsplit(['"', '\'']).next()).is_some_and(|path| path.contains("://"));
            if is_value
                || is_link
                || name.is_empty()
                || name.len() > 80
                || name.contains([' ', '=', ':'])
            {
                continue;
            }
            let naming = classify(name);
            let rest = &text[at + needle.len()..];
            let from = at + needle.len() + (rest.len() - rest.trim_start().len());
            let Some((start, end, _)) = quoted(text, from) else {
                continue;
            };
            let is_name = text[end..].trim_start_matches(['"', '\'']).starts_with(':');
            if naming >= Naming::Weak
                && !is_name
                && is_secret_value(naming, &text[start..end])
                && (!text[start..end].starts_with('-') || is_random_token(&text[start..end]))
            {
                hits.push(Hit::secret(start, end, "arguments"));
            }
        }
    }
}

/// What ends the name of an argument. A space, `=` and `:` show that there is a value in its place.
fn is_no_argument_name(c: char) -> bool {
    c == '\n' || c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '.' | '$' | '@' | '=' | ':')
}

/// `<password>value</password>`.
fn elements(text: &str, hits: &mut Vec<Hit>) {
    for at in memchr::memmem::find_iter(text.as_bytes(), "</") {
        let name: &str = text[at + 2..text.floor_char_boundary(at + 84)]
            .split(['>', ' ', '\n'])
            .next()
            .unwrap_or_default();
        if name.is_empty() || name.len() > 80 {
            continue;
        }
        let own = classify(name.rsplit(':').next().unwrap_or(name));
        if own == Naming::Ordinary && !is_value_key(name) {
            continue;
        }
        let Some((open, end)) = content(text, at) else {
            continue;
        };
        let naming = own.max(parent(text, open, name));
        let body = &text[open..end];
        let value = body.trim();
        let start = open + (body.len() - body.trim_start().len());
        if is_secret_value(naming, value) {
            hits.push(Hit::secret(start, start + value.len(), "element"));
        }
    }
}

/// What the element around `<Value>` announces: `<Password><Value>x</Value></Password>`.
fn parent(text: &str, open: usize, name: &str) -> Naming {
    let head = before(text, open, 160);
    let around = is_value_key(name)
        .then(|| {
            head.strip_suffix('>')?
                .strip_suffix(name)?
                .strip_suffix('<')
        })
        .flatten();
    let element = around.and_then(|head| head.trim_end().strip_suffix('>')?.rsplit('<').next());
    element.map_or(Naming::Ordinary, classify)
}

/// Where the content of the element that is closed at `at` begins and ends.
fn content(text: &str, at: usize) -> Option<(usize, usize)> {
    const OPEN: &str = "<![CDATA[";
    const CLOSE: &str = "]]>";
    let head = before(text, at, 2048);
    let floor = at - head.len();
    match head.strip_suffix(CLOSE) {
        Some(data) => Some((floor + data.rfind(OPEN)? + OPEN.len(), at - CLOSE.len())),
        None => Some((floor + head.rfind('>')? + 1, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_values() {
        for (text, expected) in [
            ("setProperty(\"ACCESS_TOKEN\", \"abc12345\")", "abc12345"),
            ("('x-api-key', 'PMAK-1')", "PMAK-1"),
            ("<vaultToken>\n  s3cr3t9\n</vaultToken>", "s3cr3t9"),
            ("<password><![CDATA[a<b>9]]></password>", "a<b>9"),
            (
                "<Password>\n  <Value>Tundra#64</Value>\n</Password>",
                "Tundra#64",
            ),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "limits(max_tokens\", \"value9\")",
            "cost;max_tokens\",\"value9\"",
            "see https://platform.example.com/account/api-keys.', 'type': 'invalid_request_error'",
            "\"symfony/password-hasher\",\n\"version\": \"5.3.0\"",
            "<Retention><Value>week-12</Value></Retention>",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
