//! Bonesetter: the redaction engine.
//!
//! A library without Kubernetes types, bus or runtime: text and JSON in, text and JSON out, in time
//! linear in the input, and the same for the same input, key and order.
//!
//! ```
//! use bonesetter_redact::{Redactor, Rules};
//!
//! let redactor = Redactor::new(Rules::builtin()?)?;
//! let mut session = redactor.session(b"key of this incident");
//! let redacted = session.redact_text("login failed: password=correct-horse-7");
//! assert!(redacted.text.starts_with("login failed: password=<secret:"));
//! assert_eq!(redacted.findings[0].kind, "secret");
//! # Ok::<(), bonesetter_redact::RuleError>(())
//! ```
//!
//! # How it works
//!
//! The syntax that carries a value says more than the value: `password=hunter2` has no token format, and
//! most leaks look like that. So text is taken apart by its carriers first (JSON, `key=value`, flags,
//! headers, URLs, connection strings, YAML) and searched for known token formats second.
//! Kubernetes objects are walked by a schema table; whatever the table does not know is free text.
//! Values and names seen in a secret place of one object are learnt, and found again in every text of the
//! same session. The rejected alternative, one regex per provider run over raw lines, finds half as much
//! (public rule sets measured on the same texts).
//!
//! Reading everything with every carrier and rule would be slow, and nearly all of a log is harmless. A gate
//! looks at each line once, for what any find needs (a word of `lexicon.txt` with a value behind it, a
//! literal of a rule, a long mixed run, the digits of personal data). Only what it stops is read in full,
//! together with the lines that belong to it: up to the next line that begins like a log record.
//! [Why](https://github.com/bonesetter-dev/bonesetter/blob/main/docs/decisions/0020-redaction-gate.md).
//!
//! Token formats are data: `rules.yaml`, each rule with examples that are its tests. An installation adds its
//! own with [`Rules::with_own`], which refuses a rule whose examples do not hold.
//!
//! Placeholders such as `<secret:k3f9q2>` carry a keyed hash: equal values get equal placeholders within a
//! session, and nobody without the key can test a guess. What looks like a placeholder in the input is
//! replaced like a secret, so a forged one is never taken for ours.
//!
//! What a later text reveals is not found in an earlier one that has left already, so learn first
//! ([`Session::learn_object`], [`Session::learn_text`]), redact then, and prove it on the final bytes
//! ([`Session::egress_check`]).
//!
//! What tries to instruct the reader of a text is another question, and asked last: [`injection`].
//!
//! Everything fails closed: what cannot be handled is withheld as `<withheld:reason>`. Reasons are
//! `too-long` (a text of more than [`Limits::text_bytes`]), `too-many-findings`, `too-deep`, `too-slow` ([`Session::end_by`]), `unstable`
//! (something is still uncovered after six rounds) and `internal-error` (a part of the engine has panicked).
//! No pattern backtracks, and whatever looks around from a byte looks at a bounded number of them.
//!
//! # Not found
//!
//! Host names and user names, unless [`Options`] say so; national identity numbers without a word that announces
//! them, but for four forms that nothing else has (India, Italy, Mexico, Switzerland); secrets that are ordinary words
//! without a name before them; secrets in images, compressed or encrypted data.

mod carrier;
mod columns;
mod csv;
mod decode;
mod document;
mod egress;
mod engine;
mod finding;
mod flags;
mod formats;
mod gate;
pub mod injection;
mod json;
mod learn;
mod lexicon;
mod literals;
mod national;
mod needles;
mod object;
mod pem;
mod placeholder;
mod planes;
mod rarity;
mod reading;
mod reference;
mod rules;
mod sealed;
mod segment;
mod sentences;
mod session;
mod spelling;
mod splice;
mod splits;
mod sql;
mod strings;
mod syntax;
mod unwrap;
mod urls;
mod validate;
mod value;
mod view;
mod writings;
mod yaml_text;

pub use egress::Leak;
pub use engine::is_secret_kind;
pub use finding::{Finding, ObjectFinding, RedactedText, Report, ReportEntry};
pub use national::Scheme;
pub use placeholder::{has_placeholder, restore};
pub use rules::{Check, Options, Rule, RuleError, Rules};
pub use sealed::{Redact, RedactError, Redacted, redact};
pub use session::{Limits, Redactor, Session};
