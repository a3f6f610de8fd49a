//! What is outside of Bonesetter: a model that takes its time, somebody who receives notices, and a cluster
//! that is asked for its version and nothing more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::feed;

/// How long the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It answers nobody.
    Held,
    /// It answers everybody after this time.
    After(Duration),
}

/// All of them, on one loopback port. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Outside {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pace: watch::Sender<Pace>,
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    /// How often a notice arrived, by its key.
    notices: Mutex<BTreeMap<String, u32>>,
}

/// A request that the model has not answered; also one whose sender has gone.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Outside {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let shared = Arc::new(Shared {
            pace: watch::Sender::new(Pace::Held),
            asked: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            notices: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/webhook", post(receive))
            .route(
                "/version",
                get(async || r#"{"gitVersion": "v1.0.0-flood"}"#),
            )
            .with_state(shared.clone());
        Ok(Self {
            address: listener.local_addr()?,
            shared,
            serving: tokio::spawn(async move {
                // It ends with the task only.
                let _ = axum::serve(listener, router).await;
            }),
        })
    }

    /// The base URL of all.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how long the model takes, also for those who wait.
    pub(super) fn set(&self, pace: Pace) {
        self.shared.pace.send_replace(pace);
    }

    /// How often the model was asked, and by how many at once at the most.
    pub(super) fn asked(&self) -> (usize, usize) {
        let count = |it: &AtomicUsize| it.load(Ordering::SeqCst);
        (count(&self.shared.asked), count(&self.shared.most))
    }

    /// How many different notices arrived, and how many of them more than once.
    pub(super) fn notices(&self) -> (usize, usize) {
        let notices = self.shared.notices.lock();
        let notices = notices.unwrap_or_else(PoisonError::into_inner);
        let again = notices.values().filter(|times| **times > 1).count();
        (notices.len(), again)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The same good answer for everybody: what is asked about is always alike.
async fn complete(State(shared): State<Arc<Shared>>, _prompt: Bytes) -> String {
    let now = 1 + shared.now.fetch_add(1, Ordering::SeqCst);
    let _open = Open(&shared.now);
    shared.most.fetch_max(now, Ordering::SeqCst);
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let mut pace = shared.pace.subscribe();
    let pace = pace.wait_for(|pace| *pace != Pace::Held).await;
    if let Ok(Pace::After(delay)) = pace.map(|pace| *pace) {
        tokio::time::sleep(delay).await;
    }
    let answer = json!({
        "object": feed::OBJECT,
        "summary": "cart gives up.",
        "root_cause": "It has waited for its database until it was out of patience.",
        "recommendation": "Look at the database.",
        "cause": "dependency-unavailable",
        "confidence": 0.8,
        "evidence": [{"evidence_id": feed::LOG, "quote": feed::LAST_WORDS}],
        "remedy_kind": "none",
        "to_revision": null,
        "container": null,
        "memory_limit_bytes": null,
    });
    let completion = json!({
        "model": "flood",
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": answer.to_string(), "refusal": null},
        }],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    });
    completion.to_string()
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> StatusCode {
    let key = headers.get("idempotency-key");
    let Some(key) = key.and_then(|key| key.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut notices = shared
        .notices
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *notices.entry(key.to_owned()).or_default() += 1;
    StatusCode::OK
}
