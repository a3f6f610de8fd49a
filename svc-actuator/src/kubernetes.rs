//! The API server: reads, tries and writes Deployments.
//!
//! Objects are taken as JSON and never as typed structs: a change and its inverse must cover fields
//! that this version of us does not know, and the client logs a whole body that it cannot decode.
//! Its messages never leave this module either, because the API server quotes values in them
//! (`Invalid value: "..."`); what is passed on is the status, the reason and the fields.

use std::fmt;
use std::time::Duration;

use bonesetter_chassis::answer::{read, take_items};
use json_patch::jsonptr::PointerBuf;
use json_patch::{PatchOperation, ReplaceOperation, TestOperation};
use kube::Client;
use kube::api::{GetParams, ListParams, Patch, PatchParams, ValidationDirective};
use kube::client::Body;
use kube::core::request::Request;
use kube::core::response::Status;
use serde_json::Value;

use crate::answer;
use crate::edit::{Edits, pointer};
use crate::ownership::Conflict;
use crate::policy::FIELD_MANAGER;
use crate::render::revision_of;

const PAGE: u32 = 250;
/// A list that never ends is not one.
const MAX_PAGES: usize = 40;

/// Why the API server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It may go better later.
    #[error("cannot {doing}: {why}; it will be tried again")]
    Passing {
        /// What was attempted.
        doing: String,
        /// Why, without any value of an object.
        why: String,
    },
    /// Our role lacks a right.
    #[error("not allowed to {doing}: {refusal}; grant svc-actuator's ServiceAccount this verb")]
    Denied {
        /// What was attempted.
        doing: String,
        /// As the API server said it.
        refusal: Refusal,
    },
    /// The object changed since it was read.
    #[error("cannot {doing}: the object has changed since it was read")]
    Contended {
        /// What was attempted.
        doing: String,
    },
    /// The request was refused for what is in it.
    #[error("the API server refused to {doing}: {refusal}")]
    Refused {
        /// What was attempted.
        doing: String,
        /// As the API server said it.
        refusal: Refusal,
    },
}

impl ApiError {
    /// Whether the same request would be refused again: not while only our token has expired.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Denied { refusal, .. } => refusal.code != 401,
            Self::Refused { .. } => true,
            Self::Passing { .. } | Self::Contended { .. } => false,
        }
    }
}

/// A refusal without the API server's message, which quotes values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// For example "Invalid".
    pub reason: String,
    /// Fields that the API server named.
    pub fields: Vec<String>,
    /// The admission policy or webhook that refused.
    pub admission: Option<String>,
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let fields = causes
            .map(|cause| cause.field.clone())
            .filter(|field| !field.is_empty());
        Self {
            code: status.code,
            reason: status.reason.clone(),
            fields: fields.collect(),
            admission: admission(&status.message),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)?;
        if let Some(admission) = &self.admission {
            write!(f, " by {admission}")?;
        }
        if !self.fields.is_empty() {
            write!(f, " ({})", self.fields.join(", "))?;
        }
        Ok(())
    }
}

/// The name in `admission webhook "x" denied the request` or `ValidatingAdmissionPolicy 'x' with ...`.
fn admission(message: &str) -> Option<String> {
    let markers = [
        ("admission webhook \"", '"'),
        ("ValidatingAdmissionPolicy '", '\''),
    ];
    markers.into_iter().find_map(|(marker, quote)| {
        let (_, rest) = message.split_once(marker)?;
        let (name, _) = rest.split_once(quote)?;
        Some(name.to_owned())
    })
}

