use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use crate::engine::{Hit, Strength};
use crate::rules::{Check, Rule, RuleError, Rules};
use crate::validate::{is_address_of_somebody, is_iban, is_jwt, is_luhn};
use crate::value::{is_masked, looks_random};

const REGEX_SIZE: usize = 4 << 20;

/// The compiled token formats behind a keyword prefilter.
#[derive(Debug)]
pub(crate) struct Formats {
    rules: Vec<Compiled>,
    keywords: AhoCorasick,
    /// Which rule each keyword belongs to.
    owners: Vec<usize>,
    /// Rules without keywords.
    always: Vec<usize>,
}

#[derive(Debug)]
struct Compiled {
    id: String,
    kind: String,
    regex: Regex,
    check: Check,
}

impl Formats {
    pub(crate) fn new(rules: &Rules) -> Result<Self, RuleError> {
        let (mut compiled, mut keywords, mut owners, mut always) = (vec![], vec![], vec![], vec![]);
        for rule in rules.active() {
            for keyword in &rule.keywords {
                keywords.push(keyword.clone());
                owners.push(compiled.len());
            }
            if rule.keywords.is_empty() {
                always.push(compiled.len());
            }
            compiled.push(compile(rule)?);
        }
        let keywords = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(&keywords)
            .map_err(|source| RuleError::Keywords {
                source: Box::new(source),
            })?;
        Ok(Self {
            rules: compiled,
            keywords,
            owners,
            always,
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

    /// Appends everything the rules find in `text`.
    pub(crate) fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut wanted = vec![false; self.rules.len()];
        for &index in &self.always {
            wanted[index] = true;
        }
        for found in self.keywords.find_overlapping_iter(text) {
            wanted[self.owners[found.pattern().as_usize()]] = true;
        }
        for (rule, _) in self.rules.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            rule.scan(text, hits);
        }
    }
}

fn compile(rule: &Rule) -> Result<Compiled, RuleError> {
    let regex = RegexBuilder::new(&rule.pattern)
        .unicode(false)
        .size_limit(REGEX_SIZE)
        .build()
        .map_err(|source| RuleError::Pattern {
            id: rule.id.clone(),
            source: Box::new(source),
        })?;
    Ok(Compiled {
        id: rule.id.clone(),
        kind: rule.kind.clone(),
        regex,
        check: rule.check,
    })
}

impl Compiled {
    fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        for captures in self.regex.captures_iter(text.as_bytes()) {
            let Some(found) = captures.get(1).or_else(|| captures.get(0)) else {
                continue;
            };
            let start = text.floor_char_boundary(found.start());
            let end = text.ceil_char_boundary(found.end());
            if self.accepts(&text[start..end]) {
                hits.push(Hit::new(start, end, &self.kind, &self.id, Strength::Format));
            }
        }
    }

    fn accepts(&self, value: &str) -> bool {
        let checked = match self.check {
            Check::None => true,
            Check::Luhn => is_luhn(value),
            Check::Iban => is_iban(value),
            Check::Random => looks_random(value),
            Check::Jwt => is_jwt(value),
            Check::Address => is_address_of_somebody(value),
        };
        checked && !is_masked(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_every_rule_holds() {
        Rules::builtin().unwrap().check_examples().unwrap();
    }
}
