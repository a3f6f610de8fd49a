//! Logs that Loki has kept, of pods that are gone too.
//!
//! <https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time>

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bonesetter_chassis::http::{self, HttpError, HttpOptions};
use bonesetter_chassis::secret::{SecretError, SecretFile};
use bonesetter_proto::v1::{LogChunk, LogLine, LogSource, ObjectRef};
use prost_types::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::config::LokiSettings;
use crate::json::text;
use crate::lines::{self, TailLimits};
use crate::logql::{LabelNames, selector};

const TENANT: &str = "X-Scope-OrgID";
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Longer values of labels are cut; characters.
const LONGEST_LABEL: usize = 256;
/// A pod has several containers, and one query asks for all of them.
const LINES_PER_TAIL_LINE: usize = 4;
/// Loki's own limit by default; it refuses more.
const MAX_QUERY_LINES: usize = 5000;

/// Why Loki brought nothing. Never holds the credential.
#[derive(Debug, thiserror::Error)]
pub enum LokiError {
    /// The settings do not make a URL.
    #[error("cannot ask Loki: loki.url is not a URL that a path can be added to")]
    Url,
    /// The credential cannot be read.
    #[error("cannot ask Loki: loki.auth_header_file: {0}")]
    Secret(#[from] SecretError),
    /// The credential cannot be sent.
    #[error("cannot ask Loki: loki.auth_header_file does not hold the value of an HTTP header")]
    Header,
    /// No connection, or no answer in time.
    #[error("cannot reach Loki: {0}")]
    Unreachable(String),
    /// Loki refused.
    #[error("Loki answered {status}: {reason}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        reason: String,
    },
    /// The answer is not one of Loki.
    #[error("the answer of Loki cannot be read: {0}")]
    Answer(String),
}

/// What is asked of Loki: the lines of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// As Loki reads it.
    pub(crate) logql: String,
    /// Nanoseconds since the epoch.
    pub(crate) start: u128,
    /// Nanoseconds since the epoch.
    pub(crate) end: u128,
    /// Newest lines.
    pub(crate) limit: usize,
}

/// A Loki and how it is asked.
#[derive(Debug, Clone)]
pub struct Loki {
    client: reqwest::Client,
    url: String,
    tenant: Option<String>,
    auth: Option<SecretFile>,
    since: Duration,
    labels: LabelNames,
    cluster: String,
}

impl Loki {
    /// A client for the configured Loki; `None` where none is configured.
    pub fn new(settings: &LokiSettings, cluster: &str) -> Result<Option<Self>, HttpError> {
        let Some(url) = &settings.url else {
            return Ok(None);
        };
        let client = http::client(&HttpOptions {
            timeout: settings.timeout,
            ca_file: settings.ca_file.clone(),
            ..HttpOptions::to(url)
        })?;
        Ok(Some(Self {
            client,
            url: url.clone(),
            tenant: settings.tenant.clone(),
            auth: settings.auth_header_file.as_ref().map(SecretFile::new),
            since: settings.since,
            labels: settings.labels.clone(),
            cluster: cluster.to_owned(),
        }))
    }

    /// The query for the newest lines of one pod.
    pub(crate) fn query(&self, pod: &ObjectRef, now: SystemTime, limits: TailLimits) -> Query {
        let nanos = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Query {
            logql: selector(&self.labels, &self.cluster, &pod.namespace, &pod.name),
            start: nanos(now.checked_sub(self.since).unwrap_or(UNIX_EPOCH)),
            end: nanos(now),
            limit: (limits.lines * LINES_PER_TAIL_LINE).min(MAX_QUERY_LINES),
        }
    }

    /// The logs of a pod's containers, the newest lines of each.
    pub(crate) async fn pod_logs(
        &self,
        pod: &ObjectRef,
        query: &Query,
        limits: TailLimits,
    ) -> Result<Vec<LogChunk>, LokiError> {
        let answer = self.ask(query).await?;
        let answer = serde_json::from_slice(&answer)
            .map_err(|error| LokiError::Answer(format!("it is not JSON: {error}")))?;
        read_answer(&answer, pod, &self.labels.container, limits)
    }

