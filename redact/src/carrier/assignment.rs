//! One assignment: whether its value is a secret, and where that ends.

use crate::carrier::{LONG, is_scheme, is_secret_value, phrases, without_scheme};
use crate::engine::Hit;
use crate::lexicon::{Naming, classify, has_word};
use crate::rarity::is_random_token;
use crate::syntax::{NAME_LIMIT, heredoc, line_end, unquoted_end};
use crate::value::{before, is_vacant};

/// A value behind the name that announces it.
pub(crate) struct Assignment<'a> {
    pub(crate) text: &'a str,
    pub(crate) name: &'a str,
    pub(crate) at: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) quoted: bool,
    pub(crate) naming: Naming,
}

impl Assignment<'_> {
    pub(crate) fn hit(&self) -> Option<Hit> {
        let lower = self.name.to_ascii_lowercase();
        let is_cookie = lower.ends_with("cookie") || lower.ends_with("cookies");
        if self.text.as_bytes()[self.at] == b':' && is_cookie && !self.quoted {
            return self.cookie(&lower);
        }
        if let Some((start, end)) = heredoc(self.text, self.start) {
            let is_secret = is_secret_value(self.naming, &self.text[start..end]);
            return is_secret.then(|| Hit::secret(start, end, "heredoc"));
        }
        let mut start = self.start;
        let mut end = self.end;
        let value = &self.text[start..end];
        if self.quoted {
            start += value.len() - without_scheme(value).len();
        } else if is_scheme(value.trim_start_matches('[')) {
            (start, end) = self.credential(end)?;
        } else {
            end = self.variable_end(end);
        }
        let words = self.words_end(end);
        let end = words.unwrap_or(end);
        let value = &self.text[start..end];
        let secret = is_secret_value(self.naming, value)
            && (self.quoted || !is_reference(value))
            && !names_key(&lower, value)
            && !(self.quoted && is_message(self.name, value))
            && (self.quoted || !is_list_of_names(&lower, value))
            && !self.is_prompt()
            && !self.is_next_flag(value)
            && !self.is_of_external_secret()
            && (self.naming < Naming::Strong || words.is_some() || !self.is_prose(value, end))
            && (self.is_scheme_before(start) || !self.is_code(value));
        secret.then(|| {
            Hit::secret(
                start,
                end,
                if lower.contains("authorization") {
                    "authorization-header"
                } else {
                    "key-value"
                },
            )
        })
    }

    fn is_scheme_before(&self, start: usize) -> bool {
        start > self.start
    }

    /// Where a value with spaces ends if the quotes are around the whole variable: `"DB_PASSWORD=a b"`.
    fn variable_end(&self, end: usize) -> usize {
        let is_variable = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let quote = self.text[..self.at]
            .strip_suffix(self.name)
            .and_then(|head| {
                let head = head.strip_suffix(['"', '\''])?;
                (!head.ends_with('\\')).then(|| self.text.as_bytes()[head.len()])
            });
        let Some(quote) = quote.filter(|_| self.name.bytes().all(is_variable)) else {
            return end;
        };
        let rest = &self.text.as_bytes()[end..self.text.len().min(end + LONG)];
        let closing = rest
            .iter()
            .position(|b| matches!(*b, b'\n' | b'=') || *b == quote);
        match closing {
            Some(length) if rest[length] == quote && rest[0] == b' ' => end + length,
            _ => end,
        }
    }

    /// Where a value of several words ends, if what is around it shows that it is one.
    fn words_end(&self, end: usize) -> Option<usize> {
        if self.quoted || self.naming < Naming::Strong {
            return None;
        }
        self.flow_end(end).or_else(|| phrases::end(self))
    }

    /// In `{password: a b, user: c}` it ends with the next member.
    fn flow_end(&self, end: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let is_spaced = bytes[self.at] == b':' && self.start > self.at + 1;
        let line = before(self.text, self.at, NAME_LIMIT).rsplit('\n').next()?;
        if !is_spaced || line.matches('{').count() <= line.matches('}').count() {
            return None;
        }
        let rest = &bytes[end..bytes.len().min(end + NAME_LIMIT)];
        let length = rest
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b'\n' | b'"' | b'\''))?;
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ');
        let is_end = match rest[length] {
            b'}' => true,
            b',' => {
                let name = rest[length + 1..].iter().take_while(is_name).count();
                name > 0 && rest.get(length + 1 + name) == Some(&b':')
            }
            _ => false,
        };
        let last = end + rest[..length].trim_ascii_end().len();
        (is_end && !phrases::is_sentence(&self.text[self.start..last])).then_some(last)
    }

    /// The rest of the header after `Bearer`; of schemes with parameters all of them.
    fn credential(&self, scheme_end: usize) -> Option<(usize, usize)> {
        let rest = &self.text[scheme_end..];
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '+']).len();
        if skipped == 0 || skipped > 8 {
            return Some((self.start, self.end));
        }
        let start = scheme_end + skipped;
        let start = start + self.account(start);
        let scheme = self.text[self.start..scheme_end].to_ascii_lowercase();
        let end = match scheme.trim_start_matches('[') {
            "digest" | "hmac" => line_end(self.text, start),
            _ => unquoted_end(self.text, start),
        };
        (start < end).then_some((start, end))
    }

    /// The length of the account that some servers want before the token: `Bearer automation 3fb2...`.
    fn account(&self, start: usize) -> usize {
        let (account, rest) = self.text[start..].split_once(' ').unwrap_or_default();
        let token = &rest[..unquoted_end(rest, 0)];
        let is_account =
            account.len() <= NAME_LIMIT && account.bytes().all(|b| b.is_ascii_lowercase());
        if is_account && is_random_token(token) {
            account.len() + 1
        } else {
            0
        }
    }

    fn cookie(&self, lower: &str) -> Option<Hit> {
        let mut start = self.start;
        let mut end = line_end(self.text, start);
        if lower.ends_with("set-cookie") {
            let pair = self.text[start..end].split(';').next()?;
            end = start + pair.len();
            start += pair.find('=')? + 1;
        }
        let value = self.text[start..end].trim_end_matches(['"', '\'', ' ']);
        (!is_vacant(value)).then(|| Hit::secret(start, start + value.len(), "cookie"))
    }

    /// `password: authentication failed for user` is a sentence.
    fn is_prose(&self, value: &str, end: usize) -> bool {
        if self.quoted {
            return false;
        }
        let spaced = self.text.as_bytes()[self.at] == b':' && self.start > self.at + 1;
        let word = value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'\'' || b == b'-')
            || is_capitalised(value);
        let rest = self.text[end..].trim_start_matches(',');
        // `rotateSecret: createSecret: done`: one function calls another.
        let is_chain = self.text[end..].starts_with(": ")
            && value.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if spaced && is_chain {
            return true;
        }
        let goes_on = rest.starts_with(' ')
            && rest
                .trim_start()
                .starts_with(|c: char| c.is_ascii_alphabetic());
        (spaced && word && goes_on) || value.len() == 1 && self.naming == Naming::Strong
    }

    /// A call, a member or a type: `password = get_password()`, `token = self.token`, `password: string`.
    fn is_code(&self, value: &str) -> bool {
        if self.quoted {
            return false;
        }
        let is_identifier =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        let call = value
            .split_once('(')
            .map(|(head, _)| head.replace("->", ".").replace("::", "."))
            .is_some_and(|head| {
                head.split('.')
                    .all(|part| is_identifier(part.trim_start_matches('$')))
            })
            || self.text[self.end..].starts_with('(') && value.split('.').all(is_identifier);
        let is_path = value.contains('.') && value.split('.').all(is_identifier);
        // `random_password.main.result`: of Terraform.
        let is_declared = || {
            value.split('.').count() >= 3
                && self.text[..self.at].ends_with(' ')
                && value
                    .split('.')
                    .any(|part| classify(part) >= Naming::Strong)
        };
        let member = is_path && (self.naming < Naming::Password || is_declared());
        let same = classify(value) >= Naming::Strong
            && value.split(['.', '_', '-']).all(is_identifier)
            && value.len() < 40
            && value.eq_ignore_ascii_case(self.name.trim_start_matches(['$', '@', '-']));
        // `emqx_access_control:authorize/4`, as Erlang names functions.
        let function = value.split_once(':').is_some_and(|(module, function)| {
            let mut parts = function.splitn(2, '/');
            is_identifier(module)
                && parts.next().is_some_and(is_identifier)
                && parts
                    .next()
                    .is_some_and(|arity| arity.parse::<u8>().is_ok())
        });
        // `os.environ["TOKEN"]`
        let subscript = value.strip_suffix('[').is_some_and(|head| {
            head.trim_start_matches('$').split('.').all(is_identifier)
                && self.text[self.end..].starts_with(['"', '\''])
        });
        (call || member || same || subscript || function) && !value.starts_with("hex(")
    }

    /// Whether the quote that seems to open the value closes the name: `read -p "Password: " PASSWORD`.
    fn is_prompt(&self) -> bool {
        let head = &self.text[..self.at];
        let opening = head
            .strip_suffix(self.name)
            .and_then(|head| head.chars().last());
        let is_name_quoted = opening.is_some_and(|quote| matches!(quote, '"' | '\''))
            && self.text[..self.start].chars().last() == opening
            && self.text[self.at..self.start].starts_with(": ");
        self.quoted && (is_name_quoted || self.closes_string())
    }

    /// `grep "Root Token:" | sed "s/x/y/"`: the quote behind the colon ends a string that began before.
    fn closes_string(&self) -> bool {
        let quote = &self.text[self.at + 1..self.start];
        let line = before(self.text, self.at, 2 * NAME_LIMIT)
            .rsplit('\n')
            .next();
        let is_open = |line: &str| line.matches(quote).count() % 2 == 1;
        matches!(quote, "\"" | "'")
            && self.text[self.start..].starts_with(' ')
            && line.is_some_and(is_open)
    }

    /// `-Dx.password= -Dy=z`: it is empty, and another flag follows.
    fn is_next_flag(&self, value: &str) -> bool {
        !self.quoted
            && self.text[self.at..self.start] == *"= "
            && !self.text[..self.at].ends_with(' ')
            && value.strip_prefix('-').is_some_and(|flag| {
                flag.trim_start_matches('-')
                    .starts_with(|c: char| c.is_ascii_alphabetic())
            })
    }

    /// `secretKey: x` above `remoteRef:`: under which key the Secret will have what is elsewhere.
    fn is_of_external_secret(&self) -> bool {
        let window = &self.text[self.end..self.text.floor_char_boundary(self.end + NAME_LIMIT)];
        let below = || window.split('\n').nth(1);
        self.name == "secretKey"
            && below().is_some_and(|line| line.trim_start().starts_with("remoteRef:"))
    }
}

