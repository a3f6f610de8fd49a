//! The words and literals that the gate looks for.

use std::collections::BTreeSet;

use regex::bytes::Regex;

use crate::carrier::words::WORDS;
use crate::gate::rules::{announces, compile, is_announced, is_builtin, is_light};
use crate::lexicon::{Naming, Section, classify, words};
use crate::rules::{Class, Rule, RuleError, Rules};

/// What a match of the gate's automaton means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A word of the lexicon.
    Word,
    /// The end of a word of the lexicon.
    Ending,
    /// A word, or the end of one, that says little: only a random string behind it counts. What makes a name
    /// stronger is another word of it.
    Hint { ending: bool },
    /// The line must be read.
    Deep,
    /// A keyword of a rule: the line must be read if no letter stands before it. With the exact letters, if
    /// the rule tells cases apart.
    Keyword(Option<String>),
    /// A keyword that is a word: none stands behind it either.
    WholeWord,
    /// `://`: the line must be read if credentials may follow.
    Url,
    /// `::` of an IPv6 address.
    Colons,
    /// A short option such as `-u` or `-p`.
    Option,
    /// The beginning of an escape: the line must be read if it stands for a letter.
    Escape,
}

/// What the gate is made of.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    pub(crate) patterns: Vec<String>,
    /// What each of the patterns means.
    pub(crate) meanings: Vec<Trigger>,
    pub(crate) always: Vec<Regex>,
    pub(crate) wanted: Wanted,
    /// Whether the words of the lexicon are among the patterns.
    has_words: bool,
}

/// Which addresses matter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// IPv4 addresses are taken out, by the rule that comes with this crate.
    pub(crate) addresses: bool,
    /// Something looks at IPv6 and hardware addresses.
    pub(crate) network: bool,
}

impl Triggers {
    fn add(&mut self, pattern: &str, trigger: Trigger) {
        self.patterns.push(pattern.to_owned());
        self.meanings.push(trigger);
    }

    fn rule(&mut self, rule: &Rule) -> Result<(), RuleError> {
        self.wanted.network |= is_light(rule)? && rule.id != "ipv4";
        if rule.near_token {
            for word in rule.keywords.iter().filter(|word| announces(word)) {
                self.keyword(rule, word);
            }
        } else if rule.id == "ipv4" && is_builtin(rule)? {
            self.wanted.addresses = true;
        } else if is_announced(rule) {
            for word in &rule.keywords {
                self.keyword(rule, word);
            }
        } else {
            self.always.push(compile(rule)?);
        }
        Ok(())
    }

    /// A keyword that is a word of the lexicon is looked for as such.
    fn keyword(&mut self, rule: &Rule, keyword: &str) {
        let is_looked_for = self.has_words && !keyword.contains(' ');
        if !is_looked_for || classify(keyword) < Naming::Strong {
            let exact = !rule.pattern.contains("(?i") && rule.pattern.contains(keyword);
            let trigger = if rule.whole_words {
                Trigger::WholeWord
            } else {
                Trigger::Keyword(exact.then(|| keyword.to_owned()))
            };
            self.add(keyword, trigger);
        }
    }
}

/// Literals of carriers and views, which are no words.
const LITERALS: &[(&str, Trigger)] = &[
    ("://", Trigger::Url),
    ("@tcp(", Trigger::Deep),
    ("@(", Trigger::Deep),
    ("@unix(", Trigger::Deep),
    ("@udp(", Trigger::Deep),
    ("configmap", Trigger::Deep),
    ("config map", Trigger::Deep),
    ("stringdata", Trigger::Deep),
    ("\"kty\"", Trigger::Deep),
    ("sensitive", Trigger::Deep),
    ("securestring", Trigger::Deep),
    ("plainloginmodule", Trigger::Deep),
    ("chpasswd", Trigger::Deep),
    ("session_id", Trigger::Deep),
    ("session-id", Trigger::Deep),
    ("session.id", Trigger::Deep),
    ("session id", Trigger::Deep),
    ("slappasswd", Trigger::Deep),
    ("agentcommunity", Trigger::Deep),
    ("community=", Trigger::Deep),
    ("opaque", Trigger::Deep),
    ("%2b", Trigger::Deep),
    ("community_string", Trigger::Deep),
    ("communitystring", Trigger::Deep),
    ("snmp_community", Trigger::Deep),
    ("::", Trigger::Colons),
    ("[0m", Trigger::Deep),
    ("\\u0", Trigger::Deep),
    ("values (", Trigger::Deep),
    ("values(", Trigger::Deep),
    ("%40", Trigger::Deep),
    ("%3a", Trigger::Deep),
    ("%3d", Trigger::Deep),
    ("%22", Trigger::Deep),
    ("%7b", Trigger::Deep),
    ("%4", Trigger::Escape),
    ("%5", Trigger::Escape),
    ("%6", Trigger::Escape),
    ("%7", Trigger::Escape),
    ("\\x", Trigger::Escape),
    ("\\u2", Trigger::Escape),
    ("\\uf", Trigger::Escape),
    ("&#", Trigger::Escape),
    ("stdout p ", Trigger::Deep),
    ("stderr p ", Trigger::Deep),
    ("-pin ", Trigger::Deep),
    ("-pin=", Trigger::Deep),
    ("-pin\"", Trigger::Deep),
    ("-p", Trigger::Option),
    ("--user", Trigger::Option),
    ("--proxy-user", Trigger::Option),
];

/// What follows an option of one letter.
pub(crate) const OPTION_ENDS: [char; 6] = [' ', '"', '\'', '=', ',', '\\'];

/// Everything that the gate looks for.
pub(crate) fn triggers(rules: &Rules) -> Result<Triggers, RuleError> {
    let mut found = Triggers {
        has_words: true,
        ..Triggers::default()
    };
    let (mut whole, mut endings) = (
        BTreeSet::new(),
        WORDS.iter().copied().collect::<BTreeSet<_>>(),
    );
    for (section, word) in words() {
        match section {
            Section::Password | Section::Strong | Section::Weak | Section::Vendor => {
                whole.insert(word);
            }
            Section::PasswordEnding | Section::StrongEnding | Section::WeakEnding => {
                endings.insert(word);
            }
            _ => {}
        }
    }
    let is_hint = |word: &str| {
        classify(word) == Naming::Weak && !word.ends_with("key") && !word.ends_with("keys")
    };
    for word in whole.difference(&endings) {
        let hint = is_hint(word).then_some(Trigger::Hint { ending: false });
        found.add(word, hint.unwrap_or(Trigger::Word));
    }
    for word in &endings {
        let hint = is_hint(word).then_some(Trigger::Hint { ending: true });
        found.add(word, hint.unwrap_or(Trigger::Ending));
    }
    for (option, mark) in ["-u", "-a", "-w", "-k", "-x"]
        .iter()
        .flat_map(|o| OPTION_ENDS.map(|end| (o, end)))
    {
        found.add(&format!("{option}{mark}"), Trigger::Option);
    }
    for (literal, trigger) in LITERALS {
        found.add(literal, trigger.clone());
    }
    for rule in rules.active() {
        found.rule(rule)?;
    }
    Ok(found)
}

/// What formats of secrets need, without the names of carriers.
pub(crate) fn format_triggers(rules: &Rules) -> Result<Triggers, RuleError> {
    let mut found = Triggers::default();
    for rule in rules.active().filter(|rule| rule.class == Class::Secret) {
        found.rule(rule)?;
    }
    found.wanted = Wanted::default();
    Ok(found)
}
