//! The first look at a text: which lines can hold anything at all.
//!
//! Nearly every line of a log is harmless, and reading each with every carrier and every rule costs a
//! hundred times as much as seeing that there is nothing to read. So one pass looks for what every find
//! needs: a word of the lexicon that names a value, a literal that a rule cannot do without, a run of
//! characters that is long and mixed enough for a token, the digits of personal data. A line without any
//! of these is clean by construction: no carrier, rule or view can find something in it. Lines with no
//! more than IPv4 addresses are answered here. The rest is read in full.
//!
//! The gate may say too often that a line must be read, never too seldom: the tests compare it with the
//! full reading of the same lines.

use regex::bytes::Regex;

use crate::engine::{Hit, Strength};
use crate::gate_runs::{self, Runs};
use crate::gate_words::{self, Trigger};
use crate::literals::Literals;
use crate::rarity::is_lone_line;
use crate::rules::{RuleError, Rules};

/// What a line needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing can be found in it.
    Clean,
    /// Nothing but the addresses that were appended.
    Addresses,
    /// Everything has to look at it.
    Deep,
}

/// The compiled first look.
#[derive(Debug)]
pub(crate) struct Gate {
    literals: Literals,
    triggers: Vec<Trigger>,
    /// Rules that no literal and no long run announces.
    always: Vec<Regex>,
    /// IPv4 addresses are taken out, by the rule that comes with this crate.
    addresses: bool,
}

impl Gate {
    pub(crate) fn new(rules: &Rules) -> Result<Self, RuleError> {
        let found = gate_words::triggers(rules)?;
        Ok(Self {
            literals: Literals::new(&found.patterns),
            triggers: found.meanings,
            always: found.always,
            addresses: found.addresses,
        })
    }

    /// What the line `start..end` of a text needs; appends its addresses if it needs no more.
    pub(crate) fn read(
        &self,
        text: &str,
        start: usize,
        end: usize,
        addresses: &mut Vec<Hit>,
    ) -> Verdict {
        let first = addresses.len();
        let runs = gate_runs::read(text, start, end, |from, to| {
            if self.addresses {
                addresses.push(Hit::new(from, to, "ip", "ipv4", Strength::Personal));
            }
        });
        let deep = runs == Runs::Deep
            || self.has_trigger(text, start, end)
            || is_lone_line(&text[start..end])
            || self
                .always
                .iter()
                .any(|rule| rule.is_match(&text.as_bytes()[start..end]));
        if deep {
            addresses.truncate(first);
            Verdict::Deep
        } else if addresses.len() > first {
            Verdict::Addresses
        } else {
            Verdict::Clean
        }
    }

    fn has_trigger(&self, text: &str, start: usize, end: usize) -> bool {
        let holds = |literal: usize, from: usize, to: usize| {
            gate_words::holds(&self.triggers[literal], text, (start, end), from, to)
        };
        self.literals.any(text.as_bytes(), start, end, holds)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::Engine;
    use crate::learn::Learnt;

    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(&Rules::builtin().unwrap()).unwrap());

    fn verdict(gate: &Gate, text: &str) -> Verdict {
        gate.read(text, 0, text.len(), &mut Vec::new())
    }

    #[test]
    fn every_example_of_every_rule_is_read() {
        let rules = Rules::builtin().unwrap();
        let gate = Gate::new(&rules).unwrap();
        for rule in &rules.rules {
            for example in &rule.examples {
                let stopped = example
                    .lines()
                    .any(|line| verdict(&gate, line) != Verdict::Clean);
                assert!(stopped, "{}: {example}", rule.id);
            }
        }
    }

    #[test]
    fn what_a_rule_of_somebody_finds_is_read() {
        let rule = |keywords: &str, pattern: &str| {
            let yaml = format!(
                "rules: [{{id: own, description: d, kind: own, keywords: {keywords}, pattern: '{pattern}', examples: [x]}}]"
            );
            Gate::new(&Rules::parse(&yaml).unwrap()).unwrap()
        };
        for (keywords, pattern) in [
            ("[]", "z[0-9]"),
            ("[z]", "z[0-9]"),
            ("[case]", "case z[0-9]"),
        ] {
            let gate = rule(keywords, pattern);
            assert_eq!(verdict(&gate, "a case z7 b"), Verdict::Deep, "{keywords}");
            assert_eq!(verdict(&gate, "a cas y7 b"), Verdict::Clean, "{keywords}");
        }
    }

