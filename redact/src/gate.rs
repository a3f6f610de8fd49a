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

mod bits;
pub(crate) mod part;
pub(crate) mod rules;
pub(crate) mod runs;
mod triggers;
mod values;
mod words;

use std::ops::Range;

use regex::bytes::Regex;

use self::rules::is_whole_word;
use self::runs::Sign;
use self::triggers::{Trigger, Triggers, Wanted, format_triggers, triggers};
use crate::literals::Literals;
use crate::rarity::is_lone_line;
use crate::rules::{RuleError, Rules};

/// How much is looked at before anything of it is read, so that it stays in the fast caches.
const CHUNK: usize = 8 << 10;

/// What a line needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing can be found in it.
    Clean,
    /// The rules of personal data have to look at it, and nothing else.
    Personal,
    /// What needs no words has to look at it.
    Token,
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
    wanted: Wanted,
    /// Whether nothing but formats of secrets is looked for.
    formats_only: bool,
}

/// A line that has to be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) range: Range<usize>,
    pub(crate) verdict: Verdict,
}

impl Gate {
    pub(crate) fn new(rules: &Rules) -> Result<Self, RuleError> {
        Ok(Self::of(triggers(rules)?))
    }

    /// Stops only what may have a known format of a secret.
    pub(crate) fn for_formats(rules: &Rules) -> Result<Self, RuleError> {
        Ok(Self {
            formats_only: true,
            ..Self::of(format_triggers(rules)?)
        })
    }

    fn of(found: Triggers) -> Self {
        Self {
            literals: Literals::new(&found.patterns, |literal| {
                matches!(found.meanings[literal], Trigger::WholeWord)
            }),
            triggers: found.meanings,
            always: found.always,
            wanted: found.wanted,
            formats_only: false,
        }
    }

    pub(crate) fn reader<'a>(&'a self, text: &'a str) -> Reader<'a> {
        Reader {
            gate: self,
            text,
            chunk_end: 0,
            words: Signs::default(),
            runs: Signs::default(),
            lines: Signs::default(),
        }
    }

    /// What a literal says about its line.
    fn sign_of(
        &self,
        literal: usize,
        text: &str,
        line: &Range<usize>,
        at: Range<usize>,
    ) -> Option<Sign> {
        let trigger = &self.triggers[literal];
        let holds = words::holds(trigger, text, (line.start, line.end), at.start, at.end);
        match trigger {
            _ if !holds => None,
            Trigger::Colons => self.wanted.network.then_some(Sign::Network),
            _ => Some(Sign::Deep),
        }
    }
}

/// Signs with their places, in order, and how many of them are behind.
#[derive(Debug, Default)]
struct Signs {
    found: Vec<(usize, Sign)>,
    next: usize,
}

impl Signs {
    fn clear(&mut self) {
        self.found.clear();
        self.next = 0;
    }

    fn push(&mut self, at: usize, sign: Sign) {
        self.found.push((at, sign));
    }

    /// Where the next one is that is not before `at`.
    fn place(&mut self, at: usize) -> Option<usize> {
        while self.found.get(self.next).is_some_and(|sign| sign.0 < at) {
            self.next += 1;
        }
        self.found.get(self.next).map(|sign| sign.0)
    }

    /// The next one before `end`.
    fn take(&mut self, end: usize) -> Option<Sign> {
        let (at, sign) = self.found.get(self.next)?;
        (*at < end).then(|| {
            self.next += 1;
            sign.clone()
        })
    }
}

/// The lines of a text that are not clean, one after the other.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    gate: &'a Gate,
    text: &'a str,
    /// The first line that nothing has looked at.
    chunk_end: usize,
    words: Signs,
    runs: Signs,
    lines: Signs,
}

