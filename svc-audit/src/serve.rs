//! `svc-audit serve`: `IncidentService` over gRPC, from the ledger. It needs no bus.
//!
//! Callers present a client certificate (TLS 1.3); `serve.readers` says which namespaces a name in it may
//! see. Beside the service there are the standard health service and reflection (v1 and v1alpha), for the
//! same callers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_chassis::service::Process;
use bonesetter_proto::DESCRIPTOR_SET;
use bonesetter_proto::grpc::incident_service_server::IncidentServiceServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder as Reflection;

use crate::config::Config;
use crate::metrics::ServeMetrics;
use crate::postgres::Database;
use crate::postgres::read::ReadLedger;
use connections::{Connection, Connections};
use incidents::Incidents;
use tls::Certificates;
use watches::{Turns, Watches};

mod answer;
mod connections;
mod follow;
mod incidents;
mod readers;
mod shares;
pub mod tls;
mod watches;

/// As the health service knows it.
const NAME: &str = <IncidentServiceServer<Incidents> as NamedService>::NAME;
/// Between two looks at whether the ledger answers.
const CHECK: Duration = Duration::from_secs(5);
/// Requests of one connection at the same time.
const REQUESTS: usize = 64;
/// No request is larger.
const MAX_REQUEST: usize = 16 * 1024;
/// How long requests may go on when we are asked to end.
const DRAIN: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Serves until shut down.
pub(crate) async fn serve(
    config: &Config,
    process: &Process,
    database: &Database,
) -> anyhow::Result<()> {
    let settings = config
        .serve
        .as_ref()
        .context("the section `serve` is not set, and this mode needs it")?;
    let certificates = Certificates::read(settings)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("serve.listen: cannot listen on {}", settings.listen))?;
    let (readiness, shutdown) = (&process.readiness, &process.shutdown);
    let opening = crate::run::open(readiness, shutdown, database, ReadLedger::open);
    let Some(ledger) = opening.await? else {
        return Ok(());
    };
    tracing::info!(address = %listener.local_addr()?, "answering");
    let metrics = ServeMetrics::new(&process.metrics);
    let connections = Arc::new(Connections::new(settings, metrics.clone()));
    let (accepted, incoming) = mpsc::channel(1);
    let accepting = tokio::spawn(tls::accept(listener, certificates, connections, accepted));
    let incidents = Incidents {
        ledger: ledger.clone(),
        readers: settings.readers.clone().into(),
        watches: Arc::new(Watches::new(settings)),
        turns: Arc::new(Turns::new(settings, config.database.connections)),
        metrics,
        shutdown: shutdown.clone(),
    };
    let serving = answer(incoming, incidents, ledger, shutdown.clone());
    let draining = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = draining => Ok(()),
    };
    accepting.abort();
    served
}

async fn answer(
    mut incoming: mpsc::Receiver<io::Result<Connection>>,
    incidents: Incidents,
    ledger: ReadLedger,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let connections = futures::stream::poll_fn(move |context| incoming.poll_recv(context));
    let (health, health_service) = tonic_health::server::health_reporter();
    // The ledger has just answered; who asks before the first check must not be told that it is unknown.
    health
        .set_service_status(NAME, ServingStatus::Serving)
        .await;
    let checking = tokio::spawn(check(health, ledger, shutdown.clone()));
    let reflection =
        || Reflection::configure().register_encoded_file_descriptor_set(DESCRIPTOR_SET);
    let service = IncidentServiceServer::new(incidents).max_decoding_message_size(MAX_REQUEST);
    let served = Server::builder()
        .concurrency_limit_per_connection(REQUESTS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(service)
        .add_service(health_service)
        .add_service(reflection().build_v1().context("reflection")?)
        .add_service(reflection().build_v1alpha().context("reflection")?)
        .serve_with_incoming_shutdown(connections, shutdown.cancelled())
        .await;
    checking.abort();
    served.context("the gRPC server ended badly")
}

/// Says of the service what the ledger says.
async fn check(health: HealthReporter, ledger: ReadLedger, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(CHECK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => break,
        }
        let answered = ledger.settled().await;
        let status = match &answered {
            Ok(_) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "the ledger does not answer");
        }
        health.set_service_status(NAME, status).await;
    }
    health
        .set_service_status(NAME, ServingStatus::NotServing)
        .await;
}
