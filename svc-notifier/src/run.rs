//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::config::KeySettings;
use bonesetter_chassis::http::{HttpOptions, client};
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{NOTICES, NOTIFIER_ACTED, NOTIFIER_OVERDUE, NOTIFIER_RESOLVED};

use crate::channel::Channel;
use crate::config::Config;
use crate::metrics::NotifierMetrics;
use crate::notices::Notices;
use crate::stage::{Notifier, TellActed, TellOverdue, TellResolved};

/// Beyond the time of a post: writing down what came of it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Runs its stages until shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let channels = channels(&config, &service)?;
    let options = HttpOptions {
        timeout: config.delivery.timeout,
        ca_file: config.delivery.ca_file.clone(),
        ..HttpOptions::default()
    };
    let notifier = Arc::new(Notifier {
        channels,
        notices: Notices::new(service.bucket(NOTICES)),
        client: client(&options)?,
        clock: service.clock.clone(),
        lease: config.delivery.timeout + LEASE_MARGIN,
        patience: config.delivery.give_up_after,
        metrics: NotifierMetrics::new(&service.metrics),
    });
    let acted = TellActed {
        notifier: notifier.clone(),
        trusted: service.trusted(),
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
