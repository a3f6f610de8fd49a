use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::engine::{Hit, Strength};
use crate::gate::rules::{announces, is_builtin, is_light, is_whole_word};
use crate::gate::runs::{Kinds, addresses, is_hexadecimal_run};
use crate::literals::Literals;
use crate::national;
use crate::rarity::is_called_digest;
use crate::rules::{Check, Class, Rule, RuleError, Rules};
use crate::validate::{is_address_of_somebody, is_iban, is_jwt, is_luhn};
use crate::value::{is_masked, is_of_shell, looks_random};

const REGEX_SIZE: usize = 4 << 20;

/// The compiled token formats behind a keyword prefilter.
#[derive(Debug)]
pub(crate) struct Formats {
    rules: Vec<Compiled>,
    /// Keywords that may be enough for their rule to be tried.
    announcing: Keywords,
    /// Keywords of rules that need something else besides, many of them two common letters.
    accompanying: Keywords,
    /// What those rules need.
    needed: Vec<Needs>,
    /// Keywords of one character, too short for that, with the same.
    characters: Vec<(u8, usize, Enough)>,
    /// Rules without keywords.
    always: Vec<usize>,
    /// The rules of personal data.
    light: Vec<usize>,
}

/// Keywords of many rules.
#[derive(Debug)]
struct Keywords {
    literals: Literals,
    /// Which rule each keyword belongs to, and when the keyword is enough to try it.
    owners: Vec<(usize, Enough)>,
}

impl Keywords {
    fn new(keywords: Vec<(String, usize, Enough)>) -> Self {
        let (literals, owners): (Vec<String>, Vec<(usize, Enough)>) = keywords
            .into_iter()
            .map(|(keyword, rule, enough)| (keyword, (rule, enough)))
            .unzip();
        Self {
            literals: Literals::new(&literals, |literal| owners[literal].1 == Enough::Whole),
            owners,
        }
    }

    /// Hands over the rule of every keyword in a text, and the place of the keyword.
    fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, Enough, Range<usize>)) {
        self.literals
            .find(bytes, 0, bytes.len(), |keyword, from, to| {
                let (rule, enough) = self.owners[keyword];
                found(rule, enough, from..to);
                0
            });
    }
}

#[derive(Debug)]
struct Compiled {
    id: String,
    kind: String,
    pattern: String,
    regex: OnceLock<Regex>,
    check: Check,
    needs: Needs,
}

/// When a keyword is enough for a rule to be tried, whatever the rule needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enough {
    Always,
    Never,
    /// Among hexadecimal digits.
    AmongDigits,
    /// As a word.
    Whole,
}

impl Enough {
    fn of(rule: &Rule, keyword: &str) -> Result<Self, RuleError> {
        Ok(match rule.class {
            Class::Ip if keyword == "::" && is_builtin(rule)? => Self::AmongDigits,
            Class::Secret if rule.near_token && !announces(keyword) => Self::Never,
            _ if rule.whole_words => Self::Whole,
            _ => Self::Always,
        })
    }
}

/// What a text must have, besides a keyword, for a rule to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    /// A run of letters and digits.
    Token,
    /// The digits of a payment card.
    Number,
    /// Digits of personal data, which may also be one long run.
    Digits,
    /// A hardware or IPv6 address.
    Network,
    /// An IPv4 address.
    Address,
    /// Any of these.
    Any,
}

impl Needs {
    fn of(rule: &Rule) -> Result<Self, RuleError> {
        let builtin = is_builtin(rule)?;
        Ok(match rule.class {
            Class::Ip if builtin && rule.id == "ipv4" => Self::Address,
            _ if !rule.near_token => Self::Nothing,
            _ if !builtin => Self::Any,
            Class::Secret => Self::Token,
            Class::Personal if rule.check == Check::Luhn => Self::Number,
            Class::Personal | Class::Host | Class::User => Self::Digits,
            Class::Ip => Self::Network,
        })
    }

