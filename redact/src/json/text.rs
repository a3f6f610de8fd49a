//! JSON inside texts: found, taken apart with byte offsets, and its strings scanned as texts of their own.

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
        if let Some(node) = node.filter(|node| !is_subscript(bytes, node)) {
            at = node.span().1;
            found.push(node);
        }
        if budget == 0 {
            break;
        }
    }
    found
}

/// `["name"] = value`: a field of a table of Lua.
fn is_subscript(bytes: &[u8], node: &Node) -> bool {
    let rest = bytes[node.span().1..].trim_ascii_start();
    matches!(node, Node::Array(_, _, items) if matches!(items[..], [Node::Text(..)]))
        && rest.first() == Some(&b'=')
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
