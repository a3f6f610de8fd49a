//! Stands in for Slack and for a webhook receiver: keeps what it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use bonesetter_chassis::clock::Clock;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// `/slack` or `/webhook`.
    pub path: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Bytes,
    /// When it had arrived.
    pub at: SystemTime,
}

/// How a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// It takes what comes.
    #[default]
    Accept,
    /// It takes nothing, with this status.
    Refuse(StatusCode),
    /// It takes what comes, and says so this much later.
    Late(Duration),
}

/// A running receiver on a free loopback port.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Receiver {
    /// Listens until shut down.
    pub async fn start(shutdown: CancellationToken) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let receiver = Self {
            address: listener.local_addr()?,
            received: Arc::default(),
            answer: Arc::default(),
        };
        let router = Router::new()
            .route("/slack", post(keep))
            .route("/webhook", post(keep))
            .with_state(receiver.clone());
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(shutdown.cancelled_owned())
                .await
        });
        Ok(receiver)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The URL of one of the paths.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that was taken at a path so far, in order.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }
}

async fn keep(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let answer = *receiver
        .answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Answer::Refuse(status) = answer {
        return status;
    }
    let text =
        |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    let request = Received {
        path: uri.path().to_owned(),
        headers,
        body,
        at: Clock::system().now(),
    };
    receiver
        .received
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    if let Answer::Late(delay) = answer {
        tokio::time::sleep(delay).await;
    }
    StatusCode::OK
}
