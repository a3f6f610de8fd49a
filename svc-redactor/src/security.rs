//! What the ledger must know of the boundary: injections, what was held back, and who has read what
//! placeholders stand for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bonesetter_chassis::bus::Publisher;
use bonesetter_chassis::stage::{Guard, Wire};
use bonesetter_proto::v1::{Incident, Removal, SecurityEvent, SecurityEventKind};
use bonesetter_proto::{Stage, Subject};
use bonesetter_redact::Session;

/// Publishes what happened while one message was handled.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    pub(crate) publisher: Publisher<SecurityEvent>,
    /// Of the message.
    pub(crate) subject: Subject,
    pub(crate) incident: Option<Incident>,
}

impl Events {
    /// Tells of injections and of evidence that was held back, if there are any among the removals.
    pub(crate) async fn tell_of(&self, removals: &[Removal]) -> anyhow::Result<()> {
        let injections = of(removals, |removal| removal.kind == "injection");
        if !injections.is_empty() {
            let kind = SecurityEventKind::Injection;
            self.tell(kind, "injection", injections).await?;
        }
        let held_back = of(removals, |removal| {
            removal.kind == "withheld" && removal.rule == "egress"
        });
        if !held_back.is_empty() {
            let kind = SecurityEventKind::EgressBlocked;
            self.tell(kind, "egress", held_back).await?;
        }
        Ok(())
    }

    /// Tells that the whole message was held back; parts of it may have been before.
    pub(crate) async fn tell_held_back(&self, rule: &str) -> anyhow::Result<()> {
        let whole = Removal {
            kind: "withheld".to_owned(),
            rule: rule.to_owned(),
            place: "message".to_owned(),
            count: 1,
        };
        let kind = SecurityEventKind::EgressBlocked;
        self.tell(kind, "held-back", vec![whole]).await
    }

    async fn tell(
        &self,
        kind: SecurityEventKind,
        name: &str,
        findings: Vec<Removal>,
    ) -> anyhow::Result<()> {
        let event = SecurityEvent {
            incident: self.incident.clone(),
            kind: kind.into(),
            findings,
            ..SecurityEvent::default()
        };
        let step = format!("{name}-{}", self.subject.step);
        let subject = self.subject.at(Stage::Security, step);
        self.publisher
            .publish(&subject, event, &self.subject.to_string())
            .await
            .context("cannot publish a security event, and passes nothing on without it")?;
        Ok(())
    }
}

fn of(removals: &[Removal], is_wanted: impl Fn(&Removal) -> bool) -> Vec<Removal> {
    let wanted = removals.iter().filter(|removal| is_wanted(removal));
    wanted.cloned().collect()
}

/// The proof of one message, over everything that stands on the bus: subject, headers, payload.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) session: Arc<Session>,
    pub(crate) events: Events,
}

impl Guard for Proof {
    fn check<'a>(
        &'a self,
        wire: Wire<'a>,
    ) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let mut head = String::new();
            for (name, value) in &wire.headers {
                head.extend([name.as_str(), ": ", value, "\n"]);
            }
            // The tokens of a subject have an escape of their own.
            let Subject {
                cluster,
                kind,
                step,
                ..
            } = &self.events.subject;
            let subject = format!("{}\n{cluster}\n{kind}\n{step}", wire.subject);
            for (part, bytes) in [
                ("subject", subject.as_bytes()),
                ("headers", head.as_bytes()),
                ("payload", wire.payload),
            ] {
                if let Err(leak) = self.session.egress_check(bytes) {
                    self.events.tell_held_back("egress").await?;
                    bail!("in the {part}: {leak}");
                }
            }
            Ok(())
        })
    }
}
