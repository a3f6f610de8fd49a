//! One message, as one row of the ledger.
//!
//! A row holds identifiers, enumerations, hashes and counts. By construction nothing else can get in:
//! every text that a message brings is either one of our own words or passes [`stable`] or [`hash`],
//! which let through names and digests only. A message that cannot be read or believed is a row too,
//! with the reason and the hash of what was there; nothing is left out of the ledger.

use bonesetter_chassis::stage::Delivery;
use bonesetter_keys::{VerifyingKeys, content_hash};
use bonesetter_proto::v1::{
    Acted, Awaited, Detected, Diagnosed, Envelope, FailureClass, Incident, Notified, Overdue,
    Phase, QueryRecord, Redacted, ResolvedReason, Step,
};
use bonesetter_proto::{Message, Stage, escape, from_timestamp};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use uuid::Uuid;

use clean::{class_name, hash, object_name, stable, version};
use reading::{Doubt, plain, signed};

pub(crate) use clean::class_of;

mod boundary;
mod clean;
mod reading;

/// Of the ids of rows; made once, at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_1b1e_53f7_4f0e_9a53_0e1d_64a2_7c55);
const MAX_FAILURE: usize = 512;
/// What an end concludes.
pub(crate) const RECOVERED: &str = "recovered";
pub(crate) const GONE: &str = "gone";
/// Who wrote a message whose signature does not prove it.
pub(crate) const UNVERIFIED: &str = "unverified";

/// A query made for evidence: what was asked and what came back, as keyed hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// For example `kubernetes.list_events`.
    pub tool: String,
    /// HMAC-SHA-256 (hex).
    pub inputs_hash: String,
    /// HMAC-SHA-256 (hex).
    pub result_hash: String,
}

/// A row of `audit.audit_events`; the columns are described there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the columns are documented in deploy/sql/0002_audit_events.sql"
)]
pub struct AuditEvent {
    pub id: Uuid,
    pub event_type: &'static str,
    pub user_id: &'static str,
    pub session_id: String,
    pub timestamp: String,
    pub agent_version: String,
    pub tool_calls: Vec<ToolCall>,
    pub response_hash: Option<String>,
    pub namespace: Option<String>,
    pub failure_reason: Option<String>,
    pub latency_ms: Option<i64>,
    pub token_count: Option<i64>,
    pub stage: &'static str,
    pub step: String,
    pub subject: String,
    pub stream: &'static str,
    pub stream_sequence: i64,
    pub stored_at: String,
    pub payload_hash: String,
    pub object_name: Option<String>,
    pub failure_class: Option<String>,
    pub conclusion: Option<String>,
}

/// The types of events: what messages say, and that one cannot be read or
/// believed.
pub(crate) const EVENT_TYPES: [&str; 20] = [
    "incident_opened",
    "incident_updated",
    "incident_reclassified",
    "incident_resolved",
    "tool_call",
    "recommendation",
    "change_proposed",
    "change_intended",
    "change_applied",
    "change_refused",
    "change_verified",
    "change_rolled_back",
    "change_stuck",
    "notification",
    "incident_overdue",
    "security_injection",
    "security_egress_blocked",
    "security_restored",
    "malformed",
    "auth_failure",
];

/// What a message says, beyond what every message says.
#[derive(Debug, Default)]
struct Content {
    event_type: &'static str,
    tool_calls: Vec<ToolCall>,
    response_hash: Option<String>,
    failure_reason: Option<String>,
    latency_ms: Option<i64>,
    token_count: Option<i64>,
    object_name: Option<String>,
    failure_class: Option<String>,
    conclusion: Option<String>,
}