    #[test]
    fn ordinary_lines_are_not_read() {
        let gate = Gate::new(&Rules::builtin().unwrap()).unwrap();
        for (line, expected) in [
            (
                "Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for root port 38926 ssh2",
                Verdict::Clean,
            ),
            (
                "081109 203615 148 INFO dfs.DataNode: blk_38865049064139660 terminating",
                Verdict::Clean,
            ),
            (
                "session opened for user root by (uid=0), max_tokens=4096",
                Verdict::Clean,
            ),
            (
                "GET /api/v1/keys HTTP/1.1 200 sid=17 code 3 auth ok",
                Verdict::Clean,
            ),
            ("connect to 10.1.2.3:80 refused", Verdict::Addresses),
            ("password=x9", Verdict::Deep),
            ("dbPassword: x9", Verdict::Deep),
            (r#"\"api_key\": \"abcd\""#, Verdict::Deep),
            (
                r#"{"name":"SENTRY_DSN","value":"a1b2c3d4e5f6g7h8"}"#,
                Verdict::Deep,
            ),
            ("mysql -u app -px9", Verdict::Deep),
            ("curl -u app:x9 http://h/", Verdict::Deep),
            ("redis://:x9@h/0", Verdict::Deep),
        ] {
            assert_eq!(verdict(&gate, line), expected, "{line}");
        }
    }

    /// Pieces that lines with and without secrets are made of.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "password",
                "token",
                "api_key",
                "Authorization",
                "key",
                "auth",
                "session",
                "dsn",
                "secretName",
                "max_tokens",
                "sentry",
                "PASSWORD",
                "login",
                "-u",
                "-p",
                "--user",
                "--api-key",
                "mysql ",
                "curl ",
                "redis-cli ",
                "-a",
                "=",
                ": ",
                ":",
                "\"",
                "'",
                "\\\"",
                " ",
                ", ",
                "{\"name\":\"",
                "\",\"value\":\"",
                "\"}",
                "://",
                "u:",
                "@",
                "h.example.com",
                "<password>",
                "</password>",
                "Bearer ",
                " is ",
                "%3D",
                "%40",
                "(",
                ")",
                "[",
                "]",
                "|",
                "10.1.2.3",
                "::1",
                "2001:db8::7",
                "4111 1111 1111 1111",
                "+44 20 7946 0958",
                "a@b.example.com",
                "00:1a:2b:3c:4d:5e",
                "DE89 3704 0044 0532 0130 00",
                "configmap \"",
                "secret \"",
                "\" not found",
                "AKIAQYLPMN5HHHFPZAM2",
                "ghp_",
                "cGFzc3dvcmQ9aHVudGVyMgo=",
                "<secret:abcdef>",
                "123e4567-e89b-12d3-a456-426614174000",
            ])
            .prop_map(str::to_owned),
            "[a-zA-Z0-9]{1,30}",
            "[a-f0-9]{16,40}",
            "[ -~]{0,8}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// The gate is the only thing between a line and everything that reads it.
        #[test]
        fn what_a_full_reading_finds_is_read(pieces in prop::collection::vec(piece(), 1..9)) {
            let text = pieces.concat();
            let hits = ENGINE.scan(&text, &Learnt::default());
            if let Some(hit) = hits.first() {
                let verdict = verdict(&ENGINE.gate, &text);
                let found = &text[hit.start..hit.end];
                let address = hits.iter().all(|hit| hit.rule == "ipv4");
                prop_assert!(
                    verdict == Verdict::Deep || address && verdict == Verdict::Addresses,
                    "{} ({}) in {:?}", found, hit.rule, text
                );
            }
        }
    }
}
