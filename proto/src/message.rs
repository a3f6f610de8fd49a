//! What every message of the pipeline has in common.

use crate::subject::Stage;
use crate::v1;

/// The service whose signature a message must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// svc-watcher.
    Watcher,
    /// svc-redactor.
    Redactor,
    /// svc-llm.
    Llm,
    /// svc-actuator.
    Actuator,
    /// `svc-notifier publish`, which writes for tools outside; no service of ours relies on it.
    Publisher,
    /// `svc-audit sweep`.
    Sweeper,
}

impl Writer {
    /// Every writer that signs.
    pub const ALL: [Self; 6] = [
        Self::Watcher,
        Self::Redactor,
        Self::Llm,
        Self::Actuator,
        Self::Publisher,
        Self::Sweeper,
    ];

    /// The service's name, which is also the name of its key files.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Watcher => "svc-watcher",
            Self::Redactor => "svc-redactor",
            Self::Llm => "svc-llm",
            Self::Actuator => "svc-actuator",
            Self::Publisher => "svc-notifier-publish",
            Self::Sweeper => "svc-audit-sweep",
        }
    }
}

/// A message of one stage.
pub trait Message: prost::Message + Default + Clone + Send + Sync + 'static {
    /// The stage that publishes it.
    const STAGE: Stage;
    /// CloudEvents type, for example `dev.bonesetter.detected.v1`.
    const EVENT_TYPE: &'static str;
    /// Who must have signed it; `None` where nothing is triggered by it.
    const SIGNED_BY: Option<Writer>;

    /// The envelope, absent only in malformed messages.
    fn envelope(&self) -> Option<&v1::Envelope>;
    /// Where the runner writes the envelope.
    fn envelope_mut(&mut self) -> &mut Option<v1::Envelope>;
    /// The incident, absent in dead letters and malformed messages.
    fn incident(&self) -> Option<&v1::Incident>;
}

/// How a message is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Protobuf; the CloudEvents attributes are headers (binary mode).
    Protobuf,
    /// A CloudEvent in JSON, attributes and data (structured mode).
    CloudEventJson,
}

/// What a stage publishes: a [`Message`], or something for others that is not read by a stage of ours.
pub trait Event: Clone + Send + Sync + 'static {
    /// The stage that publishes it.
    const STAGE: Stage;
    /// CloudEvents type, for example `dev.bonesetter.detected.v1`.
    const EVENT_TYPE: &'static str;
    /// Who signs it; `None` where nothing is triggered by it.
    const SIGNED_BY: Option<Writer>;
    /// How it is written down.
    const ENCODING: Encoding;

    /// The bytes that are published. An event that carries attributes of its own ignores the envelope.
    fn into_bytes(self, envelope: v1::Envelope) -> Vec<u8>;
}

impl<M: Message> Event for M {
    const STAGE: Stage = <M as Message>::STAGE;
    const EVENT_TYPE: &'static str = <M as Message>::EVENT_TYPE;
    const SIGNED_BY: Option<Writer> = <M as Message>::SIGNED_BY;
    const ENCODING: Encoding = Encoding::Protobuf;

    fn into_bytes(mut self, envelope: v1::Envelope) -> Vec<u8> {
        *self.envelope_mut() = Some(envelope);
        self.encode_to_vec()
    }
}

macro_rules! message {
    ($type:ident, $stage:ident, $event:literal, $signed:expr, $incident:expr) => {
        impl Message for v1::$type {
            const STAGE: Stage = Stage::$stage;
            const EVENT_TYPE: &'static str = $event;
            const SIGNED_BY: Option<Writer> = $signed;

            fn envelope(&self) -> Option<&v1::Envelope> {
                self.envelope.as_ref()
            }

            fn envelope_mut(&mut self) -> &mut Option<v1::Envelope> {
                &mut self.envelope
            }

            fn incident(&self) -> Option<&v1::Incident> {
                let of: fn(&Self) -> Option<&v1::Incident> = $incident;
                of(self)
            }
        }
    };
}

message!(
    Detected,
    Detected,
    "dev.bonesetter.detected.v1",
    Some(Writer::Watcher),
    |m| m.incident.as_ref()
);
message!(
    Enriched,
    Enriched,
    "dev.bonesetter.enriched.v1",
    None,
    |m| m.incident.as_ref()
);
message!(
    Redacted,
    Redacted,
    "dev.bonesetter.redacted.v1",
    Some(Writer::Redactor),
    |m| m.incident.as_ref()
);
message!(
    Diagnosed,
    Diagnosed,
    "dev.bonesetter.diagnosed.v1",
    Some(Writer::Llm),
    |m| m.incident.as_ref()
);
message!(
    Acted,
    Acted,
    "dev.bonesetter.acted.v1",
    Some(Writer::Actuator),
    |m| m.incident.as_ref()
);
message!(
    Notified,
    Notified,
    "dev.bonesetter.notified.v1",
    None,
    |m| m.incident.as_ref()
);
message!(Archived, Audit, "dev.bonesetter.archived.v1", None, |m| m
    .incident
    .as_ref());
message!(
    DeadLetter,
    Dlq,
    "dev.bonesetter.dead-letter.v1",
    None,
    |_| None
);
message!(
    Overdue,
    Overdue,
    "dev.bonesetter.overdue.v1",
    Some(Writer::Sweeper),
    |m| m.incident.as_ref()
);
message!(Redrive, Redrive, "dev.bonesetter.redrive.v1", None, |_| {
    None
});
message!(
    SecurityEvent,
    Security,
    "dev.bonesetter.security.v1",
    Some(Writer::Redactor),
    |m| m.incident.as_ref()
);
