//! Wiring.

use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;

use crate::config::Config;
use crate::kubernetes::{connect, watch};
use crate::ledger::Ledger;
use crate::metrics::WatcherMetrics;
use crate::source::{Parts, Source};

/// Watches until the service is shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let waiting = service.readiness.awaiting("kubernetes");
    let client = connect(config.kubeconfig.as_deref()).await?;
    let cluster = service.common.cluster.clone();
    let ledger = Ledger::new(
        cluster,
        service.bucket(topology::EPISODES),
        service.publisher(),
    );
    let signals = watch(&client, &config.namespaces.scopes());
    let source = Source::new(Parts {
        windows: config.windows(),
        thresholds: config.thresholds(),
        namespaces: config.namespaces,
        ledger,
        clock: service.clock.clone(),
        metrics: WatcherMetrics::new(&service.metrics),
        waiting,
    });
    source.run(signals, service.shutdown.clone()).await;
    Ok(())
}