/// `"repeatPassword": "Repeat the password"`: what a form says to people, by what the text is called and how it begins.
pub(crate) fn is_message(name: &str, value: &str) -> bool {
    const ABOUT: [&str; 26] = [
        "invalid",
        "send",
        "enter",
        "repeat",
        "confirm",
        "confirmation",
        "forgot",
        "forgotten",
        "change",
        "create",
        "wrong",
        "must",
        "not",
        "least",
        "information",
        "message",
        "text",
        "title",
        "hint",
        "placeholder",
        "help",
        "strength",
        "length",
        "requirements",
        "instructions",
        "description",
    ];
    let is_said = value.starts_with(char::is_uppercase)
        && value.contains(' ')
        && value.split(' ').all(|word| {
            let word = word.trim_matches(['.', ',', '!', '?', ':', '(', ')']);
            word.chars().all(char::is_alphabetic) || word.bytes().all(|b| b.is_ascii_digit())
        });
    let words: Vec<&str> = value.split(' ').collect();
    let is_inside = |pair: &[&str]| {
        pair[0].ends_with(['.', '!', '?']) || !pair[1].starts_with(char::is_uppercase)
    };
    let is_sentence = value.ends_with(['.', '!', '?']) || words.windows(2).all(is_inside);
    is_said && is_sentence && has_word(name, &ABOUT)
}

