//! What must hold for every input of the trust boundary.
//!
//! Each target makes an input with the structure of real ones out of bytes and stops with a panic where a law is
//! broken. `make fuzz` has libFuzzer choose the bytes; `tests/seeded.rs` draws them, in every test run.
//! Every input has a canary in it: a secret that the redactor can know to be one. A finder of its own, which knows
//! the canary and nothing of how it was taken out, searches what is left in every encoding.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a broken law must stop the fuzzer"
)]

mod encodings;
mod source;
mod structure;

use std::sync::LazyLock;

use bonesetter_proto::v1::Evidence;
use bonesetter_redact::{Redactor, Rules, Session};
use prost::Message as _;
use serde_json::Value;
use source::Source;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 5] = [
    ("text", text),
    ("object", object),
    ("egress", egress),
    ("injection", injection),
    ("evidence", evidence),
];

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Rules::builtin().expect("rules")).expect("rules"));

fn session() -> Session {
    REDACTOR.session(b"incident")
}

/// Who knows the canary and looks for it.
fn finder(canary: &str) -> Session {
    let mut finder = REDACTOR.session(b"finder");
    finder.learn_value(canary);
    finder
}

/// A text is redacted the same each time and only once, JSON stays JSON, and no canary is left.
pub fn text(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let canary = source.canary();
    let known = structure::telling(&mut source, &canary);
    let text = structure::text(&mut source, &canary);
    let mut session = session();
    session.learn_text(&known);
    session.learn_text(&text);
    let first = session.redact_text(&text).text;
    if is_withheld(&first) {
        return;
    }
    let again = session.redact_text(&first).text;
    assert_eq!(first, again, "redacted twice: {text:?}");
    let mut other = self::session();
    other.learn_text(&known);
    other.learn_text(&text);
    assert_eq!(
        first,
        other.redact_text(&text).text,
        "not the same: {text:?}"
    );
    if serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()) {
        let left = serde_json::from_str::<Value>(&first);
        assert!(left.is_ok(), "no JSON any more: {text:?} -> {first:?}");
    }
    let known = session.redact_text(&known).text;
    assert!(!known.contains(&canary), "{known:?}");
    // What is found in no other way is held back.
    if session.egress_check(first.as_bytes()).is_ok() {
        let leak = finder(&canary).egress_check(first.as_bytes());
        assert_eq!(leak, Ok(()), "{canary:?} is left of {text:?}: {first:?}");
    }
}

/// An object of the Kubernetes API keeps its form, is redacted only once, and has no canary left.
pub fn object(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let canary = source.canary();
    let object = structure::object(&mut source, &canary);
    let mut session = session();
    let (first, _) = session.redact_object(object.clone());
    let (again, _) = session.redact_object(first.clone());
    assert_eq!(first, again, "redacted twice: {object}");
    if session.egress_check(first.to_string().as_bytes()).is_ok() {
        let left = finder(&canary).egress_check(first.to_string().as_bytes());
        assert_eq!(left, Ok(()), "{canary:?} is left of {object}: {first}");
    }
}

/// A value is found behind any three encodings.
pub fn egress(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let canary = source.canary();
    let mut encoded = canary.clone();
    for _ in 0..source.below(4) {
        encoded = encodings::encode(source.below(encodings::COUNT), &encoded);
    }
    let text = format!("{} {encoded} {}", source.words(4), source.words(4));
    let found = finder(&canary).egress_check(text.as_bytes());
    assert!(found.is_err(), "{canary:?} is not found in {text:?}");
}

/// What neutralises injections does it once, and takes any text.
pub fn injection(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let canary = source.canary();
    let text = structure::text(&mut source, &canary);
    let session = session();
    let (first, _) = session.detector().neutralise(&text);
    let (again, _) = session.detector().neutralise(&first);
    assert_eq!(first, again, "neutralised twice: {text:?}");
}

/// Evidence comes out without its canary, whatever it is made of.
pub fn evidence(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let canary = source.canary();
    let evidence: Evidence = structure::evidence(&mut source, &canary);
    let redacted = match svc_redactor::redact_evidence(evidence.clone(), &mut session()) {
        Ok(redacted) => redacted.into_inner(),
        // Nothing is passed on.
        Err(_) => return,
    };
    let mut left = redacted.evidence.encode_to_vec();
    for removal in &redacted.removals {
        left.extend(removal.encode_to_vec());
    }
    let leak = finder(&canary).egress_check(&left);
    assert_eq!(
        leak,
        Ok(()),
        "{canary:?} is left of {evidence:?}: {redacted:?}"
    );
}

fn is_withheld(text: &str) -> bool {
    let has_panicked = text.starts_with("<withheld:internal-error>");
    assert!(!has_panicked, "a part of the engine has panicked");
    text.starts_with("<withheld:")
}
