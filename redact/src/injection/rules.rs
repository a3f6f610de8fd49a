use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::Regex;
use serde::Deserialize;

use crate::rules::RuleError;

const BUILTIN: &str = include_str!("../../injection.yaml");
/// Of one rule that only flags, in one part; more add nothing.
const MOST_FLAGS: usize = 16;

/// One rule of `injection.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectionRule {
    /// Unique name, shown in findings.
    pub id: String,
    /// For people.
    pub description: String,
    /// At least one of these is in every folded text that the pattern matches.
    pub anchors: Vec<String>,
    /// Regular expression on a folded text.
    pub pattern: String,
    /// Whether the match is replaced.
    pub cut: bool,
    /// Texts that are flagged.
    pub examples: Vec<String>,
    /// Texts that are not.
    pub counterexamples: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<InjectionRule>,
}

/// The rules, ready for use.
#[derive(Debug)]
pub(super) struct Compiled {
    rules: Vec<InjectionRule>,
    patterns: Vec<Regex>,
    anchors: AhoCorasick,
    /// The rule of each anchor.
    rule_of: Vec<usize>,
}

impl Compiled {
    pub(super) fn builtin() -> Result<Self, RuleError> {
        let file: File = serde_saphyr::from_str(BUILTIN).map_err(|error| RuleError::Parse {
            reason: error.to_string(),
        })?;
        let mut patterns = Vec::with_capacity(file.rules.len());
        let (mut words, mut rule_of) = (Vec::new(), Vec::new());
        for (index, rule) in file.rules.iter().enumerate() {
            let pattern =
                Regex::new(&of_ascii(&rule.pattern)).map_err(|source| RuleError::Pattern {
                    id: rule.id.clone(),
                    source: Box::new(source),
                })?;
            patterns.push(pattern);
            words.extend(rule.anchors.iter().map(String::as_str));
            rule_of.extend(std::iter::repeat_n(index, rule.anchors.len()));
        }
        let anchors = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(words)
            .map_err(|source| RuleError::Keywords {
                source: Box::new(source),
            })?;
        Ok(Self {
            rules: file.rules,
            patterns,
            anchors,
            rule_of,
        })
    }

    pub(super) fn rules(&self) -> &[InjectionRule] {
        &self.rules
    }

    /// Calls `found` with the rule and the place of each match in a folded text.
    pub(super) fn find(&self, folded: &str, mut found: impl FnMut(&InjectionRule, usize, usize)) {
        let mut candidates = 0_u64;
        for anchor in self.anchors.find_overlapping_iter(folded) {
            candidates |= 1 << self.rule_of[anchor.pattern().as_usize()];
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if candidates & (1 << index) == 0 {
                continue;
            }
            let most = if rule.cut { usize::MAX } else { MOST_FLAGS };
            for place in self.patterns[index].find_iter(folded).take(most) {
                found(rule, place.start(), place.end());
            }
        }
    }
}

/// A pattern whose classes of words and digits are those of ASCII: with every letter of Unicode in each, the
/// rules take several times the memory, and folded texts have no use for it.
fn of_ascii(pattern: &str) -> String {
    ["\\w", "\\b", "\\d"]
        .iter()
        .fold(pattern.to_owned(), |pattern, class| {
            pattern.replace(class, &format!("(?-u:{class})"))
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::injection::folding::Folded;

    fn found(rules: &Compiled, text: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let folded = Folded::new(text);
        rules.find(folded.text(), |rule, _, _| {
            ids.insert(rule.id.clone());
        });
        ids
    }

    #[test]
    fn every_example_is_flagged_by_its_rule_and_no_counterexample_by_any() {
        let rules = Compiled::builtin().unwrap();
        assert!(rules.rules().len() < 64, "the candidates are bits of a u64");
        for rule in rules.rules() {
            assert!(!rule.examples.is_empty(), "{}", rule.id);
            for text in &rule.examples {
                assert!(
                    found(&rules, text).contains(&rule.id),
                    "{}: {text}",
                    rule.id
                );
            }
            for text in &rule.counterexamples {
                assert_eq!(found(&rules, text), BTreeSet::new(), "{}: {text}", rule.id);
            }
        }
    }

    #[test]
    fn anchors_are_folded() {
        for rule in Compiled::builtin().unwrap().rules() {
            for anchor in &rule.anchors {
                assert_eq!(Folded::new(anchor).text(), anchor, "{}", rule.id);
            }
        }
    }
}
