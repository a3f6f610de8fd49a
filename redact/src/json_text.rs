//! JSON inside texts: found, taken apart with byte offsets, and its strings scanned as texts of their own.

use crate::carrier::is_secret_value;
use crate::engine::{Engine, Hit, Strength, merge};
use crate::learn::Learnt;
use crate::lexicon::{Naming, classify};
use crate::placeholder::lookalikes;
use crate::view::View;

const DEEPEST: usize = 64;

/// A JSON value with the bytes it covers.
#[derive(Debug)]
pub(crate) enum Node {
    Object(usize, usize, Vec<((usize, usize), Node)>),
    Array(usize, usize, Vec<Node>),
    /// Without the quotes.
    Text(usize, usize),
    /// A number, `true`, `false` or `null`.
    Scalar(usize, usize),
}

impl Node {
    /// The bytes of the value, quotes included.
    pub(crate) fn span(&self) -> (usize, usize) {
        match *self {
            Self::Object(start, end, _) | Self::Array(start, end, _) | Self::Scalar(start, end) => {
                (start, end)
            }
            Self::Text(start, end) => (start - 1, end + 1),
        }
    }
}

/// The JSON objects and arrays in a text that are worth reading as such.
pub(crate) fn blocks(text: &str) -> Vec<Node> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut budget) = (0, 4 * bytes.len() + 64);
    while let Some(step) = memchr::memchr2(b'{', b'[', &bytes[at..]) {
        let start = at + step;
        at = start + 1;
        if !starts_block(bytes, start) && !bytes[..start].trim_ascii().is_empty() {
            continue;
        }
        let mut parser = Parser { bytes, at: start };
        let node = parser.value(0);
        budget = budget.saturating_sub(parser.at - start);
        if let Some(node) = node {
            at = node.span().1;
            found.push(node);
        }
        if budget == 0 {
            break;
        }
    }
    found
}

/// The whole text as one JSON value.
pub(crate) fn whole(text: &str) -> Option<Node> {
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
    };
    parser.space();
    let node = parser.value(0)?;
    parser.space();
    (parser.at == text.len()).then_some(node)
}

fn starts_block(bytes: &[u8], start: usize) -> bool {
    let next = bytes[start + 1..]
        .iter()
        .take(64)
        .find(|b| !b.is_ascii_whitespace());
    if bytes[start] == b'{' {
        next == Some(&b'"')
    } else {
        let indexed = start > 0
            && (bytes[start - 1].is_ascii_alphanumeric()
                || matches!(bytes[start - 1], b']' | b')' | b'_'));
        !indexed && matches!(next, Some(b'"' | b'{' | b'['))
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.text().map(|(start, end)| Node::Text(start, end)),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.take(b'}').is_some() {
            return Some(Node::Object(start, self.at, members));
        }
        loop {
            self.space();
            let key = self.text()?;
            self.space();
            self.take(b':')?;
            members.push((key, self.value(depth + 1)?));
            self.space();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Node::Object(start, self.at, members));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.take(b']').is_some() {
            return Some(Node::Array(start, self.at, items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Node::Array(start, self.at, items));
            }
        }
    }

    fn text(&mut self) -> Option<(usize, usize)> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some((start, self.at - 1));
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    fn scalar(&mut self) -> Option<Node> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            self.at += 1;
        }
        let word = std::str::from_utf8(&self.bytes[start..self.at]).ok()?;
        let known = matches!(word, "true" | "false" | "null") || word.parse::<f64>().is_ok();
        known.then_some(Node::Scalar(start, self.at))
    }
}

/// The text that a JSON string stands for, with the way back to its bytes. `offset` is where `raw` starts.
pub(crate) fn unescape(raw: &str, offset: usize) -> View {
    let mut view = View::empty(raw.len());
    let mut characters = raw.char_indices();
    while let Some((index, character)) = characters.next() {
        let (mut decoded, mut end) = (character, index + character.len_utf8());
        if character == '\\' {
            let (at, escape) = characters.next().unwrap_or((index, '\\'));
            end = at + escape.len_utf8();
            decoded = match escape {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' | 'f' => ' ',
                'u' => {
                    let code = raw
                        .get(end..end + 4)
                        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
                    if code.is_some() {
                        end += 4;
                        characters.nth(3);
                    }
                    code.and_then(char::from_u32).unwrap_or('\u{fffd}')
                }
                other => other,
            };
        }
        view.push(decoded, offset + index, offset + end);
    }
    view
}

/// Appends what a block of JSON holds.
pub(crate) fn scan(
    engine: &Engine,
    text: &str,
    node: &Node,
    learnt: &Learnt,
    depth: usize,
    hits: &mut Vec<Hit>,
) {
    let mut scan = Scan {
        engine,
        text,
        learnt,
        depth,
        hits,
    };
    scan.node(node, Naming::Ordinary);
}

struct Scan<'a> {
    engine: &'a Engine,
    text: &'a str,
    learnt: &'a Learnt,
    depth: usize,
    hits: &'a mut Vec<Hit>,
}