    async fn ask(&self, query: &Query) -> Result<Vec<u8>, LokiError> {
        let mut url = reqwest::Url::parse(&self.url).map_err(|_| LokiError::Url)?;
        url.path_segments_mut()
            .map_err(|()| LokiError::Url)?
            .pop_if_empty()
            .extend(["loki", "api", "v1", "query_range"]);
        let mut request = self.client.get(url).query(&[
            ("query", query.logql.clone()),
            ("start", query.start.to_string()),
            ("end", query.end.to_string()),
            ("limit", query.limit.to_string()),
            ("direction", "backward".to_owned()),
        ]);
        if let Some(tenant) = &self.tenant {
            request = request.header(TENANT, tenant);
        }
        if let Some(auth) = &self.auth {
            let mut value = HeaderValue::from_str(auth.read()?.expose_secret())
                .map_err(|_| LokiError::Header)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let max = if status.is_success() {
            MAX_ANSWER_BYTES
        } else {
            1024
        };
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&bytes);
            if body.len() > max {
                break;
            }
        }
        if !status.is_success() {
            let reason = String::from_utf8_lossy(&body)
                .trim()
                .chars()
                .take(200)
                .collect();
            return Err(LokiError::Status {
                status: status.as_u16(),
                reason,
            });
        }
        if body.len() > max {
            let answer = format!("it is longer than {max} bytes; lower evidence.log_tail_lines");
            return Err(LokiError::Answer(answer));
        }
        Ok(body)
    }
}

/// The whole chain, since the outermost error only says that sending failed. Without the URL,
/// which names the pod again.
fn unreachable(error: reqwest::Error) -> LokiError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    LokiError::Unreachable(text)
}

/// The lines of each container, oldest first. Streams of one container (stdout and stderr, for
/// example) become one log.
fn read_answer(
    answer: &Value,
    pod: &ObjectRef,
    container_label: &str,
    limits: TailLimits,
) -> Result<Vec<LogChunk>, LokiError> {
    let kind = text(answer, "/data/resultType");
    if kind != "streams" {
        return Err(LokiError::Answer(format!(
            "it holds {kind:?} and not streams"
        )));
    }
    let mut by_container: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for stream in list(answer, "/data/result")? {
        let container = stream
            .pointer("/stream")
            .and_then(|labels| labels.get(container_label));
        let lines = by_container
            .entry(label(container.and_then(Value::as_str).unwrap_or("")))
            .or_default();
        for value in list(stream, "/values")? {
            let at = text(value, "/0").parse();
            let line = value.pointer("/1").and_then(Value::as_str);
            let (Ok(at), Some(line)) = (at, line) else {
                let problem = "a line in it has no time in nanoseconds or no text";
                return Err(LokiError::Answer(problem.to_owned()));
            };
            lines.push((at, line));
        }
    }
    Ok(by_container
        .into_iter()
        .filter(|(_, lines)| !lines.is_empty())
        .map(|(container, lines)| chunk(pod, container, lines, limits))
        .collect())
}

/// The list at a JSON pointer.
fn list<'a>(value: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, LokiError> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.ok_or_else(|| LokiError::Answer(format!("there is no list at {pointer}")))
}

/// The value of a label, which Loki takes of any length.
fn label(value: &str) -> &str {
    let end = value.char_indices().nth(LONGEST_LABEL);
    end.map_or(value, |(end, _)| &value[..end])
}

fn chunk(
    pod: &ObjectRef,
    container: &str,
    mut lines: Vec<(u64, &str)>,
    limits: TailLimits,
) -> LogChunk {
    lines.sort_by_key(|(at, _)| *at);
    let left_out = lines.len().saturating_sub(limits.lines);
    let kept = lines.into_iter().skip(left_out).map(|(at, text)| {
        let line = lines::cut(text, limits.line_bytes);
        LogLine {
            at: time(at),
            text: line.text,
            cut: line.cut,
        }
    });
    LogChunk {
        pod: Some(pod.clone()),
        container: container.to_owned(),
        source: LogSource::Loki.into(),
        lines: kept.collect(),
        lines_left_out: left_out as u64,
        ..LogChunk::default()
    }
}

