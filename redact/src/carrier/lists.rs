//! Lists behind a name that announces secrets: `"X-Api-Key": ["a"]`, `secret: [ 'a', 'b' ]`,
//! `creds=[root a1B2 admin]`.

use crate::carrier::{is_secret_value, without_scheme};
use crate::engine::Hit;
use crate::lexicon::Naming;
use crate::rarity::is_random_token;
use crate::strings::quoted;

/// The rule of finds in lists.
pub(crate) const LIST: &str = "list-item";
/// How much of a list is read, and how many of its items.
const LONGEST: usize = 2 << 10;
const MOST_ITEMS: usize = 64;

/// Appends the secrets of the list behind the separator at `at`; the end of the list if there are any.
pub(crate) fn scan(
    text: &str,
    (name, at): (&str, usize),
    naming: Naming,
    hits: &mut Vec<Hit>,
) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_blank = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|b| matches!(b, b' ' | b'\n' | b','))
    };
    let mut from = at + 1;
    while is_blank(from) {
        from += 1;
    }
    if bytes.get(from) != Some(&b'[') {
        return None;
    }
    let ceiling = bytes.len().min(from + LONGEST);
    let (before, mut items) = (hits.len(), 0);
    from += 1;
    while from < ceiling && items < MOST_ITEMS {
        if is_blank(from) {
            from += 1;
            continue;
        }
        if bytes[from] == b']' {
            break;
        }
        items += 1;
        let item = Item::at(text, from)?;
        if item.is_secret(text, name, naming) {
            hits.push(Hit::secret(item.start, item.end, LIST));
        }
        from = item.next;
    }
    let is_single = items == 1 && hits.len() > before && !is_quoted(text, &hits[before]);
    if is_single {
        // `[Bearer abc]`, `[abc]`: one value, read with all that may stand in it.
        hits.truncate(before);
    }
    (hits.len() > before).then_some(from)
}

fn is_quoted(text: &str, hit: &Hit) -> bool {
    text[..hit.start].ends_with(['"', '\'', '`'])
}

struct Item {
    start: usize,
    end: usize,
    is_quoted: bool,
    /// Where the text goes on.
    next: usize,
}

impl Item {
    fn at(text: &str, from: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        if matches!(bytes[from], b'[' | b'{') {
            return None;
        }
        if let Some((start, end, _)) = quoted(text, from) {
            let closing = bytes[end..].iter().take_while(|b| **b == b'\\').count();
            return Some(Self {
                start,
                end,
                is_quoted: true,
                next: end + closing + 1,
            });
        }
        let is_inside = |b: &&u8| !matches!(b, b' ' | b',' | b']' | b'\n' | b'[' | b'{');
        let length = bytes[from..].iter().take_while(is_inside).count();
        Some(Self {
            start: from,
            end: from + length,
            is_quoted: false,
            next: from + length.max(1),
        })
    }

    /// Under `secrets` most items are names, and without quotes most are words of a sentence.
    fn is_secret(&self, text: &str, name: &str, naming: Naming) -> bool {
        let value = without_scheme(&text[self.start..self.end]);
        let is_several = name.ends_with(['s', 'S']) && naming < Naming::Password;
        if self.is_quoted && !is_several {
            is_secret_value(naming, value)
        } else {
            is_random_token(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexicon::classify;

    fn found(text: &str) -> Vec<&str> {
        let at = text.find([':', '=']).unwrap();
        let name = text[..at].trim_matches(['"', '\\']);
        let mut hits = vec![];
        scan(text, (name, at), classify(name), &mut hits);
        hits.iter().map(|hit| &text[hit.start..hit.end]).collect()
    }

    #[test]
    fn items_of_lists() {
        for (text, expected) in [
            (
                r#""X-Api-Key":["f95dbe53dee5576097d1"]"#,
                vec!["f95dbe53dee5576097d1"],
            ),
            (
                r#"\"X-Api-Key\":[\"f95dbe53dee5576097d1\"],"#,
                vec!["f95dbe53dee5576097d1"],
            ),
            (
                "secret: [ 'keyboard giraffe', 'b2' ]",
                vec!["keyboard giraffe"],
            ),
            ("passwords=['once', 'two words']", vec!["once", "two words"]),
            (
                "creds=[root UaYLGG7k6RJ60ivp admin]",
                vec!["UaYLGG7k6RJ60ivp"],
            ),
            ("tokens: ['read', 'write']", vec![]),
            ("secret: [{'a': 'b'}]", vec![]),
            ("token: [abc", vec![]),
            ("token:[]", vec![]),
            ("token:", vec![]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
