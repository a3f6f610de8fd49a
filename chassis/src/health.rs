//! `/livez`, `/readyz` and `/metrics` on one port.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Source: `OpenMetrics` 1.0.0, section "Protocol Negotiation".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Who is not ready yet. A service is ready when nobody is waited for.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    missing: BTreeSet<String>,
    notes: BTreeMap<&'static str, String>,
    exported: Gauge,
}

impl Known {
    fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }

    fn export(&self) {
        self.exported.set(self.is_ready().into());
    }
}

impl Readiness {
    /// Waits for somebody until [`Waiting::ready`]. The name is shown in `/readyz`.
    pub fn awaiting(&self, name: impl Into<String>) -> Waiting {
        let waiting = Waiting {
            readiness: self.clone(),
            name: name.into(),
        };
        waiting.not_ready();
        waiting
    }

    /// Shows it among the metrics of the process of that name.
    pub fn export(&self, service: &'static str, metrics: &Metrics) {
        let mut known = self.known();
        known.exported = metrics.ready(service);
        known.export();
    }

    /// Everybody who is waited for.
    pub fn missing(&self) -> Vec<String> {
        self.known().missing.iter().cloned().collect()
    }

    /// Something that `/readyz` says besides, in a line of its own; replaces what was said of it.
    pub fn note(&self, name: &'static str, text: impl Into<String>) {
        self.known().notes.insert(name, text.into());
    }

    /// What `/readyz` answers.
    fn describe(&self) -> (bool, String) {
        let known = self.known();
        let is_ready = known.is_ready();
        let mut text = if is_ready {
            "ready\n".to_owned()
        } else {
            let missing: Vec<_> = known.missing.iter().map(String::as_str).collect();
            format!("waiting for: {}\n", missing.join(", "))
        };
        for (name, note) in &known.notes {
            text.extend([name, ": ", note.as_str(), "\n"]);
        }
        (is_ready, text)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut known = self.known();
        change(&mut known.missing);
        known.export();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    readiness: Readiness,
    name: String,
}

impl Waiting {
    /// No longer waited for.
    pub fn ready(&self) {
        self.readiness.change(|missing| {
            missing.remove(&self.name);
        });
    }

    /// Waited for again.
    pub fn not_ready(&self) {
        self.readiness.change(|missing| {
            missing.insert(self.name.clone());
        });
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Readiness,
    metrics: Metrics,
}

/// Serves until shut down. The listener was bound before any work began.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(encode))
        .with_state(Shared { readiness, metrics });
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

/// Binds the port; a port that is taken is an error before anything else happens.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, String) {
    let (is_ready, text) = shared.readiness.describe();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text)
}

async fn encode(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_who_is_missing() {
        let readiness = Readiness::default();
        let nats = readiness.awaiting("nats");
        let kubernetes = readiness.awaiting("kubernetes");
        assert_eq!(readiness.missing(), ["kubernetes", "nats"]);
        nats.ready();
        kubernetes.ready();
        assert!(readiness.missing().is_empty());
        nats.not_ready();
        assert_eq!(readiness.missing(), ["nats"]);
        readiness.note("shards", "0 of 2");
        let expected = (false, "waiting for: nats\nshards: 0 of 2\n".to_owned());
        assert_eq!(readiness.describe(), expected);
        nats.ready();
        readiness.note("shards", "none of 2");
        let expected = (true, "ready\nshards: none of 2\n".to_owned());
        assert_eq!(readiness.describe(), expected);
    }

    #[test]
    fn a_process_that_waits_is_exported_as_not_ready() {
        let (readiness, metrics) = (Readiness::default(), Metrics::default());
        let nats = readiness.awaiting("nats");
        readiness.export("svc-test", &metrics);
        let is = |value: &str| {
            let line = format!("bonesetter_ready{{service=\"svc-test\"}} {value}");
            metrics.encode().unwrap().lines().any(|it| it == line)
        };
        assert!(is("0"), "{:?}", metrics.encode());
        nats.ready();
        assert!(is("1"), "{:?}", metrics.encode());
        nats.not_ready();
        assert!(is("0"), "{:?}", metrics.encode());
    }
}
