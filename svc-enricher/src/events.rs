//! Events, grouped and counted.

use std::collections::HashMap;

use bonesetter_proto::v1::{KubernetesEvent, ObjectRef};
use prost_types::Timestamp;
use serde_json::Value;

use crate::json::{number, text, time};

/// The newest events, the newest first, and how many older ones were left out.
///
/// Events of the same object, type, reason, message and field are one, with their counts added.
pub(crate) fn group(events: &[Value], max: usize) -> (Vec<KubernetesEvent>, usize) {
    let mut by_content: HashMap<[String; 6], KubernetesEvent> = HashMap::new();
    for event in events.iter().map(read) {
        let involved = event
            .involved
            .as_ref()
            .map(|object| object.uid.clone())
            .unwrap_or_default();
        let key = [
            involved,
            event.r#type.clone(),
            event.reason.clone(),
            event.message.clone(),
            event.field_path.clone(),
            event.source.clone(),
        ];
        match by_content.get_mut(&key) {
            Some(known) => merge(known, event),
            None => {
                by_content.insert(key, event);
            }
        }
    }
    let mut grouped: Vec<KubernetesEvent> = by_content.into_values().collect();
    grouped.sort_by(|a, b| {
        let newest_first = order(b.last_seen).cmp(&order(a.last_seen));
        newest_first.then_with(|| a.uid.cmp(&b.uid))
    });
    let left_out = grouped.len().saturating_sub(max);
    grouped.truncate(max);
    (grouped, left_out)
}

fn merge(known: &mut KubernetesEvent, other: KubernetesEvent) {
    known.count = known.count.saturating_add(other.count);
    if order(other.last_seen) > order(known.last_seen) {
        known.last_seen = other.last_seen;
        known.uid = other.uid;
    }
    let is_earlier = order(other.first_seen) < order(known.first_seen);
    if other.first_seen.is_some() && (known.first_seen.is_none() || is_earlier) {
        known.first_seen = other.first_seen;
    }
}

fn order(at: Option<Timestamp>) -> (i64, i32) {
    at.map_or((i64::MIN, 0), |at| (at.seconds, at.nanos))
}

/// Reads both forms: the old one has `count` and two timestamps, the new one `series` and `eventTime`.
fn read(event: &Value) -> KubernetesEvent {
    let first_of = |pointers: &[&str]| pointers.iter().find_map(|pointer| time(event, pointer));
    let count = number(event, "/count")
        .max(number(event, "/series/count"))
        .max(1);
    let source = match text(event, "/source/component") {
        "" => text(event, "/reportingComponent"),
        component => component,
    };
    KubernetesEvent {
        uid: text(event, "/metadata/uid").to_owned(),
        r#type: text(event, "/type").to_owned(),
        reason: text(event, "/reason").to_owned(),
        message: text(event, "/message").to_owned(),
        count: u32::try_from(count).unwrap_or(u32::MAX),
        first_seen: first_of(&[
            "/firstTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
        last_seen: first_of(&[
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
        involved: Some(ObjectRef {
            api_version: text(event, "/involvedObject/apiVersion").to_owned(),
            kind: text(event, "/involvedObject/kind").to_owned(),
            namespace: text(event, "/involvedObject/namespace").to_owned(),
            name: text(event, "/involvedObject/name").to_owned(),
            uid: text(event, "/involvedObject/uid").to_owned(),
        }),
        source: source.to_owned(),
        field_path: text(event, "/involvedObject/fieldPath").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(uid: &str, object: &str, message: &str, count: u32, last: &str) -> Value {
        json!({
            "metadata": {"uid": uid}, "type": "Warning", "reason": "BackOff", "message": message,
            "count": count, "firstTimestamp": "2026-11-25T13:00:00Z", "lastTimestamp": last,
            "involvedObject": {"uid": object, "fieldPath": "spec.containers{app}"},
            "source": {"component": "kubelet"},
        })
    }

    #[test]
    fn the_same_event_is_counted_and_the_newest_come_first() {
        let events = [
            event("a", "p1", "restarting", 3, "2026-11-25T13:01:00Z"),
            event("b", "p1", "restarting", 4, "2026-11-25T13:03:00Z"),
            event("c", "p2", "restarting", 1, "2026-11-25T13:02:00Z"),
            event("d", "p1", "other", 1, "2026-11-25T13:04:00Z"),
        ];
        let (grouped, left_out) = group(&events, 10);
        let read: Vec<_> = grouped
            .iter()
            .map(|event| (event.uid.as_str(), event.count))
            .collect();
        assert_eq!(read, [("d", 1), ("b", 7), ("c", 1)]);
        assert_eq!(left_out, 0);
        let (grouped, left_out) = group(&events, 1);
        assert_eq!((grouped[0].uid.as_str(), left_out), ("d", 2));
    }

    #[test]
    fn events_of_the_new_form_are_read_as_well() {
        let event = json!({
            "metadata": {"uid": "e", "creationTimestamp": "2026-11-25T13:00:00Z"},
            "type": "Warning", "reason": "FailedScheduling", "message": "0/1 nodes are available",
            "eventTime": "2026-11-25T13:00:00.5Z", "firstTimestamp": null, "lastTimestamp": null,
            "series": {"count": 9, "lastObservedTime": "2026-11-25T13:05:00Z"},
            "reportingComponent": "default-scheduler", "source": {},
        });
        let (grouped, _) = group(&[event], 10);
        let event = &grouped[0];
        assert_eq!(
            (event.count, event.source.as_str()),
            (9, "default-scheduler")
        );
        assert_eq!(event.first_seen.unwrap().nanos, 500_000_000);
        assert_eq!(
            event.last_seen.unwrap().seconds - event.first_seen.unwrap().seconds,
            300
        );
    }

    #[test]
    fn an_event_without_times_or_object_is_still_one() {
        let (grouped, _) = group(&[json!({}), json!("?")], 10);
        assert_eq!(grouped.len(), 1);
        assert_eq!(grouped[0].count, 2);
    }
}
