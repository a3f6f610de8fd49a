//! Reading from the Kubernetes API.
//!
//! Objects are read as plain JSON and kept as the server wrote them: digests and diffs must not
//! depend on which fields this build knows. Answers are parsed here and not by the client library,
//! which writes what it cannot parse to the log.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bonesetter_chassis::answer::{read, take_items};
use bonesetter_proto::v1::LogChunk;
use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind, Request};
use kube::{Client, Resource as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer;
use crate::lines::TailLimits;
use crate::pod_log;
use crate::pods::LogPlan;
use crate::provenance::Recorder;
use crate::query_error::QueryError;

const PAGE_ITEMS: u32 = 500;
/// 10,000 objects of one kind; more of one workload say nothing new.
const MAX_PAGES: usize = 20;
/// Read of one log before fewer lines are asked for.
const MAX_LOG_BYTES: usize = 8 * 1024 * 1024;

/// Which objects to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
    pub(crate) max: Option<u32>,
}

/// The API during one collection.
#[derive(Debug)]
pub(crate) struct Kubernetes<'a> {
    client: &'a ClientOf,
    recorder: &'a Recorder,
    deadline: Instant,
    /// What lists were not read to their end.
    gaps: Mutex<BTreeSet<String>>,
}

/// A client that can be printed.
#[derive(Clone)]
pub(crate) struct ClientOf(pub(crate) Client);

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// The resource of a kind; its plural is guessed as `kubectl` users would write it.
pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

impl<'a> Kubernetes<'a> {
    /// Queries are recorded, and none goes on after the deadline.
    pub(crate) const fn new(
        client: &'a ClientOf,
        recorder: &'a Recorder,
        deadline: Instant,
    ) -> Self {
        Self {
            client,
            recorder,
            deadline,
            gaps: Mutex::new(BTreeSet::new()),
        }
    }

    /// Which lists were not read to their end.
    pub(crate) fn into_gaps(self) -> BTreeSet<String> {
        let gaps = self.gaps.into_inner();
        gaps.unwrap_or_else(PoisonError::into_inner)
    }