/// The Deployments of a cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    timeout: Duration,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// Every request is given up after `timeout`.
    pub const fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// The version of the API server, which shows that it can be reached.
    pub async fn version(&self) -> Result<String, ApiError> {
        let request = http::Request::get("/version").body(Vec::new());
        let request = request.map_err(|error| passing("ask for the version", &error))?;
        let version = self.send("ask for the version", request).await?;
        Ok(version["gitVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// One Deployment; `None` when there is none.
    pub async fn deployment(&self, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let doing = format!("get deployment {namespace}/{name}");
        let request = deployments(namespace)
            .get(name, &GetParams::default())
            .map_err(|error| passing(&doing, &error))?;
        let live = self.send_about(&doing, request, namespace, name);
        match live.await {
            Ok(live) => Ok(Some(live)),
            Err(ApiError::Refused { refusal, .. }) if refusal.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The `ReplicaSets` that a Deployment controls.
    pub async fn replica_sets(&self, live: &Value) -> Result<Vec<Value>, ApiError> {
        let sets = self.list("apis/apps/v1", "replicasets", live).await?;
        Ok(sets
            .into_iter()
            .filter(|set| is_controlled(set, live))
            .collect())
    }

    /// The pods of a Deployment's newest revision.
    pub async fn newest_pods(&self, live: &Value) -> Result<Vec<Value>, ApiError> {
        let sets = self.replica_sets(live).await?;
        let revision = revision_of(live);
        let newest = sets
            .iter()
            .find(|set| revision.is_some() && revision_of(set) == revision);
        let Some(newest) = newest else {
            return Ok(Vec::new());
        };
        let pods = self.list("api/v1", "pods", newest).await?;
        Ok(pods
            .into_iter()
            .filter(|pod| is_controlled(pod, newest))
            .collect())
    }

    /// Asks who owns the fields of an apply configuration: a server-side apply without force, as a
    /// dry run. Conflicts are found before the merged object is validated, so a merge that would
    /// not be valid says that there are none.
    pub async fn conflicts(&self, live: &Value, wanted: &Value) -> Result<Vec<Conflict>, ApiError> {
        let (namespace, name) = name_of(live);
        let doing = format!("probe the owners of deployment {namespace}/{name}");
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::apply(FIELD_MANAGER)
        };
        let request = deployments(namespace)
            .patch(name, &parameters, &Patch::Apply(wanted))
            .map_err(|error| passing(&doing, &error))?;
        let status = match self.call(request).await {
            Ok(_) => return Ok(Vec::new()),
            Err(kube::Error::Api(status)) => status,
            Err(error) => return Err(passing(&doing, &error)),
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let conflicts: Vec<_> = causes
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| Conflict::of_cause(&cause.message, &cause.field))
            .collect();
        match status.code {
            409 if !conflicts.is_empty() => Ok(conflicts),
            422 => Ok(Vec::new()),
            _ => Err(classify(&doing, &status)),
        }
    }

    /// Writes edits to the object that was read, and to no later state of it; as a dry run, only
    /// says what would come of it.
    pub async fn write(
        &self,
        live: &Value,
        edits: &Edits,
        is_dry_run: bool,
    ) -> Result<Value, ApiError> {
        let (namespace, name) = name_of(live);
        let what = if is_dry_run {
            "dry-run a change of"
        } else {
            "change"
        };
        let doing = format!("{what} deployment {namespace}/{name}");
        let parameters = PatchParams {
            dry_run: is_dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let patch: Patch<()> = Patch::Json(preconditioned(live, edits));
        let request = deployments(namespace)
            .patch(name, &parameters, &patch)
            .map_err(|error| passing(&doing, &error))?;
        self.send_about(&doing, request, namespace, name).await
    }

    async fn list(&self, api: &str, what: &str, of: &Value) -> Result<Vec<Value>, ApiError> {
        let (namespace, name) = name_of(of);
        let doing = format!("list {what} of {namespace}/{name}");
        let requests = Request::new(format!("/{api}/namespaces/{namespace}/{what}"));
        let mut parameters = ListParams::default().labels(&selector(of)).limit(PAGE);
        let mut items = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = requests
                .list(&parameters)
                .map_err(|error| passing(&doing, &error))?;
            let mut page = self.send(&doing, request).await?;
            let found = take_items(&mut page);
            items.extend(found.ok_or_else(|| passing(&doing, &"the answer is not a list"))?);
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => parameters = parameters.continue_token(token),
                _ => return Ok(items),
            }
        }
        Err(passing(
            &doing,
            &format!("the list goes on after {MAX_PAGES} pages"),
        ))
    }

    /// Sends a request that is answered with one Deployment.
    async fn send_about(
        &self,
        doing: &str,
        request: http::Request<Vec<u8>>,
        namespace: &str,
        name: &str,
    ) -> Result<Value, ApiError> {
        let answered = self.send(doing, request).await?;
        if answer::is_deployment(&answered, namespace, name) {
            Ok(answered)
        } else {
            Err(passing(doing, &"the answer is not that Deployment"))
        }
    }

    async fn send(&self, doing: &str, request: http::Request<Vec<u8>>) -> Result<Value, ApiError> {
        self.call(request).await.map_err(|error| match error {
            kube::Error::Api(status) => classify(doing, &status),
            error => passing(doing, &error),
        })
    }

    async fn call(&self, request: http::Request<Vec<u8>>) -> Result<Value, kube::Error> {
        match tokio::time::timeout(self.timeout, self.answer(request)).await {
            Ok(result) => result,
            Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
        }
    }

    async fn answer(&self, request: http::Request<Vec<u8>>) -> Result<Value, kube::Error> {
        let response = self.client.send(request.map(Body::from)).await?;
        let code = response.status();
        let body = read(response.into_body()).await;
        let body = body.map_err(|error| kube::Error::Service(error.into()))?;
        if code.is_client_error() || code.is_server_error() {
            return Err(kube::Error::Api(answer::status(code, &body).boxed()));
        }
        serde_json::from_slice(&body).map_err(kube::Error::SerdeError)
    }
}

fn passing(doing: &str, error: &dyn fmt::Display) -> ApiError {
    ApiError::Passing {
        doing: doing.to_owned(),
        why: error.to_string(),
    }
}

fn classify(doing: &str, status: &Status) -> ApiError {
    let doing = doing.to_owned();
    let refusal = Refusal::of(status);
    match status.code {
        401 | 403 if refusal.admission.is_none() => ApiError::Denied { doing, refusal },
        409 => ApiError::Contended { doing },
        // A JSON patch whose test fails is "Invalid" without any cause.
        422 if refusal.fields.is_empty() && refusal.admission.is_none() => {
            ApiError::Contended { doing }
        }
        // 410: a list took so long that the rest of it is gone.
        410 | 429 | 500.. => ApiError::Passing {
            doing,
            why: refusal.to_string(),
        },
        _ => ApiError::Refused { doing, refusal },
    }
}

fn deployments(namespace: &str) -> Request {
    Request::new(format!("/apis/apps/v1/namespaces/{namespace}/deployments"))
}

fn name_of(object: &Value) -> (&str, &str) {
    let of = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    (of("namespace"), of("name"))
}

/// The equality-based part of the selector; what else is found is told apart by its controller.
fn selector(of: &Value) -> String {
    let labels = of["spec"]["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten();
    let terms = labels.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    terms.collect::<Vec<_>>().join(",")
}

fn is_controlled(object: &Value, by: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    let uid = by["metadata"]["uid"].as_str();
    let mut controllers = owners.filter(|owner| owner["controller"] == true);
    uid.is_some() && controllers.any(|owner| owner["uid"].as_str() == uid)
}

/// The uid and every former value are tested, and the resourceVersion is the one that was read: a
/// stale one is answered by a conflict.
fn preconditioned(live: &Value, edits: &Edits) -> json_patch::Patch {
    let metadata = |field: &str| -> (PointerBuf, Value) {
        (
            pointer(&["metadata", field]),
            live["metadata"][field].clone(),
        )
    };
    let (path, value) = metadata("uid");
    let mut operations = vec![PatchOperation::Test(TestOperation { path, value })];
    operations.extend(edits.operations());
    let (path, value) = metadata("resourceVersion");
    operations.push(PatchOperation::Replace(ReplaceOperation { path, value }));
    json_patch::Patch(operations)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(code: u16, reason: &str, message: &str, fields: &[&str]) -> Status {
        let causes: Vec<_> = fields
            .iter()
            .map(|field| json!({"field": field, "reason": "x", "message": "Invalid value: \"hunter2\""}))
            .collect();
        let status = json!({
            "status": "Failure", "code": code, "reason": reason, "message": message,
            "details": {"causes": causes},
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn answers_are_classified_and_never_quoted() {
        let secret = "Deployment \"web\" is invalid: spec.x: Invalid value: \"hunter2\"";
        let webhook = "admission webhook \"guard.example\" denied the request: hunter2";
        let vap = "deployments is forbidden: ValidatingAdmissionPolicy 'wall' with binding 'b' denied request: hunter2";
        let cases = [
            (
                status(422, "Invalid", secret, &["spec.x"]),
                "the API server refused to change it: 422 Invalid (spec.x)",
            ),
            (
                status(422, "Invalid", secret, &[]),
                "cannot change it: the object has changed since it was read",
            ),
            (
                status(409, "Conflict", secret, &[]),
                "cannot change it: the object has changed since it was read",
            ),
            (
                status(403, "Forbidden", secret, &[]),
                "not allowed to change it: 403 Forbidden; grant svc-actuator's ServiceAccount this verb",
            ),
            (
                status(403, "Forbidden", webhook, &[]),
                "the API server refused to change it: 403 Forbidden by guard.example",
            ),
            (
                status(422, "Invalid", vap, &[]),
                "the API server refused to change it: 422 Invalid by wall",
            ),
            (
                status(404, "NotFound", secret, &[]),
                "the API server refused to change it: 404 NotFound",
            ),
            (
                status(410, "Expired", secret, &[]),
                "cannot change it: 410 Expired; it will be tried again",
            ),
            (
                status(429, "TooManyRequests", secret, &[]),
                "cannot change it: 429 TooManyRequests; it will be tried again",
            ),
            (
                status(503, "ServiceUnavailable", secret, &[]),
                "cannot change it: 503 ServiceUnavailable; it will be tried again",
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(classify("change it", &status).to_string(), expected);
        }
    }

    #[test]
    fn an_expired_token_is_no_final_refusal() {
        let classified = |code| classify("change it", &status(code, "x", "", &["spec.x"]));
        for (code, is_final) in [
            (401, false),
            (403, true),
            (404, true),
            (422, true),
            (409, false),
            (503, false),
        ] {
            assert_eq!(classified(code).is_final(), is_final, "{code}");
        }
    }

    #[test]
    fn only_what_the_workload_controls_is_its_own() {
        let live = json!({"metadata": {"uid": "u-1"}, "spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}}});
        assert_eq!(selector(&live), "a=1,b=2");
        let owned = |uid: &str, controller: bool| json!({"metadata": {"ownerReferences": [{"uid": uid, "controller": controller}]}});
        assert!(is_controlled(&owned("u-1", true), &live));
        assert!(!is_controlled(&owned("u-1", false), &live));
        assert!(!is_controlled(&owned("u-2", true), &live));
        assert!(!is_controlled(
            &json!({"metadata": {"ownerReferences": [{"controller": true}]}}),
            &json!({})
        ));
    }

    #[test]
    fn every_write_is_bound_to_what_was_read() {
        let live = json!({"metadata": {"uid": "u-1", "resourceVersion": "7"}, "spec": {"a": 1}});
        let edits = Edits::between(
            &pointer(&["spec"]),
            Some(&json!({"a": 1})),
            Some(&json!({"a": 2})),
        );
        assert_eq!(
            serde_json::to_value(preconditioned(&live, &edits)).unwrap(),
            json!([
                {"op": "test", "path": "/metadata/uid", "value": "u-1"},
                {"op": "test", "path": "/spec/a", "value": 1},
                {"op": "replace", "path": "/spec/a", "value": 2},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
            ])
        );
    }
}