impl Reader<'_> {
    /// The first line from `at` on, the beginning of a line, that has to be read. Appends the IPv4 addresses
    /// of the clean lines before it.
    pub(crate) fn next(
        &mut self,
        mut at: usize,
        addresses: &mut Vec<Range<usize>>,
    ) -> Option<Line> {
        while at < self.text.len() {
            if at >= self.chunk_end {
                self.look(at);
            }
            let places = [
                self.words.place(at),
                self.runs.place(at),
                self.lines.place(at),
            ];
            let Some(place) = places.into_iter().flatten().min() else {
                at = self.chunk_end;
                continue;
            };
            let line = line_around(self.text, place);
            let before = addresses.len();
            let verdict = self.read(&line, addresses);
            if verdict > Verdict::Clean {
                addresses.truncate(before);
                return Some(Line {
                    range: line,
                    verdict,
                });
            }
            at = line.end;
        }
        None
    }

    /// What a line needs; appends its IPv4 addresses.
    fn read(&mut self, line: &Range<usize>, addresses: &mut Vec<Range<usize>>) -> Verdict {
        let mut verdict = Verdict::Clean;
        for signs in [&mut self.words, &mut self.runs, &mut self.lines] {
            signs.place(line.start);
            while let Some(sign) = signs.take(line.end) {
                let says = match sign {
                    Sign::Deep => Verdict::Deep,
                    Sign::Token => Verdict::Token,
                    Sign::Personal | Sign::Network => Verdict::Personal,
                    Sign::Address(address) => {
                        addresses.push(address);
                        Verdict::Clean
                    }
                };
                verdict = verdict.max(says);
            }
        }
        let bytes = &self.text.as_bytes()[line.clone()];
        // JSON, or what may be escaped, has other readings.
        let has_others = match verdict {
            Verdict::Token => memchr::memchr2(b'\\', b'{', bytes).is_some(),
            Verdict::Personal => memchr::memchr(b'\\', bytes).is_some(),
            Verdict::Clean | Verdict::Deep => false,
        };
        if has_others {
            verdict = Verdict::Deep;
        }
        verdict
    }

    /// Looks at the lines from `start` on, so many that they stay in the fast caches.
    fn look(&mut self, start: usize) {
        let (gate, text) = (self.gate, self.text);
        let bytes = text.as_bytes();
        let end = line_end(text, (start + CHUNK).min(text.len().saturating_sub(1)));
        self.chunk_end = end;
        for signs in [&mut self.words, &mut self.runs, &mut self.lines] {
            signs.clear();
        }
        self.look_at_runs(start..end);
        let mut line = start..start;
        gate.literals.find(bytes, start, end, |literal, from, to| {
            // Most are parts of other words, which needs no look at their line.
            let is_word = matches!(gate.triggers[literal], Trigger::WholeWord);
            if is_word && !is_whole_word(bytes, from, to) {
                return 0;
            }
            if from >= line.end {
                line = line_around(text, from);
            }
            let content = line.start..content_end(text, line.start, line.end);
            let sign = gate.sign_of(literal, text, &content, from..to);
            let go_on = if sign == Some(Sign::Deep) {
                line.end
            } else {
                0
            };
            if let Some(sign) = sign {
                self.words.push(from, sign);
            }
            go_on
        });
        if !gate.formats_only || !gate.always.is_empty() {
            self.look_at_lines(start..end);
        }
    }

    fn look_at_runs(&mut self, range: Range<usize>) {
        let (gate, text) = (self.gate, self.text);
        if gate.formats_only {
            runs::tokens(text, range, |at| self.runs.push(at, Sign::Token));
            return;
        }
        runs::scan(text, range, |at, sign| {
            let wanted = match sign {
                Sign::Address(_) => gate.wanted.addresses,
                Sign::Network => gate.wanted.network,
                Sign::Personal | Sign::Token | Sign::Deep => true,
            };
            if wanted {
                self.runs.push(at, sign);
            }
        });
    }

    fn look_at_lines(&mut self, Range { start, end }: Range<usize>) {
        let (gate, text) = (self.gate, self.text);
        let bytes = text.as_bytes();
        let mut at = start;
        for feed in memchr::memchr_iter(b'\n', &bytes[start..end]).chain([end - start]) {
            let content = &text[at..start + feed];
            let bytes = content.as_bytes();
            if gate.always.iter().any(|rule| rule.is_match(bytes)) {
                self.lines.push(at, Sign::Deep);
            } else if !gate.formats_only && may_be_lone(bytes) && is_lone_line(content) {
                self.lines.push(at, Sign::Token);
            }
            at = (start + feed + 1).min(end);
        }
    }
}

/// Whether a line has no space between its words, a quick look at what [`is_lone_line`] asks.
fn may_be_lone(line: &[u8]) -> bool {
    if line.len() < 16 {
        return false;
    }
    let lead = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'#' | b'"' | b'\'');
    let content = line.trim_ascii_end();
    let start = content.iter().take_while(|b| lead(b)).count();
    memchr::memchr(b' ', &content[start..]).is_none()
}

/// The line that has this byte in it, with its line feed.
pub(crate) fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = memchr::memrchr(b'\n', &text.as_bytes()[..at]).map_or(0, |feed| feed + 1);
    start..line_end(text, at)
}

/// The byte after the line that has this byte in it, its line feed included.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    runs::line_end(text.as_bytes(), at)
}

