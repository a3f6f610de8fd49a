//! YAML in texts: the data of a Secret, and values on the lines after their name.

use crate::carrier::is_secret_value;
use crate::engine::{Hit, Strength};
use crate::lexicon::{Naming, classify};
use crate::value::Shape;

/// The rule of finds in the data of a Secret.
pub(crate) const MANIFEST: &str = "secret-manifest";

/// Appends the data of Secrets and the blocks under secret names.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    if !text.contains(":\n")
        && !text.contains('|')
        && !text.contains(":\r\n")
        && !text.contains('>')
    {
        return;
    }
    let is_secret = is_of_secret(text);
    let mut block: Option<Block> = None;
    // The indent of a block scalar inside the data of a Secret.
    let mut scalar: Option<usize> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        let content = line.trim();
        if let Some(open) = &block
            && (content.is_empty() || indent > open.indent)
        {
            open.line(line, offset, indent, &mut scalar, hits);
            offset += line.len();
            continue;
        }
        block = Block::open(content, indent, is_secret);
        offset += line.len();
    }
}

/// Whether a text has a line `kind: Secret` or `type: Opaque`, quoted or not.
fn is_of_secret(text: &str) -> bool {
    const MARKS: [(&str, &str); 2] = [("kind:", "Secret"), ("type:", "Opaque")];
    MARKS.iter().any(|(name, of)| {
        memchr::memmem::find_iter(text.as_bytes(), name).any(|at| {
            let value = text[at + name.len()..].lines().next().unwrap_or_default();
            value.trim().trim_matches(['"', '\'']) == *of
        })
    })
}

/// Lines that are indented deeper than the one that opened them.
struct Block {
    indent: usize,
    naming: Naming,
    holds: Holds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// One value over many lines.
    Value,
    /// A mapping of names to secret values.
    Data,
    /// What says the name of a Secret.
    Metadata,
}

impl Block {
    fn open(content: &str, indent: usize, is_secret: bool) -> Option<Self> {
        let (name, rest) = content.trim_start_matches("- ").split_once(':')?;
        let name = name.trim_matches(['"', '\'']);
        let is_sentence = name.split(' ').count() > 3;
        if is_sentence || name.contains(['(', ')', '=', ',']) {
            return None;
        }
        let rest = rest.trim();
        let holds = match name {
            "stringData" => Holds::Data,
            "data" if is_secret => Holds::Data,
            "metadata" if is_secret => Holds::Metadata,
            _ => Holds::Value,
        };
        if holds != Holds::Value {
            return rest.is_empty().then_some(Self {
                indent,
                naming: Naming::Password,
                holds,
            });
        }
        let naming = classify(name);
        // An anchor or a tag may stand before the sign.
        let sign = rest.rsplit(' ').next().unwrap_or_default();
        let scalar = sign.starts_with(['|', '>']) && sign.len() <= 3;
        let scalar = scalar && (sign.len() == rest.len() || rest.starts_with(['!', '&']));
        (scalar && naming >= Naming::Weak || rest.is_empty() && naming >= Naming::Strong).then_some(
            Self {
                indent,
                naming,
                holds,
            },
        )
    }

