//! Rows of the ledger, as messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bonesetter_proto::v1::{IncidentEvent, IncidentState, IncidentSummary, ResolvedReason};
use bonesetter_proto::{Namespace, Subject, to_timestamp};

use crate::event::{GONE, RECOVERED, class_of};
use crate::postgres::read::{EventRow, OverviewRow};

pub(crate) fn summary(row: &OverviewRow) -> IncidentSummary {
    let subject: Option<Subject> = row.subject.as_deref().and_then(|text| text.parse().ok());
    let namespace = subject.as_ref().and_then(|it| it.namespace.as_ref());
    let opened_at = row.opened_at.map(at);
    IncidentSummary {
        id: row.session_id.clone(),
        cluster: subject
            .as_ref()
            .map_or_else(String::new, |it| it.cluster.clone()),
        namespace: namespace.map_or_else(String::new, |name| Namespace::as_str(name).to_owned()),
        kind: subject
            .as_ref()
            .map_or_else(String::new, |it| it.kind.clone()),
        name: row.name.clone().unwrap_or_default(),
        failure_class: row
            .failure_class
            .as_deref()
            .map(class_of)
            .unwrap_or_default()
            .into(),
        cause: row.cause.clone().unwrap_or_default(),
        state: state(row).into(),
        overdue: row.overdue && row.resolved_at.is_none(),
        opened_at: opened_at.map(to_timestamp),
        last_at: Some(to_timestamp(at(row.last_at))),
        resolved_at: row.resolved_at.map(at).map(to_timestamp),
        resolved_reason: match row.ended.as_deref() {
            Some(RECOVERED) => ResolvedReason::Recovered,
            Some(GONE) => ResolvedReason::Gone,
            _ => ResolvedReason::Unspecified,
        }
        .into(),
        events: u64::try_from(row.events).unwrap_or_default(),
    }
}

/// Where the incident stands.
fn state(row: &OverviewRow) -> IncidentState {
    if row.resolved_at.is_some() {
        return IncidentState::Resolved;
    }
    match row.acted.as_deref() {
        Some("change_proposed") => IncidentState::Proposed,
        Some("change_intended" | "change_applied") => IncidentState::Mending,
        Some("change_verified") => IncidentState::Mended,
        Some("change_rolled_back") => IncidentState::RolledBack,
        Some("change_refused" | "change_stuck") => IncidentState::NeedsPerson,
        _ => IncidentState::Open,
    }
}

pub(crate) fn event(row: EventRow) -> IncidentEvent {
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    IncidentEvent {
        sequence: number(row.seq),
        incident_id: row.session_id,
        event_type: row.event_type,
        writer: row.user_id,
        subject: row.subject,
        stream: row.stream,
        stream_sequence: number(row.stream_sequence),
        stored_at: Some(to_timestamp(at(row.stored_at))),
        payload_hash: row.payload_hash,
        failure_reason: row.failure_reason.unwrap_or_default(),
        failure_class: row
            .failure_class
            .as_deref()
            .map(class_of)
            .unwrap_or_default()
            .into(),
        conclusion: row.conclusion.unwrap_or_default(),
        latency_ms: row.latency_ms.map(number),
        tokens: row.token_count.map(number),
    }
}

/// Of seconds since the epoch.
fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(acted: Option<&str>) -> OverviewRow {
        OverviewRow {
            session_id: "a".repeat(26),
            events: 3,
            subject: Some(format!(
                "bonesetter.v1.detected.demo.shop.Deployment.{}.open",
                "a".repeat(26)
            )),
            name: Some("checkout".to_owned()),
            failure_class: Some("oom_killed".to_owned()),
            cause: Some("memory-limit-too-low".to_owned()),
            acted: acted.map(str::to_owned),
            overdue: true,
            ended: None,
            opened_at: Some(1_795_600_000.5),
            last_at: 1_795_600_060.0,
            resolved_at: None,
        }
    }

    #[test]
    fn the_last_decision_says_where_an_incident_stands() {
        for (acted, expected) in [
            (None, IncidentState::Open),
            (Some("change_proposed"), IncidentState::Proposed),
            (Some("change_intended"), IncidentState::Mending),
            (Some("change_applied"), IncidentState::Mending),
            (Some("change_verified"), IncidentState::Mended),
            (Some("change_rolled_back"), IncidentState::RolledBack),
            (Some("change_refused"), IncidentState::NeedsPerson),
            (Some("change_stuck"), IncidentState::NeedsPerson),
        ] {
            let summary = summary(&row(acted));
            assert_eq!(summary.state(), expected, "{acted:?}");
            assert!(summary.overdue, "{acted:?}");
        }
    }

    #[test]
    fn what_is_resolved_is_not_overdue() {
        let resolved = OverviewRow {
            resolved_at: Some(1_795_600_060.0),
            ended: Some(GONE.to_owned()),
            ..row(Some("change_proposed"))
        };
        let summary = summary(&resolved);
        assert_eq!(summary.state(), IncidentState::Resolved);
        assert_eq!(summary.resolved_reason(), ResolvedReason::Gone);
        assert!(!summary.overdue);
    }

    #[test]
    fn an_incident_of_which_nothing_was_believed_has_an_id_and_no_more() {
        let doubted = OverviewRow {
            subject: None,
            name: None,
            failure_class: Some("no_such_class".to_owned()),
            opened_at: None,
            last_at: -1.0,
            ..row(None)
        };
        let summary = summary(&doubted);
        assert_eq!((summary.id.len(), summary.kind.as_str()), (26, ""));
        assert_eq!(summary.failure_class, 0);
        assert_eq!(summary.opened_at, None);
    }
}