    /// One object.
    pub(crate) async fn get(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Value, QueryError> {
        let what = format!("read {} {}", resource.kind, place(namespace, name));
        let inputs = json!({"kind": resource.kind, "namespace": namespace, "name": name});
        let read = async {
            check_names(&what, &[namespace, name])?;
            let request = Request::new(url(resource, namespace))
                .get(name, &kube::api::GetParams::default())
                .map_err(|error| QueryError::unusable(&what, &error))?;
            let mut object = self.request(&what, request).await?;
            if !answer::is_object(&object, namespace, name) {
                return Err(QueryError::not_asked_for(&what, "that object"));
            }
            set_type(&mut object, resource);
            Ok(object)
        };
        let result = self.in_time(&what, read).await;
        let bytes = |object: &Value| object.to_string().into_bytes();
        self.record(
            &format!("kubernetes.get_{}", resource.kind.to_lowercase()),
            &inputs,
            &result,
            bytes,
        );
        result
    }

    /// All objects that match, page by page.
    pub(crate) async fn list(
        &self,
        resource: &ApiResource,
        namespace: &str,
        filter: &Filter,
    ) -> Result<Vec<Value>, QueryError> {
        let what = format!("list {} {}", resource.plural, place(namespace, ""));
        let inputs = json!({
            "kind": resource.kind, "namespace": namespace,
            "labels": filter.labels, "fields": filter.fields, "max": filter.max,
        });
        let result = self
            .in_time(&what, self.list_pages(&what, resource, namespace, filter))
            .await;
        let bytes = |objects: &Vec<Value>| Value::from(objects.clone()).to_string().into_bytes();
        self.record(
            &format!("kubernetes.list_{}", resource.plural),
            &inputs,
            &result,
            bytes,
        );
        result
    }

    async fn list_pages(
        &self,
        what: &str,
        resource: &ApiResource,
        namespace: &str,
        filter: &Filter,
    ) -> Result<Vec<Value>, QueryError> {
        check_names(what, &[namespace])?;
        let mut params = ListParams::default().limit(filter.max.unwrap_or(PAGE_ITEMS));
        params.label_selector.clone_from(&filter.labels);
        params.field_selector.clone_from(&filter.fields);
        let mut objects = Vec::new();
        for page in 1.. {
            let request = Request::new(url(resource, namespace))
                .list(&params)
                .map_err(|error| QueryError::unusable(what, &error))?;
            let mut answer = self.request(what, request).await?;
            let items = take_items(&mut answer);
            objects
                .extend(items.ok_or_else(|| QueryError::not_asked_for(what, "a list of objects"))?);
            let next = crate::json::text(&answer, "/metadata/continue");
            if next.is_empty() || filter.max.is_some() {
                break;
            }
            if page == MAX_PAGES {
                self.note_gap(what, objects.len());
                break;
            }
            params.continue_token = Some(next.to_owned());
        }
        for object in &mut objects {
            set_type(object, resource);
        }
        Ok(objects)
    }

    /// The tail of one log. Fewer lines are asked for where the lines are so long that the newest
    /// would not be reached.
    pub(crate) async fn log(
        &self,
        plan: &LogPlan,
        limits: TailLimits,
    ) -> Result<LogChunk, QueryError> {
        let what = format!("read the log {}", plan.name());
        let inputs = json!({
            "namespace": plan.pod.namespace, "pod": plan.pod.name, "container": plan.container,
            "previous": plan.previous, "lines": limits.lines,
        });
        let result = self
            .in_time(&what, self.read_log(&what, plan, limits))
            .await;
        let bytes = |chunk: &LogChunk| {
            chunk
                .lines
                .iter()
                .flat_map(|line| line.text.bytes().chain(*b"\n"))
                .collect()
        };
        self.record("kubernetes.pod_log", &inputs, &result, bytes);
        result
    }

    async fn read_log(
        &self,
        what: &str,
        plan: &LogPlan,
        limits: TailLimits,
    ) -> Result<LogChunk, QueryError> {
        check_names(
            what,
            &[&plan.pod.namespace, &plan.pod.name, &plan.container],
        )?;
        let pods = Request::new(url(&resource("v1", "Pod"), &plan.pod.namespace));
        let mut lines = limits.lines;
        loop {
            let params = LogParams {
                container: Some(plan.container.clone()),
                previous: plan.previous,
                timestamps: true,
                tail_lines: i64::try_from(lines).ok(),
                ..LogParams::default()
            };
            let request = pods
                .logs(&plan.pod.name, &params)
                .map_err(|error| QueryError::unusable(what, &error))?;
            let answer = self.send(what, request).await?.into_data_stream();
            let stream = answer.map_err(std::io::Error::other).into_async_read();
            let (tail, ended) = pod_log::read_tail(stream, limits, MAX_LOG_BYTES)
                .await
                .map_err(|error| QueryError::Unavailable {
                    what: what.to_owned(),
                    reason: error.to_string(),
                })?;
            if ended || lines == 1 {
                return pod_log::chunk(plan, tail)
                    .ok_or_else(|| QueryError::refused(what, "the node no longer has it"));
            }
            lines = (lines / 4).max(1);
        }
    }

    async fn request(
        &self,
        what: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<Value, QueryError> {
        let answer = self.send(what, request).await?;
        let body = read(answer)
            .await
            .map_err(|error| QueryError::unread(what, &error))?;
        serde_json::from_slice(&body)
            .map_err(|error| QueryError::refused(what, format!("the answer is not JSON: {error}")))
    }

    /// The body of an answer that is no refusal.
    async fn send(&self, what: &str, request: http::Request<Vec<u8>>) -> Result<Body, QueryError> {
        let response = self.client.0.send(request.map(Body::from)).await;
        let response = response.map_err(|error| QueryError::unanswered(what, &error))?;
        let code = response.status();
        let body = response.into_body();
        if !code.is_client_error() && !code.is_server_error() {
            return Ok(body);
        }
        let said = read(body)
            .await
            .map_err(|error| QueryError::unread(what, &error))?;
        Err(QueryError::of(what, &answer::status(code, &said)))
    }

    fn note_gap(&self, what: &str, read: usize) {
        let gap = format!("cannot {what} to the end: only the first {read} were read");
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.insert(gap);
    }

    async fn in_time<T>(
        &self,
        what: &str,
        query: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        match tokio::time::timeout_at(self.deadline, query).await {
            Ok(result) => result,
            Err(_) => Err(QueryError::Unavailable {
                what: what.to_owned(),
                reason: "no answer before the deadline".to_owned(),
            }),
        }
    }

    fn record<T>(
        &self,
        tool: &str,
        inputs: &Value,
        result: &Result<T, QueryError>,
        bytes: impl Fn(&T) -> Vec<u8>,
    ) {
        let bytes = match result {
            Ok(result) => bytes(result),
            Err(error) => error.to_string().into_bytes(),
        };
        self.recorder.record(tool, inputs, &bytes);
    }
}

fn place(namespace: &str, name: &str) -> String {
    match (namespace, name) {
        ("", name) => name.to_owned(),
        (namespace, "") => format!("in namespace {namespace}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn url(resource: &ApiResource, namespace: &str) -> String {
    let namespace = if namespace.is_empty() {
        None
    } else {
        Some(namespace)
    };
    DynamicObject::url_path(resource, namespace)
}

/// Names become part of a URL path; what no object can be called is not asked for.
fn check_names(what: &str, names: &[&str]) -> Result<(), QueryError> {
    let is_fine = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
            && !name.contains("..")
    };
    if names.iter().all(is_fine) {
        return Ok(());
    }
    Err(QueryError::refused(
        what,
        "that is not a name that an object can have",
    ))
}

/// Lists leave out the type of their items.
fn set_type(object: &mut Value, resource: &ApiResource) {
    if let Some(object) = object.as_object_mut() {
        object.insert(
            "apiVersion".to_owned(),
            Value::from(resource.api_version.clone()),
        );
        object.insert("kind".to_owned(), Value::from(resource.kind.clone()));
    }
}