    fn line(
        &self,
        line: &str,
        offset: usize,
        indent: usize,
        scalar: &mut Option<usize>,
        hits: &mut Vec<Hit>,
    ) {
        let content = line.trim();
        let start = offset + (line.len() - line.trim_start().len());
        if self.holds == Holds::Metadata {
            if let Some(name) = content.strip_prefix("name:") {
                let name = name.trim().trim_matches(['"', '\'']);
                let from = start + content.rfind(name).unwrap_or_default();
                let kind = "secret-name";
                let hit = Hit::new(
                    from,
                    from + name.len(),
                    kind,
                    "object-name",
                    Strength::Carrier,
                );
                hits.extend((!name.is_empty()).then_some(hit));
            }
            return;
        }
        let is_data = self.holds == Holds::Data;
        if is_data && scalar.is_some_and(|outer| indent > outer) {
            return push(hits, start, content);
        }
        *scalar = (is_data && content.ends_with(['|', '>', '-', '+'])).then_some(indent);
        if is_data && indent <= self.indent + 8 {
            if let Some((name, rest)) = content.split_once(": ")
                && (!name.contains([' ', '"', '=']) || name.starts_with('"'))
            {
                let value = rest.trim().trim_matches(['"', '\'']);
                let unquoted = rest.trim_start().trim_start_matches(['"', '\'']);
                let from = start + content.len() - unquoted.len();
                if value.len() > 2 || !matches!(value, "|" | ">" | "|-" | ">-") {
                    push(hits, from, value);
                }
                return;
            }
            if content.ends_with(':') && !content.contains(' ') {
                return;
            }
        }
        if is_data {
            push(hits, start, content);
        } else if let Some(value) = content.strip_prefix("value: ").map(str::trim_start)
            && self.naming >= Naming::Strong
            && is_secret_value(self.naming, value)
        {
            let start = start + content.len() - value.len();
            hits.push(Hit::secret(start, start + value.len(), "yaml-block"));
        } else if !content.contains(": ")
            && !content.ends_with(':')
            && let Some(value) = self.item(content)
            && is_secret_value(self.naming, value)
        {
            let start = start + content.len() - value.len();
            hits.push(Hit::secret(start, start + value.len(), "yaml-block"));
        }
    }
}

impl Block {
    /// What a line says without the hyphen of a list: under `passwords` each item is one, under `secrets` a name.
    fn item<'a>(&self, content: &'a str) -> Option<&'a str> {
        match content.strip_prefix("- ") {
            Some(item) if self.naming == Naming::Password => Some(item.trim_start()),
            Some(item) => {
                // A name is no secret, and most lists under such a word are of names.
                let Shape {
                    lower,
                    upper,
                    digits,
                    ..
                } = Shape::of(item);
                (lower > 0 && upper > 0 && digits > 0 && item.len() >= 8).then(|| item.trim_start())
            }
            None => Some(content),
        }
    }
}

fn push(hits: &mut Vec<Hit>, start: usize, value: &str) {
    if !value.is_empty() && !matches!(value, "|" | ">" | "|-" | ">-" | "|+") {
        hits.push(Hit::secret(start, start + value.len(), MANIFEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_the_data_of_secrets() {
        let text = "kind: Secret\ndata:\n  user: YWRtaW4=\n  tls.key: \"abc\"\ntype: Opaque\nmetadata:\n  name: \"db-login\"\n";
        assert_eq!(found_by(scan, text), ["YWRtaW4=", "abc", "db-login"]);
        let text = "data:\n  user: YWRtaW4=\nkind: 'Secret'\n";
        assert_eq!(found_by(scan, text), ["YWRtaW4="]);
        let text = "stringData:\n  tls.key: |\n    line one\n    line: two\nother: x\n";
        assert_eq!(found_by(scan, text), ["line one", "line: two"]);
    }

    #[test]
    fn takes_out_blocks_under_a_secret_name() {
        assert_eq!(
            found_by(scan, "password: |\n  hunter2\nuser: x\n"),
            ["hunter2"]
        );
        assert_eq!(
            found_by(scan, "password:\n  value: hunter2\n  n: 3\n"),
            ["hunter2"]
        );
        assert_eq!(
            found_by(scan, "password: !vault |\n  6638\nuser: x\n"),
            ["6638"]
        );
        assert_eq!(
            found_by(scan, "passwords:\n- hunter2\n- hunter3\nports:\n- 8080\n"),
            ["hunter2", "hunter3"]
        );
        assert_eq!(
            found_by(scan, "tokens:\n- read\n- write\n"),
            Vec::<&str>::new()
        );
        assert_eq!(
            found_by(scan, "tokens:\n- saffronT2x\n- orders-v1\n"),
            ["saffronT2x"]
        );
        assert_eq!(
            found_by(scan, "env:\n- name: X\n  value: y\ndata:\n  a: b\n"),
            Vec::<&str>::new()
        );
        assert_eq!(
            found_by(scan, "def login(user, password=None):\n    connect(user)\n"),
            Vec::<&str>::new()
        );
        assert_eq!(
            found_by(scan, "secrets:\n  - name: x\n    optional: true\n"),
            Vec::<&str>::new()
        );
    }
}