/// `adminPasswordKey: postgres-password`, `secretKey: password`: under which key the Secret has it.
fn names_key(lower: &str, value: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.');
    if lower.ends_with("secretkey") && matches!(value, "password" | "token" | "apikey" | "secret") {
        return true;
    }
    let name = lower.strip_suffix("key").unwrap_or_default();
    name.trim_end_matches(['_', '-']).ends_with("password")
        && value.bytes().all(is_word)
        && (value == "password" || value.contains(['-', '_', '.']))
        && classify(value) == Naming::Password
}

/// `secrets: [db_password]`: which ones.
fn is_list_of_names(lower: &str, value: &str) -> bool {
    lower.ends_with('s')
        && value.starts_with('[')
        && value.ends_with(']')
        && !value.split(['[', ',', ' ', ']']).any(is_random_token)
}

/// `{secretName: orders, optional: true}`: which Secret it is; `{type: string}`: a member of a schema.
fn is_reference(value: &str) -> bool {
    const NAMES: [&str; 7] = [
        "type",
        "secretName",
        "name",
        "existingSecret",
        "secretKeyRef",
        "valueFrom",
        "optional",
    ];
    let member = value
        .strip_prefix('{')
        .and_then(|inner| inner.split_once(':'));
    member.is_some_and(|(name, _)| NAMES.contains(&name.trim().trim_matches(['"', '\''])))
}

fn is_capitalised(value: &str) -> bool {
    value.len() > 1
        && value.bytes().enumerate().all(|(i, b)| {
            if i == 0 {
                b.is_ascii_uppercase()
            } else {
                b.is_ascii_lowercase()
            }
        })
}
