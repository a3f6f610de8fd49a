use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::document::Readings;
use crate::egress::{self, Known, Leak, Proved};
use crate::engine::Engine;
use crate::finding::{Finding, ObjectFinding, RedactedText, Report};
use crate::injection::Detector;
use crate::learn::Learnt;
use crate::object;
use crate::placeholder::{Pseudonyms, lookalikes, replace};
use crate::rules::{RuleError, Rules};

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

    /// Every kind that a placeholder can have.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.engine.kinds()
    }

    /// A session for one incident. Placeholders of different keys have nothing in common.
    pub fn session(&self, key: &[u8]) -> Session {
        Session {
            engine: Arc::clone(&self.engine),
            detector: self.detector.clone(),
            limits: self.limits,
            pseudonyms: Pseudonyms::new(key),
            learnt: Learnt::default(),
            readings: Readings::default(),
            proved: None,
            report: Report::default(),
            quiet: false,
            until: None,
            #[cfg(test)]
            work: 0,
        }
    }
}

/// Everything that belongs to one incident: placeholders, what was learnt, the report.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) detector: Detector,
    pub(crate) limits: Limits,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) learnt: Learnt,
    /// Texts that were learnt and not yet redacted.
    pub(crate) readings: Readings,
    /// A part of a message that was searched, and need not be again.
    proved: Option<Proved>,
    report: Report,
    /// While learning, nothing is counted.
    quiet: bool,
    /// When it has taken too long.
    until: Option<Instant>,
    /// How many bytes were read in full.
    #[cfg(test)]
    pub(crate) work: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("learnt", &self.learnt)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Withholds what it has not redacted by then, as `too-slow`. Texts and objects are read in linear time; this is for a
    /// machine that does nothing else, and for what nobody has thought of.
    pub fn end_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

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

    /// Remembers the secrets of a text, so that they are found in every text that follows. If the same text
    /// is redacted later, what was found now is not searched for again.
    pub fn learn_text(&mut self, text: &str) {
        if text.len() > self.limits.text_bytes {
            return;
        }
        let quiet = std::mem::replace(&mut self.quiet, true);
        if object::redact_manifest(self, text).is_none()
            && let Ok(pieces) = self.read(text)
        {
            self.readings.keep(text, pieces, self.learnt.count());
        }
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
        if self.is_late() {
            return self.withhold_text(text, "too-slow", place);
        }
        if let Some(redacted) = object::redact_manifest(self, text) {
            return redacted;
        }
        match self.rounds(text) {
            Ok((redacted, findings)) => {
                let is_same = |a: &Finding, b: &Finding| a.kind == b.kind && a.rule == b.rule;
                for same in findings.chunk_by(is_same) {
                    let count = u64::try_from(same.len()).unwrap_or(u64::MAX);
                    self.count_all(&same[0].kind, &same[0].rule, place, count);
                }
                RedactedText {
                    text: redacted,
                    findings,
                }
            }
            Err(reason) => self.withhold_text(text, reason, place),
        }
    }

    /// Redacts a JSON value: a Kubernetes object by its schema, anything else as free text.
    pub fn redact_object(&mut self, object: Value) -> (Value, Vec<ObjectFinding>) {
        self.learn_object(&object);
        object::redact(self, object)
    }

    /// Searches the final bytes of a message for every value and name that was learnt or taken out, as such and
    /// behind up to three of these in any order: escapes of JSON, C and HTML, percent-encoding, hexadecimal
    /// digits and base64 from any place on, UTF-16 (of ASCII), line breaks. Addresses of the network are not searched for:
    /// nodes are named by them.
    ///
    /// Where what [`Self::prove`] has searched stands in them, only what is around it is searched.
    pub fn egress_check(&self, bytes: &[u8]) -> Result<(), Leak> {
        let known = self.known();
        let proved = self.proved.as_ref();
        match proved.and_then(|proved| proved.place_in(bytes, &known)) {
            Some(place) => known.check_around(bytes, place),
            None => known.check(bytes),
        }
    }

    /// Searches the largest part of a message as [`Self::egress_check`] does, before the message is made, and
    /// remembers it if it is clean. It is searched once more in the message if anything is learnt or taken out
    /// meanwhile.
    pub fn prove(&mut self, part: Vec<u8>) -> Result<(), Leak> {
        self.egress_check(&part)?;
        self.proved = Some(self.known().proved(part));
        Ok(())
    }

    /// Searches lines that are together in a message, but not next to one another, for what is known and stands
    /// over their ends. What is within one of them has to be searched for in the message.
    pub fn check_ends_of_lines(&self, lines: &str) -> Result<(), Leak> {
        self.known().check_ends_of_lines(lines)
    }

    fn known(&self) -> Known<'_> {
        Known {
            learnt: &self.learnt,
            issued: &self.pseudonyms,
        }
    }

    /// Looks for secrets of a known format in final bytes once more, in case that something between the
    /// redaction and now has put one together.
    pub fn rescan(&self, bytes: &[u8]) -> Result<(), Leak> {
        egress::rescan(bytes, &self.engine, &self.pseudonyms)
    }

    /// Replaces everything in raw text that has the shape of a placeholder. Once a placeholder of ours has been
    /// seen by people, it can be forged, so this is done before anything else is made of evidence.
    /// `None` where there is nothing of the kind.
    pub fn defuse(&mut self, text: &str) -> Option<String> {
        replace(text, |forged| Some(self.placeholder("forged", forged)))
    }

    /// From now on remembers what each placeholder stands for, for [`Self::values`].
    pub fn keep_values(&mut self) {
        self.pseudonyms.keep_values();
    }

    /// Placeholders of this session and what they stand for, since [`Self::keep_values`].
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pseudonyms.values()
    }

    /// What was taken out so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Remembers a value that is secret.
    pub fn learn_value(&mut self, value: &str) {
        self.learnt.written_value(value, "secret");
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
        self.count_all(kind, rule, place, 1);
    }

    fn count_all(&mut self, kind: &str, rule: &str, place: &str, count: u64) {
        if !self.quiet {
            self.report.add(kind, rule, place, count);
        }
    }

    fn withhold_text(&mut self, text: &str, reason: &str, place: &str) -> RedactedText {
        self.count("withheld", reason, place);
        let finding = Finding {
            rule: reason.to_owned().into(),
            kind: "withheld".into(),
            start: 0,
            end: text.len(),
        };
        RedactedText {
            text: self.withheld(reason),
            findings: vec![finding],
        }
    }
}
