//! First layer of the dead letters: what a worker cannot handle it buries, by reference.
//!
//! When the letter cannot be stored (the stream is full, the server is away) the message comes again,
//! later each time. With its last delivery it is ended, and what would have stood in the letter is said
//! to the server, in whose advisory it waits for the second layer and for room.

use std::time::Duration;

use super::advisory::{epitaph, unburied};
use super::work::Work;
use super::{Runner, backoff, reasons};
use crate::bus::{Dead, Pulled};
use crate::errors::chain;
use crate::metrics::{ConsumerLabel, DeadLabel};
use crate::telemetry;

/// After the first attempt; doubled with every delivery.
const AGAIN: Duration = Duration::from_secs(1);

impl Runner {
    pub(super) async fn bury<W: Work>(
        &self,
        pulled: &Pulled,
        dead: Option<Dead>,
        reason: &'static str,
        cause: &anyhow::Error,
    ) {
        debug_assert!(
            reasons::is_known::<W>(reason),
            "{reason} is missing in REASONS, so its first dead letter would be seen by no alert"
        );
        let text = chain(cause);
        telemetry::fail(&tracing::Span::current(), reason);
        let dead = dead.unwrap_or_else(|| Dead::of(&self.spec, pulled));
        let letter = match self.letters.bury(&dead, reason, &text).await {
            Ok(letter) => letter,
            Err(error) => {
                tracing::error!(reason, cause = %text, %error, "the dead letter was not stored");
                return self.not_buried(pulled, reason, &text).await;
            }
        };
        tracing::error!(reason, cause = %text, "sent to the dead letters (stream BONESETTER_DLQ)");
        let label = DeadLabel {
            consumer: self.spec.name,
            reason,
        };
        self.metrics.dead.get_or_create(&label).inc();
        self.end(pulled, &epitaph(letter, reason)).await;
    }

    async fn not_buried(&self, pulled: &Pulled, reason: &str, cause: &str) {
        let consumer = self.spec.name;
        let label = ConsumerLabel { consumer };
        self.metrics.unburied.get_or_create(&label).inc();
        // The server delivers once more than is allowed here.
        let limit = u64::from(self.spec.max_deliver);
        if limit > 0 && pulled.deliveries > limit {
            self.end(pulled, &unburied(reason, cause)).await;
        } else {
            let after = backoff(AGAIN, pulled.deliveries, false);
            self.give_back(pulled, after).await;
        }
    }

    async fn end(&self, pulled: &Pulled, words: &str) {
        let answer = pulled.acker.terminate(words);
        self.settle(pulled, "term", answer).await;
    }
}
