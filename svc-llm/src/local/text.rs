//! Texts with places for what was found: `{container} cannot reach {host}`.

use std::collections::{BTreeMap, BTreeSet};

/// A text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

impl Template {
    /// Every place must be one of `names`; `{{` and `}}` are braces.
    pub(crate) fn parse(text: &str, names: &BTreeSet<String>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if let Some(after) = tail.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = tail.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some((name, after)) =
                tail.strip_prefix('{').and_then(|tail| tail.split_once('}'))
            {
                if !names.contains(name) {
                    let known: Vec<&str> = names.iter().map(String::as_str).collect();
                    return Err(format!(
                        "{{{name}}} stands for nothing; known: {}",
                        known.join(", ")
                    ));
                }
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Place(name.to_owned()));
                rest = after;
            } else {
                return Err(format!(
                    "a brace is not closed in {text:?}; }}}} is a brace"
                ));
            }
        }
        plain.push_str(rest);
        if plain.is_empty() && pieces.is_empty() {
            return Err("a text is empty".to_owned());
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// The text with what was found; what was not is left out.
    pub(crate) fn fill(&self, found: &BTreeMap<String, String>) -> String {
        let text = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Place(name) => found.get(name).map_or("", String::as_str),
        });
        text.collect()
    }
}
