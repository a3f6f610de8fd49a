mod announced;

use serde::Deserialize;

use crate::engine::Hit;
use crate::formats::Formats;
use crate::national::Scheme;
use crate::session::Redactor;

/// Rules that cannot be used. Names the rule, never a text that was to be redacted.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The file is not YAML of the documented shape.
    #[error("cannot parse the redaction rules: {reason}")]
    Parse {
        /// What the parser says.
        reason: String,
    },
    /// A pattern is not a regular expression.
    #[error("rule {id}: the pattern is not a regular expression")]
    Pattern {
        /// The rule.
        id: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
    /// A rule that cannot be applied.
    #[error("rule {id}: {problem}")]
    Invalid {
        /// The rule.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The keywords of all rules cannot be compiled.
    #[error("cannot compile the keywords of the redaction rules")]
    Keywords {
        /// Why.
        #[source]
        source: Box<aho_corasick::BuildError>,
    },
}

/// So that placeholders stay short enough to be told from other texts between angle brackets.
const LONGEST_KIND: usize = 32;
/// Kinds of placeholders that stand for no value.
const RESERVED: [&str; 2] = ["withheld", "forged"];

/// A test beyond the pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The pattern is enough.
    #[default]
    None,
    /// The check digit of payment cards.
    Luhn,
    /// The check digits of an IBAN.
    Iban,
    /// Digits and letters mixed as in random strings.
    Random,
    /// The same, and the words before it are not those of an identifier: `req_`, `cache_`.
    Key,
    /// The first part is the header of a JSON Web Token.
    Jwt,
    /// An address of somebody: not loopback, and not the unspecified address that servers listen on.
    Address,
    /// The check digits of national identity numbers.
    National(Scheme),
}

/// When a rule is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    #[default]
    Secret,
    Personal,
    Ip,
    Host,
    User,
}

/// One rule of `rules.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique name, shown in findings.
    pub id: String,
    /// For people.
    pub description: String,
    /// The type in the placeholder: lower case letters, digits and `-`.
    pub kind: String,
    /// At least one of these, in any case, is in every text that the pattern matches. None: always tried.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Words of which one stands before every value, with spaces between their parts: `tax number` is also
    /// `tax_number`, `tax-number`, `taxnumber` and `taxNumber`. Keywords and the rest of the pattern come of themselves.
    #[serde(default)]
    pub words: Vec<String>,
    /// Regular expression on bytes. The first group is what is taken out, or the whole match. With words: of the value
    /// only, without groups.
    pub pattern: String,
    /// A test beyond the pattern.
    #[serde(default)]
    pub check: Check,
    #[serde(default)]
    pub(crate) class: Class,
    /// What it matches has a run of at least 15 letters and digits mixed, is an account number in groups,
    /// or an address: lines without any are not even tried. Else the keywords, or without long ones the
    /// pattern itself, decide which lines are read.
    #[serde(default)]
    pub near_token: bool,
    /// Neither a letter nor a digit is joined to a keyword in what the pattern matches, except as in
    /// `aNameLikeThis`; only for speed.
    #[serde(default)]
    pub whole_words: bool,
    /// Texts in which the rule finds something.
    pub examples: Vec<String>,
    /// Texts in which it finds nothing.
    #[serde(default)]
    pub counterexamples: Vec<String>,
}

/// Which rules are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each switches rules on by itself"
)]
pub struct Options {
    /// E-mail addresses, payment cards, IBANs, phone and national identity numbers. On by default.
    pub personal_data: bool,
    /// IP and MAC addresses. On by default: equal ones keep equal placeholders and ports stay, which is
    /// what the explanation of a network failure rests on.
    pub ip_addresses: bool,
    /// Names of hosts. Off by default: an explanation mostly needs them.
    pub host_names: bool,
    /// Names of users. Off by default.
    pub user_names: bool,
}

impl Options {
    /// All rules.
    pub(crate) const EVERYTHING: Self = Self {
        personal_data: true,
        ip_addresses: true,
        host_names: true,
        user_names: true,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self {
            personal_data: true,
            ip_addresses: true,
            host_names: false,
            user_names: false,
        }
    }
}

