use std::time::SystemTime;

use async_nats::HeaderMap;
use bonesetter_proto::{Encoding, Event, Subject};

use super::header;
use crate::clock::rfc3339;

/// The media type of a CloudEvent in JSON.
pub const CLOUDEVENT_JSON: &str = "application/cloudevents+json";

/// The CloudEvents `source` of what a service publishes about a cluster.
pub fn event_source(cluster: &str, producer: &str) -> String {
    format!("/bonesetter/{cluster}/{producer}")
}

/// Says in headers what an event is. A payload that holds its attributes gets no attributes as
/// headers: readers tell binary from structured mode by them.
pub(super) fn describe<E: Event>(
    headers: &mut HeaderMap,
    subject: &Subject,
    id: &str,
    producer: &str,
    now: SystemTime,
) {
    headers.insert(header::SCHEMA, "1");
    match E::ENCODING {
        Encoding::CloudEventJson => headers.insert(header::CONTENT_TYPE, CLOUDEVENT_JSON),
        Encoding::Protobuf => {
            headers.insert("ce-specversion", "1.0");
            headers.insert("ce-id", id);
            headers.insert("ce-source", event_source(&subject.cluster, producer));
            headers.insert("ce-type", E::EVENT_TYPE);
            headers.insert("ce-time", rfc3339(now));
            headers.insert("ce-datacontenttype", "application/protobuf");
        }
    }
}
