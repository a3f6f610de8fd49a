//! Rows of the ledger, as one object of the archive.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bonesetter_keys::content_hash;
use bonesetter_proto::{IncidentId, Subject, escape};
use serde::Serialize;
use uuid::Uuid;

use crate::event::ToolCall;

/// Hex digits of the object's SHA-256 that stand in its key.
const DIGITS: usize = 16;

/// Numbers of rows, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First.
    pub from: i64,
    /// Last.
    pub to: i64,
}

/// One line of an object: the columns of `audit.audit_events` that do not depend on when the row was
/// recorded, in this order. Times are RFC 3339 in UTC with microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the columns are documented in deploy/sql/0002_audit_events.sql"
)]
pub struct Row {
    pub seq: i64,
    pub id: Uuid,
    pub event_type: String,
    pub user_id: String,
    pub session_id: String,
    pub timestamp: String,
    pub agent_version: String,
    pub user_message: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub response_hash: Option<String>,
    pub namespace: Option<String>,
    pub ip_address: Option<String>,
    pub failure_reason: Option<String>,
    pub latency_ms: Option<i64>,
    pub token_count: Option<i64>,
    pub stage: String,
    pub step: String,
    pub subject: String,
    pub stream: String,
    pub stream_sequence: i64,
    pub stored_at: String,
    pub payload_hash: String,
    // Left out where they are null: objects that were planned before there were such columns stay the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
}

/// What one object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// From the end of the last object to the last row of this one, so that spans leave no gap.
    pub span: Span,
    /// One JSON object per line, each ended by a line feed.
    pub bytes: Vec<u8>,
    /// SHA-256 (hex) of the bytes.
    pub sha256: String,
    /// Per incident the subject of its last row, and how many rows it has here.
    pub incidents: BTreeMap<IncidentId, (Subject, u32)>,
    /// How many rows.
    pub events: i32,
}

impl Batch {
    /// The object of some rows, which are in order; `None` when there are none.
    pub fn of(from: i64, rows: &[Row]) -> Result<Option<Self>, serde_json::Error> {
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let mut incidents: BTreeMap<IncidentId, (Subject, u32)> = BTreeMap::new();
        for row in rows {
            serde_json::to_writer(&mut bytes, row)?;
            bytes.push(b'\n');
            // Rows of people's requests, which come later, have subjects of another kind.
            let Ok(subject) = row.subject.parse::<Subject>() else {
                continue;
            };
            let entry = incidents.entry(subject.incident.clone());
            let (latest, rows) = entry.or_insert_with(|| (subject.clone(), 0));
            *latest = subject;
            *rows += 1;
        }
        Ok(Some(Self {
            span: Span { from, to: last.seq },
            sha256: content_hash(&bytes),
            bytes,
            incidents,
            events: i32::try_from(rows.len()).unwrap_or(i32::MAX),
        }))
    }

    /// `events/<cluster>/<yyyy>/<mm>/<dd>/<from>-<to>-<sha256 prefix>.jsonl`. Numbers are padded, so
    /// that a listing is in order; the digest makes other content another key.
    pub fn key(&self, cluster: &str, planned_at: SystemTime) -> String {
        let at = jiff::Timestamp::try_from(planned_at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let day = at.strftime("%Y/%m/%d");
        let cluster = escape(cluster);
        let Span { from, to } = self.span;
        let digits: String = self.sha256.chars().take(DIGITS).collect();
        format!("events/{cluster}/{day}/{from:012}-{to:012}-{digits}.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn row(seq: i64, incident: char, step: &str) -> Row {
        let incident = String::from(incident).repeat(26);
        let hash = "ab".repeat(32);
        Row {
            seq,
            id: Uuid::from_u128(u128::try_from(seq).unwrap()),
            event_type: "tool_call".to_owned(),
            user_id: "svc-redactor".to_owned(),
            session_id: incident.clone(),
            timestamp: "2026-11-25T09:46:40.500000Z".to_owned(),
            agent_version: "0.1.0+3f2a9c0d1e2b".to_owned(),
            user_message: None,
            tool_calls: vec![ToolCall {
                tool: "kubernetes.list_events".to_owned(),
                inputs_hash: hash.clone(),
                result_hash: hash.clone(),
            }],
            response_hash: Some(hash.clone()),
            namespace: Some("shop".to_owned()),
            ip_address: None,
            failure_reason: None,
            latency_ms: None,
            token_count: None,
            stage: "redacted".to_owned(),
            step: step.to_owned(),
            subject: format!("bonesetter.v1.redacted.demo.shop.Deployment.{incident}.{step}"),
            stream: "BONESETTER_REDACTED".to_owned(),
            stream_sequence: seq,
            stored_at: "2026-11-25T09:46:40.600000Z".to_owned(),
            payload_hash: hash,
            object_name: None,
            failure_class: None,
            conclusion: None,
        }
    }

    #[test]
    fn an_object_is_lines_of_json_in_the_order_of_the_rows() {
        let batch = Batch::of(4, &[row(5, 'a', "open"), row(7, 'b', "open")])
            .unwrap()
            .unwrap();
        insta::assert_snapshot!(String::from_utf8(batch.bytes.clone()).unwrap());
        assert_eq!(batch.sha256, content_hash(&batch.bytes));
        assert_eq!(batch.span, Span { from: 4, to: 7 });
        assert_eq!(batch.events, 2);
    }

    #[test]
    fn the_same_rows_give_the_same_object() {
        let rows = [row(5, 'a', "open"), row(7, 'b', "open")];
        assert_eq!(Batch::of(4, &rows).unwrap(), Batch::of(4, &rows).unwrap());
        assert_eq!(Batch::of(4, &[]).unwrap(), None);
    }

    #[test]
    fn keys_sort_and_cannot_leave_their_folder() {
        let batch = Batch::of(4, &[row(7, 'a', "open")]).unwrap().unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(1_795_600_000);
        let digits = &batch.sha256[..16];
        assert_eq!(
            batch.key("../a b", at),
            format!("events/=2E=2E=2Fa=20b/2026/11/25/000000000004-000000000007-{digits}.jsonl")
        );
    }

    #[test]
    fn every_incident_is_named_once_with_its_last_row() {
        let rows = [
            row(1, 'a', "open"),
            row(2, 'b', "open"),
            row(3, 'a', "reclassified-1"),
        ];
        let batch = Batch::of(1, &rows).unwrap().unwrap();
        let incidents: Vec<_> = batch
            .incidents
            .values()
            .map(|(subject, rows)| (subject.step.as_str(), *rows))
            .collect();
        assert_eq!(incidents, [("reclassified-1", 2), ("open", 1)]);
    }
}