/// The rules as data, before they are compiled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// Which of them are on.
    #[serde(skip)]
    pub options: Options,
}

impl AsRef<Self> for Rules {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Rules {
    /// The text of the rules that come with this crate, with the description of their form.
    pub const BUILTIN: &str = include_str!("../rules.yaml");

    /// The rules that come with this crate: `rules.yaml`.
    pub fn builtin() -> Result<Self, RuleError> {
        Self::parse(Self::BUILTIN)
    }

    /// Rules from YAML of the same shape as `rules.yaml`.
    pub fn parse(yaml: &str) -> Result<Self, RuleError> {
        let mut rules: Self = serde_saphyr::from_str(yaml).map_err(|error| RuleError::Parse {
            reason: error.to_string(),
        })?;
        for rule in &mut rules.rules {
            rule.validate()?;
            if !rule.words.is_empty() {
                announced::announce(rule);
            }
        }
        Ok(rules)
    }

    /// These rules and more, for example those of an installation.
    ///
    /// # Errors
    ///
    /// An id occurs twice, or an example of a rule does not hold or is not found in a text.
    pub fn with_own(mut self, own: Self) -> Result<Self, RuleError> {
        let known = self.rules.len();
        for rule in own.rules {
            if self.rules.iter().any(|known| known.id == rule.id) {
                return Err(rule.invalid("another rule has the same id"));
            }
            self.rules.push(rule);
        }
        self.check_examples()?;
        self.check_in_texts(&self.rules[known..])?;
        Ok(self)
    }

    /// Whether what rules find by themselves is found in texts too: those are read in lines, and only where something
    /// says that it is worth it.
    fn check_in_texts(&self, own: &[Rule]) -> Result<(), RuleError> {
        let all = self.clone().with_options(Options::EVERYTHING);
        let formats = Formats::new(&all)?;
        let redactor = Redactor::new(&all)?;
        for rule in own {
            for (index, example) in rule.examples.iter().enumerate() {
                let found = redactor.session(&[]).redact_text(example).findings;
                let mut hits = Vec::new();
                formats.scan(example, &mut hits);
                hits.retain(|hit| hit.rule == rule.id);
                let is_found = |hit: &Hit| {
                    let mut found = found.iter();
                    found.any(|found| found.start < hit.end && hit.start < found.end)
                };
                if !hits.iter().all(is_found) {
                    return Err(rule.invalid(&format!(
                        "example {} is found by the pattern alone, not in a text: give keywords of at least \
                         4 letters that stand in the first line of what the pattern matches",
                        index + 1
                    )));
                }
            }
        }
        Ok(())
    }

    /// Tries every rule on its own examples and counterexamples.
    ///
    /// # Errors
    ///
    /// The first rule that finds nothing in an example, or something in a counterexample.
    pub fn check_examples(&self) -> Result<(), RuleError> {
        let all = self.clone().with_options(Options::EVERYTHING);
        let formats = Formats::new(&all)?;
        for rule in &all.rules {
            let found = |text: &String| formats.has(&rule.id, text);
            if let Some(missed) = rule.examples.iter().position(|text| !found(text)) {
                return Err(rule.invalid(&format!("finds nothing in example {}", missed + 1)));
            }
            if let Some(wrong) = rule.counterexamples.iter().position(found) {
                let problem = format!("finds something in counterexample {}", wrong + 1);
                return Err(rule.invalid(&problem));
            }
        }
        Ok(())
    }

    /// The same rules with other options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| match rule.class {
            Class::Secret => true,
            Class::Personal => self.options.personal_data,
            Class::Ip => self.options.ip_addresses,
            Class::Host => self.options.host_names,
            Class::User => self.options.user_names,
        })
    }
}

impl Rule {
    fn invalid(&self, problem: &str) -> RuleError {
        RuleError::Invalid {
            id: self.id.clone(),
            problem: problem.to_owned(),
        }
    }