    fn met(self, kinds: Kinds) -> bool {
        match self {
            Self::Nothing => true,
            Self::Token => kinds.token,
            Self::Number => kinds.number,
            Self::Digits => kinds.number || kinds.personal || kinds.token,
            Self::Network => kinds.network,
            Self::Address => kinds.address,
            Self::Any => kinds != Kinds::default(),
        }
    }
}

impl Formats {
    pub(crate) fn new(rules: &Rules) -> Result<Self, RuleError> {
        let (mut compiled, mut announcing, mut accompanying) = (vec![], vec![], vec![]);
        let (mut always, mut light, mut characters) = (vec![], vec![], vec![]);
        let mut needed: Vec<Needs> = vec![];
        for rule in rules.active() {
            for keyword in &rule.keywords {
                let enough = Enough::of(rule, keyword)?;
                match keyword.as_bytes() {
                    [] => always.push(compiled.len()),
                    [character] => characters.push((*character, compiled.len(), enough)),
                    _ if enough == Enough::Never => {
                        accompanying.push((keyword.clone(), compiled.len(), enough));
                        needed.push(Needs::of(rule)?);
                    }
                    _ => announcing.push((keyword.clone(), compiled.len(), enough)),
                }
            }
            if rule.keywords.is_empty() {
                always.push(compiled.len());
            }
            if is_light(rule)? {
                light.push(compiled.len());
            }
            compiled.push(compile(rule)?);
        }
        needed.sort_unstable();
        needed.dedup();
        Ok(Self {
            rules: compiled,
            announcing: Keywords::new(announcing),
            accompanying: Keywords::new(accompanying),
            needed,
            characters,
            always,
            light,
        })
    }

    /// The kinds that placeholders can have from these rules.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.kind.as_str())
    }

    /// Whether one rule finds something in a text.
    pub(crate) fn has(&self, id: &str, text: &str) -> bool {
        let mut hits = Vec::new();
        self.scan(text, &mut hits);
        hits.iter().any(|hit| hit.rule == id)
    }

    /// Whether a name has a keyword of a rule.
    pub(crate) fn is_announced_by(&self, name: &str) -> bool {
        let (mut is_announced, bytes) = (false, name.as_bytes());
        self.announcing
            .find(bytes, |_, enough, Range { start, end }| {
                is_announced |= match enough {
                    Enough::Always => true,
                    Enough::Whole => is_whole_word(bytes, start, end),
                    Enough::Never | Enough::AmongDigits => false,
                };
            });
        is_announced
    }

    /// Appends everything the rules find in `text`.
    pub(crate) fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        let wanted = self.wanted(text);
        for (rule, _) in self.rules.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            rule.scan(text, hits);
        }
    }

    /// Appends what the rules of personal data find in a line that has nothing else.
    pub(crate) fn scan_light(&self, text: &str, hits: &mut Vec<Hit>) {
        let wanted = self.wanted(text);
        for &index in self.light.iter().filter(|index| wanted[**index]) {
            self.rules[index].scan(text, hits);
        }
    }

    /// Which rules may find something in a text.
    fn wanted(&self, text: &str) -> Vec<bool> {
        let mut wanted = vec![false; self.rules.len()];
        let kinds = Kinds::of(text);
        for &index in &self.always {
            wanted[index] = self.rules[index].needs.met(kinds);
        }
        let bytes = text.as_bytes();
        let is_enough = |rule: usize, enough: Enough, place: Range<usize>| match enough {
            Enough::Always => true,
            Enough::Never => self.rules[rule].needs.met(kinds),
            Enough::AmongDigits => {
                self.rules[rule].needs.met(kinds) || is_hexadecimal_run(bytes, place.start, b':')
            }
            Enough::Whole => is_whole_word(bytes, place.start, place.end),
        };
        let mut announce = |rule: usize, enough, place| {
            wanted[rule] = wanted[rule] || is_enough(rule, enough, place);
        };
        self.announcing.find(bytes, &mut announce);
        if self.needed.iter().any(|needs| needs.met(kinds)) {
            self.accompanying.find(bytes, &mut announce);
        }
        for &(character, rule, enough) in &self.characters {
            let (lower, upper) = (
                character.to_ascii_lowercase(),
                character.to_ascii_uppercase(),
            );
            let mut places = memchr::memchr2_iter(lower, upper, bytes);
            let depends_on_place = matches!(enough, Enough::AmongDigits | Enough::Whole);
            while let Some(at) = places.next().filter(|_| !wanted[rule]) {
                wanted[rule] = is_enough(rule, enough, at..at + 1);
                if !depends_on_place {
                    break;
                }
            }
        }
        wanted
    }
}

