use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use crate::document::{self, Piece};
use crate::egress::{self, Leak};
use crate::engine::{Engine, Hit, Strength};
use crate::finding::{Finding, ObjectFinding, RedactedText, Report};
use crate::injection::Detector;
use crate::learn::Learnt;
use crate::object;
use crate::placeholder::{Pseudonyms, lookalikes};
use crate::rules::{RuleError, Rules};
use crate::segment;
use crate::splice::Draft;
use crate::value::looks_random;

/// How often a text is scanned again because taking something out has uncovered something else.
const ROUNDS: usize = 6;

/// What is withheld rather than read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub text_bytes: usize,
    /// Most finds in one text or object.
    pub findings: usize,
    /// Deepest object.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 4 << 20,
            findings: 20_000,
            depth: 64,
        }
    }
}

/// The compiled rules; makes one session per incident. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor {
    engine: Arc<Engine>,
    detector: Detector,
    limits: Limits,
}

impl Redactor {
    /// Compiles the rules.
    pub fn new(rules: impl AsRef<Rules>) -> Result<Self, RuleError> {
        let engine = Arc::new(Engine::new(rules.as_ref())?);
        Ok(Self {
            engine,
            detector: Detector::builtin()?,
            limits: Limits::default(),
        })
    }

    /// The same rules with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A session for one incident. Placeholders of different keys have nothing in common.
    pub fn session(&self, key: &[u8]) -> Session {
        Session {
            engine: Arc::clone(&self.engine),
            detector: self.detector.clone(),
            limits: self.limits,
            pseudonyms: Pseudonyms::new(key),
            learnt: Learnt::default(),
            report: Report::default(),
            quiet: false,
        }
    }
}

/// Everything that belongs to one incident: placeholders, what was learnt, the report.
pub struct Session {
    engine: Arc<Engine>,
    pub(crate) detector: Detector,
    pub(crate) limits: Limits,
    pseudonyms: Pseudonyms,
    learnt: Learnt,
    report: Report,
    /// While learning, nothing is counted.
    quiet: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("learnt", &self.learnt)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Remembers the secret values and the names of Secrets and `ConfigMaps` of an object, so that they are
    /// found in every text and object that follows. Call it for all objects before redacting the first.
    pub fn learn_object(&mut self, object: &Value) {
        let quiet = std::mem::replace(&mut self.quiet, true);
        for name in object::public_names(object) {
            self.learnt.public(&name);
        }
        object::redact(self, object.clone());
        self.quiet = quiet;
    }

    /// Remembers the secrets of a text, so that they are found in every text that follows.
    pub fn learn_text(&mut self, text: &str) {
        let quiet = std::mem::replace(&mut self.quiet, true);
        self.redact_text(text);
        self.quiet = quiet;
    }

    /// Redacts a text of any form: log lines, messages, manifests.
    pub fn redact_text(&mut self, text: &str) -> RedactedText {
        self.redact_text_at(text, "text")
    }

    /// Redacts a text and counts what is found under a place of the report.
    pub fn redact_text_at(&mut self, text: &str, place: &str) -> RedactedText {
        if text.len() > self.limits.text_bytes {
            return self.withhold_text(text, "too-long", place);
        }
        if let Some(redacted) = object::redact_manifest(self, text) {
            return redacted;
        }
        match self.rounds(text) {
            Ok((redacted, findings)) => {
                for finding in &findings {
                    self.count(&finding.kind, &finding.rule, place);
                }
                RedactedText {
                    text: redacted,
                    findings,
                }
            }
            Err(reason) => self.withhold_text(text, reason, place),
        }
    }