fn time(nanos: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(nanos / 1_000_000_000).ok()?;
    let nanos = i32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: TailLimits = TailLimits {
        lines: 2,
        line_bytes: 16,
    };

    fn pod() -> ObjectRef {
        ObjectRef {
            namespace: "shop".to_owned(),
            name: "api-1".to_owned(),
            ..ObjectRef::default()
        }
    }

    fn loki(settings: &LokiSettings) -> Loki {
        let settings = LokiSettings {
            url: Some("http://127.0.0.1:9".to_owned()),
            ..settings.clone()
        };
        Loki::new(&settings, "demo").unwrap().unwrap()
    }

    #[test]
    fn streams_of_a_container_are_one_log_and_the_newest_lines_stay() {
        let answer = json!({"status": "success", "data": {"resultType": "streams", "result": [
            {"stream": {"container": "app", "stream": "stdout"},
                "values": [["3000000001", "third"], ["1000000000", "first"]]},
            {"stream": {"container": "app", "stream": "stderr"}, "values": [["2000000000", "second", {}]]},
            {"stream": {"container": "init"}, "values": [["1", "a line that is too long to be kept"]]},
            {"stream": {}, "values": []},
        ]}});
        let chunks = read_answer(&answer, &pod(), "container", LIMITS).unwrap();
        assert_eq!(chunks.len(), 2);
        let app: Vec<_> = chunks[0]
            .lines
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        assert_eq!(
            (app, chunks[0].lines_left_out),
            (vec!["second", "third"], 1)
        );
        assert_eq!(
            chunks[0].lines[1].at,
            Some(Timestamp {
                seconds: 3,
                nanos: 1
            })
        );
        assert!(chunks[1].lines[0].cut && chunks[1].container == "init");
    }

    #[test]
    fn what_is_not_an_answer_of_loki_is_an_error() {
        for answer in [
            json!({}),
            json!({"data": {"resultType": "matrix", "result": []}}),
            json!([]),
            json!({"data": {"resultType": "streams"}}),
            json!({"data": {"resultType": "streams", "result": {}}}),
            json!({"data": {"resultType": "streams", "result": ["app"]}}),
            stream("app", &json!("first")),
            stream("app", &json!(["first"])),
            stream("app", &json!([["soon", "first"]])),
            stream("app", &json!([[1, "first"]])),
            stream("app", &json!([["1", 7]])),
        ] {
            let read = read_answer(&answer, &pod(), "container", LIMITS);
            assert!(matches!(read, Err(LokiError::Answer(_))), "{answer}");
        }
    }

    fn stream(container: &str, values: &Value) -> Value {
        let stream = json!({"stream": {"container": container}, "values": values});
        json!({"data": {"resultType": "streams", "result": [stream]}})
    }

    #[test]
    fn a_label_of_any_length_is_cut_between_characters() {
        for (length, left) in [(255, 255), (256, 256), (300, 256)] {
            let answer = stream(&"\u{e4}".repeat(length), &json!([["1", "first"]]));
            let chunks = read_answer(&answer, &pod(), "container", LIMITS).unwrap();
            assert_eq!(chunks[0].container, "\u{e4}".repeat(left));
        }
    }

    #[test]
    fn the_time_asked_for_ends_now() {
        let loki = loki(&LokiSettings::default());
        let now = UNIX_EPOCH + Duration::from_hours(2);
        let query = loki.query(
            &pod(),
            now,
            TailLimits {
                lines: 100,
                line_bytes: 1,
            },
        );
        assert_eq!(
            query,
            Query {
                logql: r#"{namespace="shop",pod="api-1"}"#.to_owned(),
                start: 3_600_000_000_000,
                end: 7_200_000_000_000,
                limit: 400,
            }
        );
        assert_eq!(
            loki.query(
                &pod(),
                UNIX_EPOCH,
                TailLimits {
                    lines: 10_000,
                    line_bytes: 1
                }
            )
            .limit,
            5000
        );
    }

    #[test]
    fn without_a_url_there_is_no_loki() {
        assert!(
            Loki::new(&LokiSettings::default(), "demo")
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_credential_that_is_missing_or_cannot_be_sent_says_so_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth");
        let loki = loki(&LokiSettings {
            auth_header_file: Some(path.clone()),
            ..LokiSettings::default()
        });
        let query = loki.query(&pod(), UNIX_EPOCH, LIMITS);
        assert!(matches!(loki.ask(&query).await, Err(LokiError::Secret(_))));
        std::fs::write(&path, "Bearer a\nsecret").unwrap();
        let error = loki.ask(&query).await.unwrap_err();
        assert!(matches!(error, LokiError::Header) && !error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_loki_that_is_away_is_an_error_that_says_why() {
        let loki = loki(&LokiSettings::default());
        let query = loki.query(&pod(), UNIX_EPOCH, LIMITS);
        let error = loki.pod_logs(&pod(), &query, LIMITS).await.unwrap_err();
        assert!(
            matches!(&error, LokiError::Unreachable(why) if why.contains("refused")),
            "{error}"
        );
    }
}
