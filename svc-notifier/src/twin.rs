//! A diagnosis as a CloudEvent in JSON, for tools that do not speak protobuf.
//!
//! It is the same event in another encoding: `id`, `source`, `type` and `time` are those of the
//! protobuf message, so a tool that gets both can tell. `data` is the canonical JSON mapping of
//! protobuf, made by reflection over the contract's own descriptors and not by code per field, so a
//! field that the contract gains is there without anybody thinking of it. Sources: CloudEvents 1.0.2
//! with its JSON format and its NATS binding (structured mode); the JSON mapping of protobuf.

use bonesetter_chassis::bus::event_source;
use bonesetter_chassis::clock::rfc3339;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_proto::v1::{Diagnosed, Envelope, Incident};
use bonesetter_proto::{DESCRIPTOR_SET, Encoding, Event, Message, Subject, Writer, from_timestamp};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Serialize as _;
use serde_json::{Map, Value, json};

const TYPE_NAME: &str = "bonesetter.v1.Diagnosed";
/// What `data` adheres to. It changes when the major version does.
const SCHEMA: &str = "https://github.com/bonesetter-dev/bonesetter/blob/main/proto/protos/bonesetter/v1/diagnosed.proto";

/// Why there is no twin of a diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// The descriptors that this program was built with are not whole.
    #[error("the built-in descriptors do not describe bonesetter.v1.Diagnosed")]
    Descriptors,
    /// The message does not fit them.
    #[error("the diagnosis does not fit its descriptor: {0}")]
    Transcode(prost::DecodeError),
    /// It cannot be written as JSON.
    #[error("the diagnosis cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A diagnosis, written down as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin(Vec<u8>);

impl Twin {
    /// The CloudEvent, a JSON object in UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Event for Twin {
    const STAGE: bonesetter_proto::Stage = bonesetter_proto::Stage::DiagnosedJson;
    const EVENT_TYPE: &'static str = <Diagnosed as Message>::EVENT_TYPE;
    const SIGNED_BY: Option<Writer> = Some(Writer::Publisher);
    const ENCODING: Encoding = Encoding::CloudEventJson;

    fn into_bytes(self, _: Envelope) -> Vec<u8> {
        self.0
    }
}

/// Makes twins. As a stage it gets only diagnoses whose signature has been verified.
#[derive(Debug)]
pub struct Twins {
    descriptor: MessageDescriptor,
}

impl Twins {
    /// Reads the descriptors of the contract.
    pub fn new() -> Result<Self, TwinError> {
        let descriptor = DescriptorPool::decode(DESCRIPTOR_SET)
            .ok()
            .and_then(|pool| pool.get_message_by_name(TYPE_NAME))
            .ok_or(TwinError::Descriptors)?;
        Ok(Self { descriptor })
    }

    /// The twin of a diagnosis that was published under that subject and with that trace context.
    pub fn twin(
        &self,
        subject: &Subject,
        diagnosed: &Diagnosed,
        traceparent: Option<&str>,
    ) -> Result<Twin, TwinError> {
        let mut event = attributes(subject, diagnosed);
        if let Some(traceparent) = traceparent.filter(|it| is_traceparent(it)) {
            event.insert("traceparent".to_owned(), json!(traceparent));
        }
        event.insert("data".to_owned(), self.data(diagnosed)?);
        Ok(Twin(serde_json::to_vec(&event)?))
    }

    fn data(&self, diagnosed: &Diagnosed) -> Result<Value, TwinError> {
        let mut message = DynamicMessage::new(self.descriptor.clone());
        message
            .transcode_from(diagnosed)
            .map_err(TwinError::Transcode)?;
        Ok(message.serialize(serde_json::value::Serializer)?)
    }
}

impl Stage for Twins {
    type In = Diagnosed;
    type Out = Twin;
    const REASONS: &'static [&'static str] = &["no-json"];

    async fn handle(&self, input: &Input<Diagnosed>) -> Outcome<Twin> {
        match self.twin(&input.subject, &input.message, input.traceparent.as_deref()) {
            Ok(message) => Outcome::Done(vec![Output {
                step: input.subject.step.clone(),
                message,
            }]),
            Err(error) => Outcome::Reject {
                reason: "no-json",
                cause: error.into(),
            },
        }
    }
}

fn attributes(subject: &Subject, diagnosed: &Diagnosed) -> Map<String, Value> {
    let envelope = diagnosed.envelope.clone().unwrap_or_default();
    let incident = diagnosed.incident.clone().unwrap_or_default();
    let mut event = Map::new();
    let mut set = |name: &str, value: String| event.insert(name.to_owned(), Value::from(value));
    set("specversion", "1.0".to_owned());
    set("id", envelope.message_id);
    set("source", event_source(&subject.cluster, &envelope.producer));
    set("type", <Diagnosed as Message>::EVENT_TYPE.to_owned());
    set("subject", workload(&incident));
    if let Some(at) = envelope.produced_at.as_ref().and_then(from_timestamp) {
        set("time", rfc3339(at));
    }
    set("datacontenttype", "application/json".to_owned());
    set("dataschema", SCHEMA.to_owned());
    event
}

/// What it is about: `<namespace>/<kind>/<name>` of the root owner, `_` where there is no namespace.
fn workload(incident: &Incident) -> String {
    let owner = incident.root_owner.clone().unwrap_or_default();
    let namespace = match owner.namespace.as_str() {
        "" => "_",
        namespace => namespace,
    };
    format!("{namespace}/{}/{}", owner.kind, owner.name)
}

/// The form of W3C Trace Context, version 00: it comes from a header, which nobody signs.
fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([2, 32, 16, 2]) && text.bytes().all(|it| it == b'-' || it.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