/// The patterns of this crate, which its tests compile, wait until a keyword asks for them: most never do.
fn compile(rule: &Rule) -> Result<Compiled, RuleError> {
    let compiled = Compiled {
        id: rule.id.clone(),
        kind: rule.kind.clone(),
        pattern: rule.pattern.clone(),
        regex: OnceLock::new(),
        check: rule.check,
        needs: Needs::of(rule)?,
    };
    if !is_builtin(rule)? {
        let regex = regex(&rule.pattern).map_err(|source| RuleError::Pattern {
            id: rule.id.clone(),
            source: Box::new(source),
        })?;
        compiled.regex.get_or_init(|| regex);
    }
    Ok(compiled)
}

fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(REGEX_SIZE)
        .build()
}

impl Compiled {
    fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        if matches!(self.needs, Needs::Address) {
            addresses(text, |Range { start, end }| {
                hits.push(Hit::new(start, end, &self.kind, &self.id, Strength::Format));
            });
            return;
        }
        let Some(regex) = self.regex() else {
            return;
        };
        for captures in regex.captures_iter(text.as_bytes()) {
            let Some(found) = captures.get(1).or_else(|| captures.get(0)) else {
                continue;
            };
            let start = text.floor_char_boundary(found.start());
            let end = text.ceil_char_boundary(found.end());
            let is_digest = self.check == Check::Random
                && text[start..end].ends_with('=')
                && is_called_digest(text, start);
            if !is_digest && self.accepts(&text[start..end]) {
                hits.push(Hit::new(start, end, &self.kind, &self.id, Strength::Format));
            }
        }
    }

    fn regex(&self) -> Option<&Regex> {
        if self.regex.get().is_none() {
            let regex = regex(&self.pattern).ok()?;
            self.regex.get_or_init(|| regex);
        }
        self.regex.get()
    }

    fn accepts(&self, value: &str) -> bool {
        let checked = match self.check {
            Check::None => true,
            Check::Luhn => is_luhn(value),
            Check::Iban => is_iban(value),
            Check::Random => looks_random(value),
            Check::Key => looks_random(value) && !is_identifier(value),
            Check::Jwt => is_jwt(value),
            Check::Address => is_address_of_somebody(value),
            Check::National(scheme) => national::holds(scheme, value),
        };
        checked && !is_masked(value) && !is_of_shell(value)
    }
}

/// `req_6e788a18...`, `tpl_cache_1ba28c25...`: called by a word for what is identified, a request or what is kept.
fn is_identifier(value: &str) -> bool {
    const THINGS: [&str; 12] = [
        "req", "request", "trace", "span", "run", "evt", "event", "msg", "build", "job", "task",
        "layer",
    ];
    const HASHED: [&str; 5] = ["cache", "etag", "hash", "sha256", "md5"];
    let mut words = value.split('_');
    let is_thing = words.next().is_some_and(|word| THINGS.contains(&word));
    is_thing || value.split('_').any(|word| HASHED.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_every_rule_holds() {
        Rules::builtin().unwrap().check_examples().unwrap();
    }
}