fn content_end(text: &str, start: usize, end: usize) -> usize {
    start + text[start..end].trim_end_matches(['\n', '\r']).len()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::{Engine, Strength};
    use crate::gate::runs::Kinds;
    use crate::learn::Learnt;
    use crate::rules::{Class, Options};

    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(&Rules::builtin().unwrap()).unwrap());

    fn verdict(gate: &Gate, text: &str) -> Verdict {
        let line = gate.reader(text).next(0, &mut Vec::new());
        line.map_or(Verdict::Clean, |line| line.verdict)
    }

    fn addresses<'a>(gate: &Gate, text: &'a str) -> Vec<&'a str> {
        let mut addresses = vec![];
        gate.reader(text).next(0, &mut addresses);
        addresses.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn every_example_of_every_rule_is_read() {
        let rules = Rules::builtin().unwrap();
        let rules = rules.with_options(Options::EVERYTHING);
        let (gate, formats) = (
            Gate::new(&rules).unwrap(),
            Gate::for_formats(&rules).unwrap(),
        );
        let is_stopped = |line: &str| verdict(&formats, line) >= Verdict::Token;
        for rule in &rules.rules {
            for example in &rule.examples {
                let stopped = example.lines().any(|line| {
                    verdict(&gate, line) != Verdict::Clean || !addresses(&gate, line).is_empty()
                });
                assert!(stopped, "{}: {example}", rule.id);
                let stopped = rule.class != Class::Secret || example.lines().any(is_stopped);
                assert!(stopped, "{} as a format: {example}", rule.id);
                let lower = example.to_ascii_lowercase();
                let is_tried = |keyword: &String| {
                    let by_itself =
                        rule.class != Class::Secret || crate::gate::rules::announces(keyword);
                    by_itself && lower.contains(&keyword.to_ascii_lowercase())
                };
                let tried = !rule.near_token
                    || rule.keywords.iter().any(is_tried)
                    || Kinds::of(example) != Kinds::default();
                assert!(tried, "{} needs no token: {example}", rule.id);
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
            ("connect to 10.1.2.3:80 refused", Verdict::Clean),
            (
                "365140 node-69 unix.hw net.niff.down 1085075228 1 NIFF: node node-69 is gone",
                Verdict::Clean,
            ),
            (
                "Processed session termination for sessionid: 0x14ede63a5a7001b",
                Verdict::Clean,
            ),
            (
                "Expiring session 0x24ede63a01b003b, timeout of 10000ms exceeded",
                Verdict::Clean,
            ),
            ("IO80211AWDLPeerManager::setAwdlAutoMode", Verdict::Clean),
            ("sessionid: 0x14ede63a5a7001b00", Verdict::Deep),
            ("sessionid: 14ede63a5a7001b", Verdict::Deep),
            ("password: 0x14ede63a5a7001b", Verdict::Deep),
            ("user nif 12345678Z", Verdict::Deep),
            ("mac 00:1a:2b:3c:4d:5e", Verdict::Personal),
            ("from 2001:db8::1", Verdict::Personal),
            ("mail jane.doe@example.com", Verdict::Personal),
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
            ("!Bearer auth:aaAa", Verdict::Deep),
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
                "sessionid",
                "0x14ede63a5a7001b",
                "IO80211AWDLPeerManager",
                "nif",
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
                ";",
                "\\n",
                "{\"a\":\"",
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
                "tokens {",
                "}",
                "<%= ",
                " %>",
                "{{ ",
                " }}",
                "PlainLoginModule",
                "user_a=",
                "pass\\u0077ord",
                "\\u200b",
                "\\x70",
                "%70",
                "&#112;",
                "auth_pass ",
                ",\"system:",
                " | chpasswd",
                "checksum/",
                "taxFileNumber",
                "123456782",
                "ИНН",
                "7707083893",
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
            let verdict = verdict(&ENGINE.gate, &text);
            let addresses = addresses(&ENGINE.gate, &text);
            for hit in &hits {
                let found = &text[hit.start..hit.end];
                let enough = match hit.strength {
                    _ if addresses.contains(&found) => Verdict::Clean,
                    Strength::Personal => Verdict::Personal,
                    Strength::Random | Strength::Format => Verdict::Token,
                    _ if hit.rule == "base64" => Verdict::Token,
                    _ => Verdict::Deep,
                };
                prop_assert!(verdict >= enough, "{} ({}) in {:?}", found, hit.rule, text);
            }
            if let Some(hit) = ENGINE.scan_formats(&text).first() {
                let is_stopped = self::verdict(&ENGINE.formats_gate, &text) >= Verdict::Token;
                prop_assert!(is_stopped, "{} in {:?}", hit.rule, text);
            }
        }
    }
}