impl Scan<'_> {
    fn node(&mut self, node: &Node, naming: Naming) {
        match node {
            Node::Object(start, end, members) if self.is_service_account(members) => {
                let hit = Hit::new(
                    *start,
                    *end,
                    "google-key",
                    "service-account",
                    Strength::Format,
                );
                self.hits.push(Hit { bare: true, ..hit });
            }
            Node::Object(_, _, members) => self.object(members),
            Node::Array(_, _, items) => self.array(items, naming),
            Node::Text(start, end) => self.leaf(*start, *end, naming),
            Node::Scalar(start, end) => {
                let value = &self.text[*start..*end];
                if naming >= Naming::Strong && value.len() >= 6 && is_secret_value(naming, value) {
                    self.hits.push(Hit {
                        bare: true,
                        ..Hit::secret(*start, *end, "json-member")
                    });
                }
            }
        }
    }

    fn object(&mut self, members: &[((usize, usize), Node)]) {
        let named = self.pair_name(members);
        let web_key = self.is_web_key(members);
        for (key, value) in members {
            let name = &self.text[key.0..key.1];
            self.leaf(key.0, key.1, Naming::Ordinary);
            let naming = match named {
                Some(naming) if is_value_key(name) => naming,
                _ if web_key && matches!(name, "d" | "k" | "p" | "q" | "dp" | "dq" | "qi") => {
                    Naming::Strong
                }
                _ if lookalikes(name).is_empty() => classify(name),
                _ => Naming::Ordinary,
            };
            self.node(value, naming);
        }
    }

    /// A Google service account: one secret of many members.
    fn is_service_account(&self, members: &[((usize, usize), Node)]) -> bool {
        let has = |name: &str| {
            members.iter().any(|(key, value)| {
                &self.text[key.0..key.1] == name && matches!(value, Node::Text(..))
            })
        };
        has("auth_provider_x509_cert_url") || has("private_key_id") && has("private_key")
    }

    /// The private members of a JSON Web Key (RFC 7517).
    fn is_web_key(&self, members: &[((usize, usize), Node)]) -> bool {
        members
            .iter()
            .any(|(key, _)| &self.text[key.0..key.1] == "kty")
    }

    /// What `NAME` announces in `{"name": NAME, "value": ...}` and its relatives.
    fn pair_name(&self, members: &[((usize, usize), Node)]) -> Option<Naming> {
        if !members
            .iter()
            .any(|(key, _)| is_value_key(&self.text[key.0..key.1]))
        {
            return None;
        }
        members.iter().find_map(|(key, value)| match value {
            Node::Text(start, end) if is_name_key(&self.text[key.0..key.1]) => {
                Some(classify(&self.text[*start..*end]))
            }
            _ => None,
        })
    }

    fn array(&mut self, items: &[Node], naming: Naming) {
        let mut flagged = None;
        for item in items {
            let Node::Text(start, end) = *item else {
                flagged = None;
                self.node(item, naming);
                continue;
            };
            self.leaf(start, end, flagged.take().unwrap_or(naming));
            flagged = crate::flags::bare_flag(&self.text[start..end]);
        }
    }

    fn leaf(&mut self, start: usize, end: usize, naming: Naming) {
        let raw = &self.text[start..end];
        let view = unescape(raw, start);
        let secret = crate::carrier::without_scheme(&view.text);
        if is_secret_value(naming, secret) {
            let from = view.text.len() - secret.len();
            let hit = Hit::secret(from, view.text.len(), "json-member");
            self.hits.extend(view.back(hit));
        }
        for hit in merge(self.engine.scan_at(&view.text, self.learnt, self.depth + 1)) {
            self.hits.extend(view.back(hit));
        }
    }
}

pub(crate) fn is_name_key(key: &str) -> bool {
    [
        "name",
        "key",
        "variable",
        "header",
        "param",
        "parameter",
        "k",
        "field",
        "option",
        "env",
    ]
    .iter()
    .any(|k| key.eq_ignore_ascii_case(k))
}

pub(crate) fn is_value_key(key: &str) -> bool {
    [
        "value",
        "val",
        "v",
        "content",
        "default",
        "defaultvalue",
        "data",
        "values",
        "new_value",
        "before",
        "after",
    ]
    .iter()
    .any(|k| key.eq_ignore_ascii_case(k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks() {
        for (text, expected) in [
            (
                r#"a {"b": [1, {"c": "}"}]} d"#,
                vec![r#"{"b": [1, {"c": "}"}]}"#],
            ),
            (
                r#"[{"a":1}] and {"b":2}"#,
                vec![r#"[{"a":1}]"#, r#"{"b":2}"#],
            ),
            (r#"{"open": "#, vec![]),
            ("[31m {x} [ERROR]", vec![]),
        ] {
            let found: Vec<_> = blocks(text)
                .iter()
                .map(|n| &text[n.span().0..n.span().1])
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn too_deep_is_not_json() {
        let text = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(whole(&text).is_none());
    }

    #[test]
    fn unescapes() {
        assert_eq!(
            unescape(r#"a\"b\\c\nd\u0041\ud83d!"#, 0).text,
            "a\"b\\c\ndA\u{fffd}!"
        );
    }
}
