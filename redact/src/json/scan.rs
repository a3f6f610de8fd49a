//! What JSON members say: names, pairs of name and value, arguments; every string is a text of its own.

use crate::carrier::{is_secret_value, without_scheme};
use crate::engine::{Engine, Hit, Strength, merge};
use crate::flags;
use crate::json::marks;
use crate::json::names::{
    SHORTEST_CARD, is_data, is_identity, is_name_key, is_secret_number, is_value_key, unescaped,
    value_stem,
};
use crate::json::text::{Node, unescape};
use crate::learn::Learnt;
use crate::lexicon::{Naming, classify, is_signature};
use crate::placeholder::has_placeholder;

/// In an object with more members no name is looked for beside each value.
const MOST_TWINS: usize = 16;

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
    scan.node(node, marks::announced(text, node));
}

/// What the name of a member, and the members around it, say of the members of an object.
#[derive(Clone, Copy)]
struct Outer<'a> {
    /// The name of the object itself: `"password": {"value": "x"}`.
    naming: Naming,
    /// Names that the object around it has marked as secret, sorted.
    named: &'a [&'a str],
    /// Whether a `key` in it is one of cryptography: `"Jwt": {"Key": "x"}`.
    is_crypto: bool,
    /// Whether its members are secrets under their names: `"tokens": {"agent": "x"}`.
    is_collection: bool,
}

impl Outer<'_> {
    const NOTHING: Self = Self {
        naming: Naming::Ordinary,
        named: &[],
        is_crypto: false,
        is_collection: false,
    };

    /// What is said of a member.
    fn of(&self, name: &str) -> Naming {
        // What a token or a secret is by default is mostly where it comes from.
        let is_default = name.to_ascii_lowercase().starts_with("default");
        let is_typed = TYPES.iter().any(|of| name.eq_ignore_ascii_case(of))
            && (!is_default || self.naming == Naming::Password);
        if self.named.binary_search(&name).is_ok() {
            Naming::Password
        } else if self.is_crypto && name.eq_ignore_ascii_case("key") {
            Naming::Strong
        } else if is_typed {
            self.naming
        } else if self.is_collection
            && !is_name_key(name)
            && !name.to_ascii_lowercase().ends_with("id")
        {
            Naming::Weak
        } else {
            Naming::Ordinary
        }
    }
}

