//! What svc-audit counts.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use bonesetter_chassis::bus::StreamState;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::topology::kept_streams;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tonic::Code;

use crate::event::EVENT_TYPES;
use crate::sweep::AWAITED;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rows {
    event_type: &'static str,
    outcome: &'static str,
}

const STORED: &str = "stored";
const REPEATED: &str = "repeated";

/// Rows written.
#[derive(Debug, Clone)]
pub struct IngestMetrics {
    rows: Family<Rows, Counter>,
}

impl IngestMetrics {
    /// Registers them; what is known beforehand begins at zero.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            rows: Family::default(),
        };
        for event_type in EVENT_TYPES {
            for outcome in [STORED, REPEATED] {
                let label = Rows {
                    event_type,
                    outcome,
                };
                drop(this.rows.get_or_create(&label));
            }
        }
        metrics.register(|registry| {
            registry.register(
                "audit_rows",
                "Rows of the ledger, by type of event and outcome",
                this.rows.clone(),
            );
        });
        this
    }

    pub(crate) fn count(&self, event_type: &'static str, is_new: bool) {
        let outcome = if is_new { STORED } else { REPEATED };
        self.rows
            .get_or_create(&Rows {
                event_type,
                outcome,
            })
            .inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwaitedLabel {
    awaited: &'static str,
}

/// What was found overdue.
#[derive(Debug, Clone)]
pub struct SweepMetrics {
    overdue: Family<AwaitedLabel, Counter>,
    behind: Family<AwaitedLabel, Gauge<f64, AtomicU64>>,
    failures: Counter,
}

impl SweepMetrics {
    /// Registers them; what is known beforehand begins at zero.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            overdue: Family::default(),
            behind: Family::default(),
            failures: Counter::default(),
        };
        for (_, awaited, _) in AWAITED {
            drop(this.overdue.get_or_create(&AwaitedLabel { awaited }));
        }
        metrics.register(|registry| {
            registry.register(
                "audit_overdue",
                "Incidents that did not reach their next stage in time",
                this.overdue.clone(),
            );
            registry.register(
                "audit_sweep_behind_seconds",
                "Age of the moment up to which the ledger is complete, so that it can be judged",
                this.behind.clone(),
            );
            registry.register(
                "audit_sweep_failures",
                "Rounds of the sweeper that failed",
                this.failures.clone(),
            );
        });
        this
    }

    pub(crate) fn told(&self, awaited: &'static str) {
        self.overdue.get_or_create(&AwaitedLabel { awaited }).inc();
    }

    pub(crate) fn judged(
        &self,
        awaited: &'static str,
        complete: Option<SystemTime>,
        now: SystemTime,
    ) {
        let behind = complete.map_or(f64::INFINITY, |complete| {
            now.duration_since(complete)
                .unwrap_or_default()
                .as_secs_f64()
        });
        self.behind
            .get_or_create(&AwaitedLabel { awaited })
            .set(behind);
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLabel {
    consumer: &'static str,
}

/// What was purged.
#[derive(Debug, Clone)]
pub struct KeepMetrics {
    fill: Family<StreamLabel, Gauge<f64, AtomicU64>>,
    purged: Family<StreamLabel, Counter>,
    open: Family<ConsumerLabel, Gauge>,
    failures: Counter,
}

impl KeepMetrics {
    /// Registers them; what is known beforehand begins at zero.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            fill: Family::default(),
            purged: Family::default(),
            open: Family::default(),
            failures: Counter::default(),
        };
        for stream in kept_streams().map(|stream| stream.name) {
            drop(this.purged.get_or_create(&StreamLabel { stream }));
        }
        metrics.register(|registry| {
            registry.register(
                "keeper_stream_fill_ratio",
                "How full a stream is; at 1 it refuses messages, or forgets its oldest",
                this.fill.clone(),
            );
            registry.register(
                "keeper_purged",
                "Messages purged from a stream",
                this.purged.clone(),
            );
            registry.register(
                "keeper_open_dead_letters",
                "Messages among the dead letters that nobody has decided about",
                this.open.clone(),
            );
            registry.register(
                "keeper_failures",
                "Streams that could not be looked at or purged",
                this.failures.clone(),
            );
        });
        this
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes, for people")]
    pub(crate) fn filled(&self, stream: &'static str, state: &StreamState) {
        let ratio = state.bytes as f64 / state.max_bytes.max(1) as f64;
        self.fill.get_or_create(&StreamLabel { stream }).set(ratio);
    }

    pub(crate) fn purged(&self, stream: &'static str, messages: u64) {
        let label = StreamLabel { stream };
        self.purged.get_or_create(&label).inc_by(messages);
    }

    /// How many dead letters are open, by consumer; always of the same ones.
    pub(crate) fn open(&self, letters: impl IntoIterator<Item = (&'static str, usize)>) {
        for (consumer, count) in letters {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.open
                .get_or_create(&ConsumerLabel { consumer })
                .set(count);
        }
    }

    pub(crate) fn open_is_unknown(&self) {
        self.open.clear();
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

/// Rows exported.
#[derive(Debug, Clone, Default)]
pub struct ExportMetrics {
    rows: Counter,
    through: Gauge<u64, AtomicU64>,
    failures: Counter,
}

impl ExportMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self::default();
        metrics.register(|registry| {
            registry.register("audit_exported_rows", "Rows exported", this.rows.clone());
            registry.register(
                "audit_exported_through",
                "Number of the last row that was exported",
                this.through.clone(),
            );
            registry.register(
                "audit_export_failures",
                "Exports that failed",
                this.failures.clone(),
            );
        });
        this
    }

    pub(crate) fn exported(&self, rows: u64, through: u64) {
        self.rows.inc_by(rows);
        self.through.set(through);
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

/// A method of `IncidentService`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Method {
    List,
    Get,
    Watch,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: Method,
    code: String,
}

impl Request {
    fn new(method: Method, code: Code) -> Self {
        let code = format!("{code:?}");
        Self { method, code }
    }
}

/// What requests are answered with.
const CODES: [Code; 9] = [
    Code::Ok,
    Code::InvalidArgument,
    Code::NotFound,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Internal,
    Code::Unavailable,
    Code::Unauthenticated,
];

/// What was asked.
#[derive(Debug, Clone)]
pub struct ServeMetrics {
    requests: Family<Request, Counter>,
    /// Open now.
    pub(crate) watches: Gauge,
    /// Likewise.
    pub(crate) connections: Gauge,
    /// Closed because there were too many.
    pub(crate) refused_connections: Counter,
}

impl ServeMetrics {
    /// Registers them; what is known beforehand begins at zero.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self {
            requests: Family::default(),
            watches: Gauge::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
        };
        for method in [Method::List, Method::Get, Method::Watch] {
            for code in CODES {
                drop(this.requests.get_or_create(&Request::new(method, code)));
            }
        }
        metrics.register(|registry| {
            registry.register(
                "incident_requests",
                "Requests of IncidentService, by method and status code",
                this.requests.clone(),
            );
            registry.register(
                "incident_watches",
                "Watches of IncidentService that are open",
                this.watches.clone(),
            );
            registry.register(
                "incident_connections",
                "Connections to IncidentService that are open",
                this.connections.clone(),
            );
            registry.register(
                "incident_connections_refused",
                "Connections to IncidentService that were closed because there were too many",
                this.refused_connections.clone(),
            );
        });
        this
    }

    pub(crate) fn count(&self, method: Method, code: Code) {
        let request = Request::new(method, code);
        self.requests.get_or_create(&request).inc();
    }
}
