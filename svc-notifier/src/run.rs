//! Wiring: the service, and its mode that publishes diagnoses for tools.

use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::config::KeySettings;
use bonesetter_chassis::http::{HttpOptions, client};
use bonesetter_chassis::service::{About, Mode, Service};
use bonesetter_chassis::topology::{
    NOTICES, NOTIFIER_ACTED, NOTIFIER_OVERDUE, NOTIFIER_RESOLVED, PUBLISHER,
};

use crate::channel::Channel;
use crate::config::Config;
use crate::metrics::NotifierMetrics;
use crate::notices::Notices;
use crate::stage::{Notifier, TellActed, TellOverdue, TellResolved};
use crate::telling::Telling;
use crate::twin::Twins;

/// Publishes diagnoses as CloudEvents in JSON, for tools that do not speak protobuf.
pub const PUBLISH: &str = "publish";

/// What the binary says of itself.
pub const ABOUT: About = About {
    name: "svc-notifier",
    version: env!("CARGO_PKG_VERSION"),
    modes: &[Mode {
        name: PUBLISH,
        user: Some("svc-notifier-publish"),
        bus: true,
    }],
};

/// Beyond the time of a post: writing down what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Runs the stages of the mode that the process was started in until shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    match service.mode.as_deref() {
        Some(PUBLISH) => service.run_stage(&PUBLISHER, Twins::new()?).await,
        _ => Box::pin(tell(&config, &service)).await,
    }
}

async fn tell(config: &Config, service: &Service) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.has_channel(),
        "neither slack.webhook_url_file nor webhook.url_file is set, so nobody would be told; set \
         at least one"
    );
    let channels = channels(config, service)?;
    let options = HttpOptions {
        timeout: config.delivery.timeout,
        ca_file: config.delivery.ca_file.clone(),
        ..HttpOptions::default()
    };
    let names = channels.iter().map(Channel::name);
    let notifier = Arc::new(Notifier {
        metrics: NotifierMetrics::new(&service.metrics, names),
        channels,
        notices: Notices::new(service.bucket(NOTICES)),
        client: client(&options)?,
        clock: service.clock.clone(),
        lease: config.delivery.timeout + LEASE_MARGIN,
        patience: config.delivery.give_up_after,
        telling: Telling::default(),
        shutdown: service.shutdown.clone(),
    });
    let acted = TellActed {
        notifier: notifier.clone(),
        trusted: service.trusted()?,
    };
    let overdue = TellOverdue {
        notifier: notifier.clone(),
    };
    let resolved = TellResolved { notifier };
    tokio::try_join!(
        service.run_stage(&NOTIFIER_ACTED, acted),
        service.run_stage(&NOTIFIER_RESOLVED, resolved),
        service.run_stage(&NOTIFIER_OVERDUE, overdue),
    )?;
    Ok(())
}

fn channels(config: &Config, service: &Service) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    if let Some(file) = &config.slack.webhook_url_file {
        channels.push(Channel::slack(file));
    }
    if let Some(file) = &config.webhook.url_file {
        let keys = &service.common.keys;
        let key_file = KeySettings::require("webhook_file", keys.webhook_file.as_ref())?;
        channels.push(Channel::webhook(file, key_file));
    }
    for channel in &channels {
        channel.check()?;
    }
    Ok(channels)
}