    /// Reads every part of a text that is not clean until nothing more is found in it.
    fn rounds(&mut self, text: &str) -> Result<(String, Vec<Finding>), &'static str> {
        self.learnt.refresh();
        let split = || segment::parts(&self.engine.gate, text, &self.learnt.places(text));
        let parts = catch_unwind(AssertUnwindSafe(split)).map_err(|_| "internal-error")?;
        let mut pieces = document::pieces(text, parts);
        for _ in 0..ROUNDS {
            let mut found = 0;
            for piece in &mut pieces {
                found += self.round(text, piece)?;
                if found > self.limits.findings {
                    return Err("too-many-findings");
                }
            }
            if self.learnt.is_dirty() {
                self.learnt.refresh();
                pieces = document::reopen(text, pieces, |part| self.learnt.places(part));
            }
            let is_open = |piece: &Piece| matches!(piece, Piece::Hot(hot) if hot.open);
            if !pieces.iter().any(is_open) {
                return Ok(document::joined(text, pieces));
            }
        }
        Err("unstable")
    }

    /// Looks at a part once more; how much was taken out of it so far.
    fn round(&mut self, text: &str, piece: &mut Piece) -> Result<usize, &'static str> {
        match piece {
            Piece::Clean(_) => Ok(0),
            Piece::Addresses(_, hits, placeholders) => {
                for hit in hits.iter().skip(placeholders.len()) {
                    let placeholder = self.placeholder(&hit.kind, &text[hit.start..hit.end]);
                    placeholders.push(placeholder);
                }
                Ok(hits.len())
            }
            Piece::Hot(hot) if hot.open => {
                let hits = self.find(&hot.draft.text).ok_or("internal-error")?;
                hot.open = !hits.is_empty();
                if hot.open {
                    hot.draft = self.splice(&hot.draft, hits, &mut hot.findings);
                }
                Ok(hot.findings.len())
            }
            Piece::Hot(hot) => Ok(hot.findings.len()),
        }
    }

    /// Redacts a JSON value: a Kubernetes object by its schema, anything else as free text.
    pub fn redact_object(&mut self, object: Value) -> (Value, Vec<ObjectFinding>) {
        self.learn_object(&object);
        object::redact(self, object)
    }

    /// Searches the final bytes of a message for every value and name that was learnt or taken out: as such,
    /// JSON-escaped, percent-encoded, in base64.
    pub fn egress_check(&self, bytes: &[u8]) -> Result<(), Leak> {
        egress::check(bytes, &self.learnt, |text| self.pseudonyms.is_issued(text))
    }

    /// What was taken out so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Remembers a value that is secret.
    pub fn learn_value(&mut self, value: &str) {
        self.learnt.value(value, "secret");
    }

    pub(crate) fn learn_public(&mut self, name: &str) {
        self.learnt.public(name);
    }

    pub(crate) fn learn_name(&mut self, name: &str, kind: &str) {
        self.learnt.name(name, kind);
    }

    pub(crate) fn placeholder(&mut self, kind: &str, value: &str) -> String {
        self.pseudonyms.placeholder(kind, value)
    }

    pub(crate) fn is_placeholder(&self, text: &str) -> bool {
        self.pseudonyms.is_issued(text)
    }

    pub(crate) fn has_placeholder(&self, text: &str) -> bool {
        lookalikes(text)
            .into_iter()
            .any(|(start, end)| self.is_placeholder(&text[start..end]))
    }

    pub(crate) fn withheld(&mut self, reason: &str) -> String {
        self.pseudonyms.withheld(reason)
    }

    pub(crate) fn count(&mut self, kind: &str, rule: &str, place: &str) {
        if !self.quiet {
            self.report.add(kind, rule, place);
        }
    }

    fn withhold_text(&mut self, text: &str, reason: &str, place: &str) -> RedactedText {
        self.count("withheld", reason, place);
        let finding = Finding {
            rule: reason.to_owned(),
            kind: "withheld".to_owned(),
            start: 0,
            end: text.len(),
        };
        RedactedText {
            text: self.withheld(reason),
            findings: vec![finding],
        }
    }

    /// What is to be taken out of a text, without our own placeholders.
    /// Nothing if the search fails, which is a bug: the text must then not pass.
    fn find(&mut self, text: &str) -> Option<Vec<Hit>> {
        let looks = lookalikes(text);
        let (own, forged): (Vec<_>, Vec<_>) = looks
            .into_iter()
            .partition(|&(start, end)| self.is_placeholder(&text[start..end]));
        let blank = masked(text, &own);
        let search = AssertUnwindSafe(|| self.engine.scan(&blank, &self.learnt));
        let mut hits = catch_unwind(search).ok()?;
        for hit in &mut hits {
            hit.start = text.floor_char_boundary(hit.start);
            hit.end = text.ceil_char_boundary(hit.end);
        }
        let forged = forged.into_iter().filter(|&(start, end)| {
            let kind = text[start + 1..end].split(':').next().unwrap_or_default();
            self.engine.is_kind(kind)
        });
        let forged: Vec<Hit> = forged
            .map(|(start, end)| Hit::new(start, end, "forged", "placeholder", Strength::Format))
            .collect();
        if !forged.is_empty() {
            hits.extend(forged);
            hits = crate::engine::merge(hits);
        }
        if hits.iter().any(is_guessed) {
            let names = self.learnt.public_spans(text);
            let is_within = |hit: &Hit| {
                let mut names = names.iter();
                names.any(|name| name.start < hit.start && hit.end <= name.end)
            };
            hits.retain(|hit| !(is_guessed(hit) && is_within(hit)));
        }
        Some(
            hits.into_iter()
                .filter_map(|hit| clear_of(hit, &own, text))
                .collect(),
        )
    }

    fn splice(&mut self, earlier: &Draft, hits: Vec<Hit>, findings: &mut Vec<Finding>) -> Draft {
        let mut draft = Draft::empty(earlier.text.len());
        let mut fresh: Vec<Finding> = Vec::with_capacity(hits.len());
        let mut at = 0;
        for hit in hits {
            if hit.start < at {
                // Left to the next round.
                continue;
            }
            draft.copy(earlier, at, hit.start);
            let (start, end) = earlier.origin(hit.start, hit.end);
            let value = hit
                .value
                .unwrap_or_else(|| earlier.text[hit.start..hit.end].to_owned());
            if hit.strength >= Strength::Carrier && is_worth_learning(&value) {
                self.learnt.value(&value, &hit.kind);
            }
            let placeholder = self.placeholder(&hit.kind, &value);
            let quote = if hit.bare { "\"" } else { "" };
            draft.replace((start, end), &format!("{quote}{placeholder}{quote}"));
            fresh.push(Finding {
                rule: hit.rule,
                kind: hit.kind,
                start,
                end,
            });
            at = hit.end;
        }
        draft.copy(earlier, at, earlier.text.len());
        findings.retain(|old| {
            let index = fresh.partition_point(|new| new.end < old.end);
            fresh.get(index).is_none_or(|new| new.start > old.start)
        });
        findings.append(&mut fresh);
        draft
    }
}

