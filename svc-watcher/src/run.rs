//! Wiring.

use anyhow::ensure;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::kubernetes::connect;
use crate::lease::{self, Leases};
use crate::ledger::Ledger;
use crate::metrics::WatcherMetrics;
use crate::shards::Holding;
use crate::source::{Parts, Source};
use crate::view::View;
use crate::work::Work;

/// Watches until the service is shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let waiting = service.readiness.awaiting("kubernetes");
    let client = connect(config.kubeconfig.as_deref()).await?;
    let cluster = service.common.cluster.clone();
    let ledger = Ledger::new(
        cluster,
        service.bucket(topology::EPISODES),
        service.publisher()?,
    );
    let metrics = WatcherMetrics::new(&service.metrics);
    let ended = CancellationToken::new();
    // However this ends, the Leases are kept no longer than what is done under them.
    let _ended = ended.clone().drop_guard();
    let work = Work::default();
    let holding = share(&config, &service, &client, &metrics, &work, ended);
    let source = Source::new(Parts {
        windows: config.windows(),
        thresholds: config.thresholds(),
        view: View::new(config.namespaces, holding),
        ledger,
        work,
        tasks: service.tasks.clone(),
        clock: service.clock.clone(),
        metrics,
        waiting,
    });
    source.run(&client, service.shutdown.clone()).await;
    ensure!(
        service.shutdown.is_cancelled(),
        "the task that holds the shards has ended"
    );
    Ok(())
}

/// Shares the work with other replicas, where it is divided.
fn share(
    config: &Config,
    service: &Service,
    client: &Client,
    metrics: &WatcherMetrics,
    work: &Work,
    ended: CancellationToken,
) -> Option<watch::Receiver<Holding>> {
    let shards = config.sharding.shards;
    metrics.shards.set(shards.into());
    if shards == 1 {
        metrics.shards_held.set(1);
        return None;
    }
    let (leases, holding) = Leases::new(lease::Parts {
        client: client.clone(),
        shards,
        clock: service.clock.clone(),
        metrics: metrics.clone(),
        readiness: service.readiness.clone(),
        work: work.clone(),
    });
    service.tasks.spawn(leases.keep(ended));
    Some(holding)
}