/// Members with the value of the object that they are the only ones of, named by its type.
const TYPES: [&str; 7] = [
    "value",
    "string",
    "s",
    "stringValue",
    "plaintext",
    "default",
    "defaultValue",
];
/// Objects that have secrets under their names.
const COLLECTIONS: [&str; 4] = ["tokens", "passwords", "secrets", "cookies"];
/// Sections whose `key` is one of cryptography.
const CRYPTO: [&str; 6] = ["jwt", "encryption", "signing", "hmac", "aes", "crypto"];

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
            Node::Object(_, _, members) => {
                let outer = Outer {
                    naming,
                    ..Outer::NOTHING
                };
                self.object(members, outer);
            }
            Node::Array(_, _, items) => self.array(items, naming),
            Node::Text(start, end) => self.leaf(*start, *end, naming),
            Node::Scalar(start, end) => self.scalar(*start, *end, naming),
        }
    }

    /// A number, or a word without quotes.
    fn scalar(&mut self, start: usize, end: usize, naming: Naming) {
        let value = &self.text[start..end];
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        let is_secret = if is_number {
            is_secret_number(naming, value)
        } else {
            naming >= Naming::Strong && value.len() >= 6 && is_secret_value(naming, value)
        };
        if is_secret {
            let hit = Hit::secret(start, end, "json-member");
            self.hits.push(Hit { bare: true, ..hit });
        } else if is_number && value.len() >= SHORTEST_CARD {
            for hit in self.engine.scan_personal(value) {
                let (from, to) = (start + hit.start, start + hit.end);
                self.hits.push(Hit {
                    start: from,
                    end: to,
                    bare: true,
                    ..hit
                });
            }
        }
    }

    fn object(&mut self, members: &[((usize, usize), Node)], outer: Outer<'_>) {
        if self.is_kept_apart(members) {
            return self.kept_apart(members);
        }
        let named = if marks::is_marked(self.text, members) {
            Some(Naming::Password)
        } else {
            self.pair_name(members)
        };
        let marked = marks::named(self.text, members);
        let twins = members.len() <= MOST_TWINS;
        let web_key = self.is_web_key(members);
        let refused = marks::refused(self.text, members);
        for (key, value) in members {
            let name = unescaped(&self.text[key.0..key.1]);
            let name = name.as_ref();
            self.leaf(key.0, key.1, Naming::Ordinary);
            let naming = match named {
                Some(naming) if is_value_key(name) => naming,
                _ if twins && value_stem(name).is_some() => self.twin(members, name),
                _ if web_key && matches!(name, "d" | "k" | "p" | "q" | "dp" | "dq" | "qi") => {
                    Naming::Strong
                }
                _ if has_placeholder(name) || is_signature(name) => Naming::Ordinary,
                _ if marks::is_message(self.text, name, value) => Naming::Ordinary,
                _ if name == "input" => refused,
                _ => classify(name),
            };
            let naming = naming.max(outer.of(name));
            let outer = Outer {
                naming,
                named: if marked.is_empty() {
                    outer.named
                } else {
                    &marked
                },
                is_crypto: CRYPTO.iter().any(|of| name.eq_ignore_ascii_case(of)),
                is_collection: COLLECTIONS.iter().any(|of| name.eq_ignore_ascii_case(of)),
            };
            let before = self.hits.len();
            self.member(value, outer);
            match value {
                Node::Text(start, end) => self.formats_of(name, *start, *end),
                Node::Scalar(start, end) => self.formats_of_scalar(name, *start, *end),
                Node::Object(..) | Node::Array(..) => {}
            }
            let is_public = web_key && naming == Naming::Ordinary || is_identity(name);
            if matches!(value, Node::Text(..)) && is_public {
                let of_value = self.hits.split_off(before);
                let is_told = |hit: &Hit| hit.strength != Strength::Random;
                self.hits.extend(of_value.into_iter().filter(is_told));
            }
        }
    }

    /// A Secret or a ConfigMap, wherever it stands: in a log, in a message, in another object.
    fn is_kept_apart(&self, members: &[((usize, usize), Node)]) -> bool {
        let of_kind = |name: &str, value: &Node| match value {
            Node::Text(start, end) if name == "kind" => {
                matches!(&self.text[*start..*end], "Secret" | "ConfigMap")
            }
            _ => false,
        };
        let mut named = members
            .iter()
            .map(|(key, value)| (unescaped(&self.text[key.0..key.1]), value));
        named.any(|(name, value)| of_kind(&name, value))
            && members
                .iter()
                .any(|(key, _)| is_data(&unescaped(&self.text[key.0..key.1])))
    }

    /// Its data are secret whatever they are, and so is its name.
    fn kept_apart(&mut self, members: &[((usize, usize), Node)]) {
        for (key, value) in members {
            let name = unescaped(&self.text[key.0..key.1]);
            self.leaf(key.0, key.1, Naming::Ordinary);
            match value {
                _ if is_data(&name) => self.every_value(value),
                Node::Object(_, _, inner) if name == "metadata" => {
                    self.object(inner, Outer::NOTHING);
                    let names = inner
                        .iter()
                        .filter(|(key, _)| &self.text[key.0..key.1] == "name");
                    for (_, name) in names {
                        if let Node::Text(start, end) = *name {
                            let kind = "secret-name";
                            let hit = Hit::new(start, end, kind, "object-name", Strength::Carrier);
                            self.hits.push(hit);
                        }
                    }
                }
                _ => self.member(value, Outer::NOTHING),
            }
        }
    }

    fn every_value(&mut self, node: &Node) {
        match node {
            Node::Object(_, _, members) => {
                for (_, value) in members {
                    self.every_value(value);
                }
            }
            Node::Array(_, _, items) => items.iter().for_each(|item| self.every_value(item)),
            Node::Text(start, end) if start < end => {
                self.hits.push(Hit::secret(*start, *end, "secret-data"));
            }
            Node::Scalar(start, end) if self.text[*start..*end] != *"null" => {
                let hit = Hit::secret(*start, *end, "secret-data");
                self.hits.push(Hit { bare: true, ..hit });
            }
            Node::Text(..) | Node::Scalar(..) => {}
        }
    }

    /// A value with what is said of it: an object, and the objects of a list, by their own members too.
    fn member(&mut self, value: &Node, outer: Outer<'_>) {
        match value {
            Node::Object(_, _, members) if !self.is_service_account(members) => {
                self.object(members, outer);
            }
            Node::Array(_, _, items) if !outer.named.is_empty() => {
                for item in items {
                    self.member(item, outer);
                }
            }
            _ => self.node(value, outer.naming),
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

    /// What `NAME` announces in `{"ParameterKey": NAME, "ParameterValue": ...}`.
    fn twin(&self, members: &[((usize, usize), Node)], value: &str) -> Naming {
        let stem = value_stem(value).unwrap_or_default();
        let names = members.iter().filter_map(|(key, node)| match node {
            Node::Text(start, end) => {
                let rest = self.text[key.0..key.1].strip_prefix(stem)?;
                let is_name = matches!(rest, "Key" | "Name" | "_key" | "_name");
                is_name.then(|| classify(&self.text[*start..*end]))
            }
            _ => None,
        });
        names.max().unwrap_or(Naming::Ordinary).max(classify(value))
    }

    /// What a header announces in `["authorization", "Bearer ..."]`.
    fn header(&self, items: &[Node]) -> Option<Naming> {
        let [Node::Text(start, end), Node::Text(from, to)] = *items else {
            return None;
        };
        let value = &self.text[from..to];
        let is_told = without_scheme(value) != value || value.bytes().any(|b| b.is_ascii_digit());
        let naming = classify(&self.text[start..end]);
        (is_told && naming >= Naming::Strong).then_some(naming)
    }

    fn array(&mut self, items: &[Node], naming: Naming) {
        let header = self.header(items);
        let (mut flagged, mut is_user) = (None, false);
        for item in items {
            let Node::Text(start, end) = *item else {
                (flagged, is_user) = (None, false);
                self.node(item, naming);
                continue;
            };
            let argument = &self.text[start..end];
            self.leaf(start, end, flagged.take().unwrap_or(naming));
            if is_user {
                self.hits.extend(flags::password_of_user(argument, start));
            }
            is_user = matches!(argument, "-u" | "--user");
            flagged = flags::bare_flag(argument).or(header);
        }
    }

    /// What rules that look for a name find in the value of a member of that name.
    fn formats_of(&mut self, name: &str, start: usize, end: usize) {
        let view = unescape(&self.text[start..end], start);
        for hit in self.engine.scan_member(name, &view.text) {
            self.hits.extend(view.back(hit));
        }
    }

    /// The same of a number, which becomes a string.
    fn formats_of_scalar(&mut self, name: &str, start: usize, end: usize) {
        let mut hits = self.engine.scan_member(name, &self.text[start..end]);
        hits.retain(|hit| hit.start == 0 && hit.end == end - start);
        for hit in hits {
            self.hits.push(Hit {
                start,
                end,
                bare: true,
                ..hit
            });
        }
    }

    fn leaf(&mut self, start: usize, end: usize, naming: Naming) {
        let raw = &self.text[start..end];
        let view = unescape(raw, start);
        let secret = without_scheme(&view.text);
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
