//! Writing down what came of posting.

use std::time::Duration;

use bonesetter_chassis::stage::Outcome;
use bonesetter_proto::v1::Notified;

use super::{Claim, Notifier, SHORT_WAIT, after_error, backoff, done, millis};
use crate::notice::Notice;
use crate::notices::NoticesError;
use crate::post::Attempt;
use crate::record::{Progress, Record};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

impl Notifier {
    /// Writes down what came of it; what is still open is tried again until its time is over.
    pub(super) async fn settle(
        &self,
        notice: &Notice,
        claim: Claim,
        attempts: Vec<(String, String, Attempt)>,
        deliveries: u64,
    ) -> Outcome<Notified> {
        let now = millis(self.clock.now());
        let mut after = backoff(deliveries);
        let mut failures = Vec::new();
        for (channel, _, attempt) in &attempts {
            if let Attempt::Again {
                failure,
                after: asked,
            } = attempt
            {
                tracing::warn!(channel, failure, "a notice was not delivered");
                failures.push(format!("{channel}: {failure}"));
                after = after.max(asked.unwrap_or_default());
            }
        }
        let write = |record: &mut Record| {
            let is_past = record
                .told
                .get(claim.index)
                .is_some_and(|told| told.is_past(now, self.patience));
            let results: Vec<_> = attempts
                .iter()
                .filter_map(|(channel, hash, attempt)| {
                    Some((channel.clone(), progress(attempt, hash, is_past)?))
                })
                .collect();
            record.settle(claim.index, claim.until, &results);
        };
        match self.write_down(&notice.incident.id, write).await {
            Err(error) => after_error(error),
            Ok(record) => match record.told.get(claim.index) {
                Some(told) if told.is_settled() => done(notice, told),
                _ if failures.is_empty() => Outcome::Retry {
                    after: SHORT_WAIT,
                    cause: anyhow::anyhow!("an older notice comes first on a channel"),
                },
                _ => Outcome::Retry {
                    after,
                    cause: anyhow::anyhow!(failures.join(", ")),
                },
            },
        }
    }

    /// Changes the record of what has been posted. Nobody else knows of that, so it is tried for as long as
    /// the process lives: forgotten, it would be posted again.
    async fn write_down(
        &self,
        incident: &str,
        mut write: impl FnMut(&mut Record) + Send,
    ) -> Result<Record, NoticesError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.notices.change(incident, &mut write).await {
                Ok((record, ())) => return Ok(record),
                Err(error @ NoticesError::Damaged { .. }) => return Err(error),
                Err(error) => error,
            };
            tracing::warn!(%error, retry_in = ?pause, "the result of a notice is not written down yet");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.cancelled() => return Err(error),
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// The result of an attempt; `None` while it is worth another one.
fn progress(attempt: &Attempt, body_hash: &str, is_past: bool) -> Option<Progress> {
    let body_hash = body_hash.to_owned();
    match attempt {
        Attempt::Delivered => Some(Progress::Delivered { body_hash }),
        Attempt::Refused(failure) => Some(Progress::Failed {
            failure: failure.clone(),
            body_hash,
        }),
        Attempt::Again { failure, .. } if is_past => Some(Progress::Failed {
            failure: failure.clone(),
            body_hash,
        }),
        Attempt::Again { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_open_until_it_is_final_or_too_old() {
        let again = Attempt::again("timeout");
        assert_eq!(progress(&again, "h", false), None);
        let failed = |failure: &str| {
            Some(Progress::Failed {
                failure: failure.to_owned(),
                body_hash: "h".to_owned(),
            })
        };
        assert_eq!(progress(&again, "h", true), failed("timeout"));
        assert_eq!(
            progress(&Attempt::Refused("http-404".to_owned()), "h", false),
            failed("http-404")
        );
    }
}