    fn validate(&self) -> Result<(), RuleError> {
        let invalid = |problem: &str| Err(self.invalid(problem));
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !is_name(&self.id) || !is_name(&self.kind) {
            return invalid("id and kind are made of lower case letters, digits and hyphens");
        }
        if self.kind.len() > LONGEST_KIND {
            return invalid(&format!("the kind is longer than {LONGEST_KIND} bytes"));
        }
        if RESERVED.contains(&self.kind.as_str()) {
            return invalid("this kind says that something was withheld or forged; use another");
        }
        if self.examples.is_empty() {
            return invalid("has no example");
        }
        if self.keywords.iter().any(std::string::String::is_empty) {
            return invalid("a keyword is empty");
        }
        if self.words.iter().any(|word| word.trim().is_empty()) {
            return invalid("a word is empty");
        }
        if !self.words.is_empty() && !self.keywords.is_empty() {
            return invalid("has words, of which its keywords are made: leave them out");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_refused() {
        for (yaml, expected) in [
            ("rules: [{id: a}]", "cannot parse"),
            (
                "rules: [{id: 'A b', description: d, kind: k, pattern: x, examples: [x]}]",
                "lower case",
            ),
            (
                "rules: [{id: a, description: d, kind: k, pattern: x, examples: []}]",
                "no example",
            ),
            (
                "rules: [{id: a, description: d, kind: withheld, pattern: x, examples: [x]}]",
                "use another",
            ),
            (
                "rules: [{id: a, description: d, kind: abcdefghijklmnopqrstuvwxyz-abcdefg, pattern: x, examples: [x]}]",
                "longer than 32",
            ),
            (
                "rules: [{id: a, description: d, kind: k, pattern: x, examples: [x], colour: red}]",
                "cannot parse",
            ),
        ] {
            let error = Rules::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn names_of_hosts_and_users_are_taken_out_by_option() {
        let text = "dial tcp: lookup db-1.shop.internal: no such host, user=alice";
        let redacted = |options: Options| {
            let rules = Rules::builtin().unwrap().with_options(options);
            let redactor = crate::Redactor::new(rules).unwrap();
            let mut session = redactor.session(b"a key");
            let redacted = session.redact_text(text).text;
            assert_eq!(session.redact_text(&redacted).text, redacted);
            redacted
        };
        assert_eq!(redacted(Options::default()), text);
        let hosts = redacted(Options {
            host_names: true,
            ..Options::default()
        });
        assert!(
            hosts.contains("lookup <host:") && hosts.ends_with("user=alice"),
            "{hosts}"
        );
        let users = redacted(Options {
            user_names: true,
            ..Options::default()
        });
        assert!(
            users.contains("db-1.shop.internal") && users.contains("user=<user:"),
            "{users}"
        );
    }

    #[test]
    fn own_rules_are_added_if_their_examples_hold() {
        let own = |id: &str, example: &str, counterexample: &str| {
            let yaml = format!(
                "rules: [{{id: {id}, description: d, kind: own, pattern: 'z[0-9]{{3}}', \
                 examples: ['{example}'], counterexamples: ['{counterexample}']}}]"
            );
            Rules::builtin()
                .unwrap()
                .with_own(Rules::parse(&yaml).unwrap())
        };
        let rules = own("own", "a z123", "a z12").unwrap();
        let redactor = crate::Redactor::new(rules).unwrap();
        let redacted = redactor.session(b"key").redact_text("got z123").text;
        assert!(redacted.starts_with("got <own:"), "{redacted}");
        for (id, example, counterexample, expected) in [
            ("jwt", "z123", "z", "same id"),
            ("own", "z12", "z", "finds nothing in example 1"),
            ("own", "z123", "z123", "finds something in counterexample 1"),
        ] {
            let error = own(id, example, counterexample).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn ids_are_unique() {
        let rules = Rules::builtin().unwrap();
        let mut ids: Vec<_> = rules.rules.iter().map(|rule| &rule.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
