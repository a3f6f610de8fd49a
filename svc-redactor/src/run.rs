//! From the configuration to the running stage.

use anyhow::Context as _;
use bonesetter_chassis::config::KeySettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;
use bonesetter_keys::{DigestKey, SealingKeys};

use crate::config::Config;
use crate::metrics::RedactorMetrics;
use crate::own_rules;
use crate::stage::Boundary;

/// Runs svc-redactor until it is asked to end.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    quiet_panics();
    let (seal, digest) = keys(&service.common.keys)?;
    let redactor = own_rules::redactor(&config)?;
    let stage = Boundary {
        metrics: RedactorMetrics::new(&service.metrics, redactor.kinds()),
        redactor,
        seal,
        digest,
        block: config.block,
        events: service.publisher()?,
    };
    Box::pin(service.run_stage(&topology::REDACTOR, stage)).await
}

/// What opens evidence, and what placeholders are made with.
pub(crate) fn keys(settings: &KeySettings) -> anyhow::Result<(SealingKeys, DigestKey)> {
    let evidence = KeySettings::require("evidence_file", settings.evidence_file.as_ref())?;
    let digest = KeySettings::require("digest_file", settings.digest_file.as_ref())?;
    Ok((
        SealingKeys::read(evidence).context("keys.evidence_file")?,
        DigestKey::read(digest).context("keys.digest_file")?,
    ))
}

/// The message of a panic can quote the text that it stumbled over, and the log is beyond the
/// boundary: only the place is told.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panicked; nothing was passed on");
    }));
}
