//! One message in, one row in the ledger.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::stage::{Delivery, Outcome, Sink};
use bonesetter_keys::VerifyingKeys;

use crate::event::AuditEvent;
use crate::metrics::IngestMetrics;
use crate::postgres::DatabaseError;
use crate::postgres::ingest::Ledger;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// Records the messages of every stage but the raw one.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) ledger: Ledger,
    pub(crate) trusted: Arc<VerifyingKeys>,
    pub(crate) metrics: IngestMetrics,
}

impl Sink for Record {
    const REASONS: &'static [&'static str] = &["refused-by-ledger"];

    async fn handle(&self, delivery: &Delivery) -> Outcome<Infallible> {
        let event = AuditEvent::of(delivery, &self.trusted);
        match self.ledger.record(&event).await {
            Ok(is_new) => {
                self.metrics.count(event.event_type, is_new);
                Outcome::Done(Vec::new())
            }
            Err(error) => self.after_error(error, delivery.deliveries),
        }
    }
}

impl Record {
    fn after_error(&self, error: DatabaseError, deliveries: u64) -> Outcome<Infallible> {
        if !error.is_passing() {
            return Outcome::Reject {
                reason: "refused-by-ledger",
                cause: error.into(),
            };
        }
        tracing::warn!(%error, "the ledger does not take an event, the stream keeps it");
        if let Err(error) = self.ledger.refresh() {
            tracing::warn!(%error, "the database URL cannot be read again");
        }
        Outcome::Retry {
            after: backoff(deliveries),
            cause: error.into(),
        }
    }
}

/// Doubled with every delivery.
fn backoff(deliveries: u64) -> Duration {
    let doublings = u32::try_from(deliveries.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_and_is_bounded() {
        assert_eq!(backoff(1), FIRST_RETRY);
        assert_eq!(backoff(3), 4 * FIRST_RETRY);
        assert_eq!(backoff(u64::MAX), LAST_RETRY);
    }
}
