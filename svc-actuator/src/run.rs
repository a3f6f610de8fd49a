//! Wiring: configuration, keys and clients into the three stages.

use std::sync::Arc;

use anyhow::Context as _;
use bonesetter_chassis::config::KeySettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;
use bonesetter_keys::{DigestKey, SealingKeys};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::changes::Changes;
use crate::config::Config;
use crate::kubernetes::Cluster;
use crate::metrics::Metrics;
use crate::plan::Planner;
use crate::stage::{Apply, Decide, Verification, Verify};

/// Runs the service until it is shut down and drained.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let keys = &service.common.keys;
    let digest_key = DigestKey::read(KeySettings::require(
        "digest_file",
        keys.digest_file.as_ref(),
    )?)
    .context("keys.digest_file")?;
    let inverse_keys = SealingKeys::read(KeySettings::require(
        "inverse_file",
        keys.inverse_file.as_ref(),
    )?)
    .context("keys.inverse_file")?;
    let cluster = connect(&config).await?;
    await_cluster(&cluster, &service).await;
    let policy = config.policy();
    tracing::info!(mode = ?policy.mode, namespaces = ?config.auto_apply_namespaces, "policy");
    let planner = Arc::new(Planner {
        cluster: cluster.clone(),
        policy,
        digest_key,
    });
    let changes = Arc::new(Changes::new(
        service.bucket(topology::CHANGES),
        inverse_keys,
    ));
    let metrics = Metrics::new(&service.metrics);
    let clock = service.clock.clone();
    let decide = Decide {
        planner: planner.clone(),
        changes: changes.clone(),
        metrics: metrics.clone(),
    };
    let apply = Apply {
        planner,
        changes: changes.clone(),
        clock: clock.clone(),
        deadline: config.verification.deadline,
        metrics: metrics.clone(),
    };
    let verification = Verification {
        window: config.verification.window,
        interval: config.verification.interval,
    };
    let verify = Verify {
        cluster,
        changes,
        clock,
        verification,
        metrics,
    };
    tokio::try_join!(
        service.run_stage(&topology::ACTUATOR_DECIDE, decide),
        service.run_stage(&topology::ACTUATOR_APPLY, apply),
        service.run_stage(&topology::ACTUATOR_VERIFY, verify),
    )?;
    Ok(())
}

async fn connect(settings: &Config) -> anyhow::Result<Cluster> {
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("kubeconfig: cannot read {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("kubeconfig: cannot use {}", path.display()))?
        }
        None => kube::Config::incluster().context("not in a pod, and kubeconfig is not set")?,
    };
    config.connect_timeout = Some(settings.request_timeout);
    config.read_timeout = Some(settings.request_timeout);
    let client = kube::Client::try_from(config).context("cannot make a Kubernetes client")?;
    Ok(Cluster::new(client, settings.request_timeout))
}

/// Waits until the API server answers; decisions need it.
async fn await_cluster(cluster: &Cluster, service: &Service) {
    let waiting = service.readiness.awaiting("kubernetes");
    let pause = std::time::Duration::from_secs(2);
    while !service.shutdown.is_cancelled() {
        match cluster.version().await {
            Ok(version) => {
                tracing::info!(version, "the API server answers");
                waiting.ready();
                return;
            }
            Err(error) => tracing::warn!(%error, retry_in = ?pause, "waiting for the API server"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.shutdown.cancelled() => {}
        }
    }
}
