//! Spans as a collector writes them: OTLP in JSON.
//! Source: OpenTelemetry Protocol, "JSON Protobuf Encoding"; `trace.proto`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// What a collector was sent.
#[derive(Debug, Clone)]
pub struct Traces {
    /// As it wrote it: an export a line.
    pub text: String,
    /// Every span, in the order in which they came.
    pub spans: Vec<Span>,
}

impl Traces {
    /// The spans of one trace.
    pub fn of(&self, trace: &str) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |span| span.trace == trace)
    }
}

impl FromStr for Traces {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut spans = Vec::new();
        for line in text.lines() {
            let export: Export = serde_json::from_str(line)?;
            spans.extend(export.resource_spans.into_iter().flat_map(Resource::spans));
        }
        Ok(Self {
            text: text.to_owned(),
            spans,
        })
    }
}

/// A span. Ids are in hexadecimal digits, and empty where there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The `service.name` of the resource that it came with.
    #[serde(skip)]
    pub service: String,
    /// Id of its trace.
    #[serde(rename = "traceId")]
    pub trace: String,
    /// Its own id.
    #[serde(rename = "spanId")]
    pub id: String,
    /// Id of its parent.
    #[serde(rename = "parentSpanId", default)]
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: SpanKind,
    /// Its attributes; those that are no text are as JSON has them.
    #[serde(default, deserialize_with = "attributes")]
    pub attributes: BTreeMap<String, String>,
    /// Ids of the spans that it is linked to.
    #[serde(default, deserialize_with = "linked")]
    pub links: Vec<String>,
    /// Why it failed, if it did.
    #[serde(rename = "status", default, deserialize_with = "failure")]
    pub failure: Option<String>,
}

impl Span {
    /// An attribute, and nothing where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// What a span is to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "u8")]
pub enum SpanKind {
    /// Nobody said.
    #[default]
    Unspecified,
    /// There is no other side.
    Internal,
    /// It answers.
    Server,
    /// It asks.
    Client,
    /// It sends a message.
    Producer,
    /// It takes a message.
    Consumer,
}

impl From<u8> for SpanKind {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export {
    resource_spans: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: Described,
    scope_spans: Vec<Scope>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default, deserialize_with = "attributes")]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Scope {
    spans: Vec<Span>,
}

impl Resource {
    fn spans(self) -> impl Iterator<Item = Span> {
        let mut attributes = self.resource.attributes;
        let service = attributes.remove("service.name").unwrap_or_default();
        let spans = self.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Span {
            service: service.clone(),
            ..span
        })
    }
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    value: BTreeMap<String, Value>,
}

impl Attribute {
    fn text(self) -> (String, String) {
        let text = match self.value.into_values().next() {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        (self.key, text)
    }
}

fn attributes<'de, D>(from: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let list = Vec::<Attribute>::deserialize(from)?;
    Ok(list.into_iter().map(Attribute::text).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    span_id: String,
}

fn linked<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<Link>::deserialize(from)?;
    Ok(list.into_iter().map(|link| link.span_id).collect())
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u8,
    #[serde(default)]
    message: String,
}

fn failure<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    const ERROR: u8 = 2;
    let status = Status::deserialize(from)?;
    Ok((status.code == ERROR).then_some(status.message))
}

#[cfg(test)]
mod tests {
    use super::{SpanKind, Traces};

    #[test]
    fn every_span_comes_with_its_service() {
        // A line of the collector's, with two spans.
        let text = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc-x"}}]},"scopeSpans":[{"scope":{},"spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","name":"send S","kind":4,"attributes":[{"key":"size","value":{"intValue":"3"}},{"key":"first","value":{"boolValue":true}},{"key":"none","value":{}}],"status":{"message":"m","code":2}},{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b8","parentSpanId":"00f067aa0ba902b7","flags":257,"name":"process S","kind":5,"links":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","flags":257}],"status":{}}]}]}]}"#;
        let traces: Traces = text.parse().unwrap();
        let trace: Vec<_> = traces.of("4bf92f3577b34da6a3ce929d0e0e4736").collect();
        let [sent, processed] = trace[..] else {
            panic!("{trace:?}");
        };
        assert_eq!(
            (sent.service.as_str(), sent.kind),
            ("svc-x", SpanKind::Producer)
        );
        assert_eq!(
            (sent.parent.as_str(), sent.failure.as_deref()),
            ("", Some("m"))
        );
        assert_eq!(
            ["size", "first", "none", "absent"].map(|name| sent.attribute(name)),
            ["3", "true", "", ""]
        );
        assert_eq!(
            (processed.service.as_str(), processed.kind),
            ("svc-x", SpanKind::Consumer)
        );
        assert_eq!((&processed.parent, &processed.failure), (&sent.id, &None));
        assert_eq!(processed.links, [sent.id.as_str()]);
    }
}