impl AuditEvent {
    /// The row of a message; there is one for every message.
    pub fn of(delivery: &Delivery, trusted: &VerifyingKeys) -> Self {
        let read = match delivery.subject.stage {
            Stage::Detected => signed(delivery, trusted).map(|message| split(&message, detected)),
            Stage::Redacted => signed(delivery, trusted).map(|message| split(&message, redacted)),
            Stage::Diagnosed => signed(delivery, trusted).map(|message| split(&message, diagnosed)),
            Stage::Acted => signed(delivery, trusted).map(|message| split(&message, acted)),
            Stage::Notified => plain(delivery).map(|message| split(&message, notified)),
            Stage::Overdue => signed(delivery, trusted).map(|message| split(&message, overdue)),
            Stage::Security => {
                signed(delivery, trusted).map(|message| split(&message, boundary::event))
            }
            Stage::Enriched
            | Stage::Audit
            | Stage::Approval
            | Stage::Dlq
            | Stage::Redrive
            | Stage::DiagnosedJson => Err(Doubt::Undecodable),
        };
        let (envelope, content, user_id) = match read {
            Ok((envelope, content)) => (envelope, content, writer(delivery.subject.stage)),
            Err(doubt) => {
                let content = Content {
                    event_type: doubt.event_type(),
                    failure_reason: Some(doubt.reason().to_owned()),
                    ..Content::default()
                };
                (Envelope::default(), content, UNVERIFIED)
            }
        };
        Self::assemble(delivery, &envelope, content, user_id)
    }

    fn assemble(
        delivery: &Delivery,
        envelope: &Envelope,
        content: Content,
        user_id: &'static str,
    ) -> Self {
        let payload_hash = content_hash(&delivery.payload);
        let produced_at = envelope.produced_at.as_ref().and_then(from_timestamp);
        let stored_at = micros(delivery.stored_at);
        Self {
            id: id(delivery, &stored_at),
            event_type: content.event_type,
            user_id,
            session_id: delivery.subject.incident.to_string(),
            timestamp: produced_at.map_or_else(|| stored_at.clone(), micros),
            agent_version: version(&envelope.producer_version),
            tool_calls: content.tool_calls,
            response_hash: Some(
                content
                    .response_hash
                    .unwrap_or_else(|| payload_hash.clone()),
            ),
            namespace: delivery.subject.namespace.as_ref().map(ToString::to_string),
            failure_reason: content
                .failure_reason
                .map(|reason| shorten(reason, MAX_FAILURE)),
            latency_ms: content.latency_ms,
            token_count: content.token_count,
            stage: delivery.subject.stage.as_str(),
            step: escape(&delivery.subject.step),
            subject: delivery.subject.to_string(),
            stream: delivery.stream,
            stream_sequence: i64::try_from(delivery.sequence).unwrap_or(i64::MAX),
            stored_at,
            payload_hash,
            object_name: content.object_name,
            failure_class: content.failure_class,
            conclusion: content.conclusion,
        }
    }
}

