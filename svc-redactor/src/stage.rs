//! Sealed raw evidence in, redacted evidence out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bonesetter_chassis::bus::Publisher;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_keys::{DigestKey, SealingKeys};
use bonesetter_proto::v1::{Enriched, Evidence, Redacted, SecurityEvent};
use bonesetter_redact::{Redactor, Session};
use prost::Message as _;

use crate::evidence::redact_evidence_without;
use crate::metrics::RedactorMetrics;
use crate::security::{Events, Proof};

/// The seal cannot be opened, or holds no evidence.
const UNSEALABLE: &str = "unsealable";
/// Nothing is passed on, because it cannot be proved that nothing secret is in it.
const FAILED: &str = "redaction-failed";
/// What is not redacted by then is withheld. It takes milliseconds.
const LONGEST: Duration = Duration::from_secs(10);
/// How long to wait before something that must be told is told again.
const PAUSE: Duration = Duration::from_secs(5);

/// The trust boundary.
#[derive(Debug)]
pub(crate) struct Boundary {
    pub(crate) redactor: Redactor,
    pub(crate) seal: SealingKeys,
    pub(crate) digest: DigestKey,
    /// Patterns of evidence ids.
    pub(crate) block: Vec<String>,
    pub(crate) metrics: RedactorMetrics,
    /// For what the ledger must know.
    pub(crate) events: Publisher<SecurityEvent>,
}

impl Stage for Boundary {
    type In = Enriched;
    type Out = Redacted;
    const IS_REPEATABLE: bool = true;
    const REASONS: &'static [&'static str] = &[UNSEALABLE, FAILED];

    async fn handle(&self, input: &Input<Enriched>) -> Outcome<Redacted> {
        let subject = input.subject.to_string();
        let evidence = match open(&self.seal, &subject, &input.message) {
            Ok(evidence) => evidence,
            Err(cause) => {
                return Outcome::Reject {
                    reason: UNSEALABLE,
                    cause,
                };
            }
        };
        let events = Events {
            publisher: self.events.clone(),
            subject: input.subject.clone(),
            incident: input.message.incident.clone(),
        };
        let redacted = redact(
            &self.redactor,
            &self.digest,
            &input.message,
            evidence,
            &self.block,
        )
        .await;
        let told = match &redacted {
            Ok((message, _)) => events.tell_of(&message.removals).await,
            Err(_) => events.tell_held_back(FAILED).await,
        };
        if let Err(cause) = told {
            return Outcome::Retry {
                after: PAUSE,
                cause,
            };
        }
        let (message, session) = match redacted {
            Ok(redacted) => redacted,
            Err(cause) => {
                return Outcome::Reject {
                    reason: FAILED,
                    cause,
                };
            }
        };
        self.metrics.count(&message.removals);
        let output = Output {
            step: input.subject.step.clone(),
            message,
        };
        let session = Arc::new(session);
        Outcome::Guarded(vec![output], Arc::new(Proof { session, events }))
    }
}

/// Opens the seal of a message that was published under a subject.
pub(crate) fn open(
    seal: &SealingKeys,
    subject: &str,
    enriched: &Enriched,
) -> anyhow::Result<Evidence> {
    let sealed = enriched
        .evidence
        .as_ref()
        .context("the message holds no evidence")?;
    let plain = seal.open(subject, sealed)?;
    // The error of the decoder could quote what it was given.
    Evidence::decode(plain.as_slice()).map_err(|_| anyhow!("the seal does not hold evidence"))
}

/// On a thread of its own, because it computes for long; a panic there is an error here. The session is for
/// the proof of the final bytes.
pub(crate) async fn redact(
    redactor: &Redactor,
    digest: &DigestKey,
    enriched: &Enriched,
    evidence: Evidence,
    block: &[String],
) -> anyhow::Result<(Redacted, Session)> {
    let session = session(redactor, digest, enriched)?;
    redact_in(session, enriched, evidence, block).await
}

/// The same in a session of the incident.
pub(crate) async fn redact_in(
    mut session: Session,
    enriched: &Enriched,
    evidence: Evidence,
    block: &[String],
) -> anyhow::Result<(Redacted, Session)> {
    let mut message = Redacted {
        envelope: None,
        incident: enriched.incident.clone(),
        failure_class: enriched.failure_class,
        symptoms: enriched.symptoms.clone(),
        evidence: None,
        removals: Vec::new(),
    };
    let block = block.to_owned();
    let redaction = tokio::task::spawn_blocking(move || {
        session.end_by(Instant::now() + LONGEST);
        let dossier = redact_evidence_without(evidence, &block, &mut session)?.into_inner();
        message.evidence = Some(dossier.evidence);
        message.removals = dossier.removals;
        anyhow::Ok((message, session))
    });
    redaction
        .await
        .map_err(|_| anyhow!("the redaction ended with a panic"))?
}

/// The session of the incident that a message is about.
pub(crate) fn session(
    redactor: &Redactor,
    digest: &DigestKey,
    enriched: &Enriched,
) -> anyhow::Result<Session> {
    let incident = enriched
        .incident
        .as_ref()
        .context("the message names no incident")?;
    let key = digest.derive("pseudonyms", incident.id.as_bytes());
    Ok(redactor.session(&key))
}