/// Whether only the words around it, or its looks, make a find a secret. The end of an object's name
/// that has such a word in it (`orders-secret-76974db858-m2xkq`) is none.
fn is_guessed(hit: &Hit) -> bool {
    matches!(hit.strength, Strength::Carrier | Strength::Random)
}

/// The text with our own placeholders blanked: `<*****>` is a value to no carrier.
fn masked<'a>(text: &'a str, own: &[(usize, usize)]) -> Cow<'a, str> {
    if own.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for &(start, end) in own {
        masked.push_str(&text[at..start]);
        masked.push('<');
        masked.extend(std::iter::repeat_n('*', end - start - 2));
        masked.push('>');
        at = end;
    }
    masked.push_str(&text[at..]);
    Cow::Owned(masked)
}

/// A find that is more than our own placeholders.
fn clear_of(mut hit: Hit, own: &[(usize, usize)], text: &str) -> Option<Hit> {
    let own = &own[own.partition_point(|&(_, end)| end <= hit.start)..];
    let own = &own[..own.partition_point(|&(start, _)| start < hit.end)];
    let (Some(&(first, _)), Some(&(_, last))) = (own.first(), own.last()) else {
        return Some(hit);
    };
    if first < hit.start {
        return None;
    }
    let outside = |part: &str| part.bytes().any(|b| b.is_ascii_alphanumeric());
    let before = text.get(hit.start..first).unwrap_or_default();
    let after = text.get(last..hit.end).unwrap_or_default();
    let between = own
        .windows(2)
        .any(|pair| outside(&text[pair[0].1..pair[1].0]));
    if !outside(before) && !outside(after) && !between {
        return None;
    }
    hit.end = hit.end.max(last);
    Some(hit)
}

/// Whether a value found in a text is searched for in other texts: not an ordinary word.
fn is_worth_learning(value: &str) -> bool {
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    (value.len() >= 8 && digits && letters) || looks_random(value)
}
