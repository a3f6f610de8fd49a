//! Wiring.

use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;

use crate::config::Config;
use crate::metrics::LlmMetrics;
use crate::provider::Diagnosers;
use crate::stage::Diagnose;

/// Runs the service until it is shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let diagnosers = Diagnosers::new(&config)?;
    let metrics = LlmMetrics::new(&service.metrics, diagnosers.names());
    service
        .run_stage(&topology::LLM, Diagnose::new(diagnosers, metrics))
        .await
}