/// The same for every delivery of one message; another one for the message that takes its sequence
/// after the stream was lost and made anew.
fn id(delivery: &Delivery, stored_at: &str) -> Uuid {
    let name = format!("{}/{}/{stored_at}", delivery.stream, delivery.sequence);
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

fn split<M: Message>(message: &M, content: fn(&M) -> Content) -> (Envelope, Content) {
    (
        message.envelope().cloned().unwrap_or_default(),
        content(message),
    )
}

fn detected(message: &Detected) -> Content {
    let event_type = match message.phase() {
        Phase::Unspecified => "incident_unspecified",
        Phase::Open => "incident_opened",
        Phase::Update => "incident_updated",
        Phase::Reclassified => "incident_reclassified",
        Phase::Resolved => "incident_resolved",
    };
    let conclusion = match message.resolved_reason() {
        ResolvedReason::Unspecified => None,
        ResolvedReason::Recovered => Some(RECOVERED.to_owned()),
        ResolvedReason::Gone => Some(GONE.to_owned()),
    };
    Content {
        event_type,
        conclusion,
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

/// What every message about an incident says of it.
fn about(incident: Option<&Incident>, class: FailureClass) -> Content {
    let owner = incident.and_then(|incident| incident.root_owner.as_ref());
    Content {
        object_name: owner.map(|owner| object_name(&owner.name)),
        failure_class: class_name(class),
        ..Content::default()
    }
}

fn redacted(message: &Redacted) -> Content {
    let queries = message
        .evidence
        .iter()
        .flat_map(|evidence| &evidence.queries);
    Content {
        event_type: "tool_call",
        tool_calls: queries.map(tool_call).collect(),
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

fn tool_call(query: &QueryRecord) -> ToolCall {
    let hash_or_word = |text: &str| hash(text).unwrap_or_else(|| "invalid".to_owned());
    ToolCall {
        tool: stable(&query.tool),
        inputs_hash: hash_or_word(&query.inputs_hash),
        result_hash: hash_or_word(&query.result_hash),
    }
}

fn diagnosed(message: &Diagnosed) -> Content {
    let diagnosis = message.diagnosis.clone().unwrap_or_default();
    Content {
        event_type: "recommendation",
        response_hash: hash(&diagnosis.response_hash),
        // The reason itself may quote a provider.
        failure_reason: (!diagnosis.degraded_reason.is_empty()).then(|| "degraded".to_owned()),
        latency_ms: Some(count(diagnosis.latency_ms)),
        token_count: Some(count(diagnosis.tokens)),
        conclusion: (!diagnosis.cause.is_empty()).then(|| stable(&diagnosis.cause)),
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

fn acted(message: &Acted) -> Content {
    let event_type = match message.step() {
        Step::Unspecified => "change_unspecified",
        Step::Proposed => "change_proposed",
        Step::Intended => "change_intended",
        Step::Applied => "change_applied",
        Step::Refused => "change_refused",
        Step::Verified => "change_verified",
        Step::RolledBack => "change_rolled_back",
        Step::Stuck => "change_stuck",
    };
    let violations = message
        .decision
        .iter()
        .flat_map(|decision| &decision.violations);
    let names: Vec<String> = violations
        .map(|violation| stable(&violation.name))
        .collect();
    Content {
        event_type,
        failure_reason: joined(&names),
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

fn notified(message: &Notified) -> Content {
    let failed = message
        .deliveries
        .iter()
        .filter(|delivery| !delivery.delivered);
    let failures: Vec<String> = failed
        .map(|delivery| {
            format!(
                "{}:{}",
                stable(&delivery.channel),
                stable(&delivery.failure)
            )
        })
        .collect();
    Content {
        event_type: "notification",
        failure_reason: joined(&failures),
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

fn overdue(message: &Overdue) -> Content {
    let awaited = match message.awaited() {
        Awaited::Unspecified => "unspecified",
        Awaited::Evidence => "evidence",
        Awaited::Diagnosis => "diagnosis",
        Awaited::Decision => "decision",
        Awaited::Change => "change",
        Awaited::Verification => "verification",
        Awaited::Notice => "notice",
    };
    Content {
        event_type: "incident_overdue",
        failure_reason: Some(format!("no-{awaited}")),
        ..about(message.incident.as_ref(), message.failure_class())
    }
}

/// The one service that may write to the stage's stream, by permission and, where it signs, by its key.
const fn writer(stage: Stage) -> &'static str {
    match stage {
        Stage::Detected => "svc-watcher",
        Stage::Enriched => "svc-enricher",
        Stage::Redacted | Stage::Security => "svc-redactor",
        Stage::Diagnosed => "svc-llm",
        Stage::Acted => "svc-actuator",
        Stage::Notified => "svc-notifier",
        Stage::Audit => "svc-audit-export",
        Stage::Overdue => "svc-audit-sweep",
        Stage::DiagnosedJson => "svc-notifier-publish",
        Stage::Approval | Stage::Dlq | Stage::Redrive => UNVERIFIED,
    }
}

fn joined(names: &[String]) -> Option<String> {
    if names.is_empty() {
        None
    } else {
        Some(names.join(","))
    }
}

fn shorten(mut text: String, max: usize) -> String {
    if text.len() > max {
        text = text.chars().take(max).collect();
    }
    text
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// RFC 3339 with microseconds, which is what the database keeps.
fn micros(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(
        |_| "1970-01-01T00:00:00.000000Z".to_owned(),
        |at| format!("{at:.6}"),
    )
}

#[cfg(test)]
mod tests;
