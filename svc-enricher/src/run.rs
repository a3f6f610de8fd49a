//! From the configuration to the running stage.

use anyhow::Context as _;
use bonesetter_chassis::config::KeySettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;
use bonesetter_keys::{DigestKey, SealingKeys};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::collect::Collector;
use crate::config::Config;
use crate::loki::Loki;
use crate::metrics::EnricherMetrics;
use crate::stage::Enricher;

/// Runs svc-enricher until it is asked to end.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let keys = &service.common.keys;
    let evidence = KeySettings::require("evidence_file", keys.evidence_file.as_ref())?;
    let digest = KeySettings::require("digest_file", keys.digest_file.as_ref())?;
    let stage = Enricher {
        seal: SealingKeys::read(evidence).context("keys.evidence_file")?,
        collector: Collector::new(
            client(&config).await?,
            Loki::new(&config.loki, &service.common.cluster).context("loki")?,
            config.evidence,
            DigestKey::read(digest).context("keys.digest_file")?,
        ),
        clock: service.clock.clone(),
        metrics: EnricherMetrics::new(&service.metrics),
    };
    Box::pin(service.run_stage(&topology::ENRICHER, stage)).await
}

async fn client(config: &Config) -> anyhow::Result<kube::Client> {
    let settings = match &config.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("kubeconfig: cannot read {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("kubeconfig: cannot use {}", path.display()))?
        }
        None => kube::Config::infer().await.context(
            "there is no cluster to read from: set kubeconfig, or run inside a cluster with a service account",
        )?,
    };
    kube::Client::try_from(settings).context("cannot make a Kubernetes client")
}
