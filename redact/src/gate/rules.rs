//! What the gate needs to know of rules.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::rules::{Class, Rule, RuleError, Rules};

/// How long a literal of a rule must be to be looked for.
pub(crate) const SHORTEST_KEYWORD: usize = 3;

/// Whether a keyword of a rule that needs a token is looked for in lines without any.
pub(crate) fn announces(keyword: &str) -> bool {
    let plain = keyword.bytes().all(|b| b.is_ascii_alphanumeric());
    keyword.len() > SHORTEST_KEYWORD || keyword.len() == SHORTEST_KEYWORD && !plain
}

/// Whether a rule has to be tried on lines with nothing but personal data: it is one of those rules, or we
/// do not know what else its matches have. Whoever is announced by a word is read with everything.
pub(crate) fn is_light(rule: &Rule) -> Result<bool, RuleError> {
    let is_announced = !rule.near_token && is_announced(rule);
    Ok(rule.class != Class::Secret && !is_announced || rule.near_token && !is_builtin(rule)?)
}

/// Whether a rule comes with this crate.
pub(crate) fn is_builtin(rule: &Rule) -> Result<bool, RuleError> {
    static BUILTIN: OnceLock<Rules> = OnceLock::new();
    let builtin = match BUILTIN.get() {
        Some(builtin) => builtin,
        None => BUILTIN.get_or_init({
            let rules = Rules::builtin()?;
            || rules
        }),
    };
    Ok(builtin.rules.contains(rule))
}

/// Whether every text that the rule matches has one of the literals that are looked for.
pub(crate) fn is_announced(rule: &Rule) -> bool {
    let long = |keyword: &String| keyword.len() >= SHORTEST_KEYWORD || keyword.contains(['$', '~']);
    !rule.keywords.is_empty() && rule.keywords.iter().all(long)
}

/// Whether no letter and no digit is joined to a keyword, except as in `aNameLikeThis`.
pub(crate) fn is_whole_word(bytes: &[u8], from: usize, to: usize) -> bool {
    let is_joined = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is = |at: usize, kind: fn(&u8) -> bool| bytes.get(at).is_some_and(kind);
    let is_capitalised =
        |at: usize| is(at, u8::is_ascii_uppercase) && is(at + 1, u8::is_ascii_lowercase);
    let begins = from > 0 && is(from - 1, u8::is_ascii_lowercase) && is_capitalised(from);
    (begins || !is_joined(bytes[..from].last()))
        && (is_capitalised(to) || !is_joined(bytes.get(to)))
}

/// The pattern of a rule, over bytes.
pub(crate) fn compile(rule: &Rule) -> Result<Regex, RuleError> {
    RegexBuilder::new(&rule.pattern)
        .unicode(false)
        .build()
        .map_err(|source| RuleError::Pattern {
            id: rule.id.clone(),
            source: Box::new(source),
        })
}
