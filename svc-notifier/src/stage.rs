//! One message in, posts to people and one `Notified` out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_keys::{Signature, VerifyingKeys};
use bonesetter_proto::v1::{
    Acted, Detected, Diagnosed, NoticeKind, Notified, Overdue, SignedMessage,
};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::channel::Channel;
use crate::metrics::NotifierMetrics;
use crate::notice::{Notice, NoticeError};
use crate::notices::{Notices, NoticesError};
use crate::post::Attempt;
use crate::record::{Candidate, Plan, Record, Told, Wait};
use crate::telling::Telling;

mod settle;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(5);
/// A notice waits this long for an older one on the same channel, or for another worker.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// So many times an outcome waits for the notice of what it is the outcome of, which may be among the
/// dead letters.
const PATIENT_DELIVERIES: u64 = 30;

/// Tells people, and remembers what it told them.
#[derive(Debug)]
pub(crate) struct Notifier {
    pub(crate) channels: Vec<Channel>,
    pub(crate) notices: Notices,
    pub(crate) client: reqwest::Client,
    pub(crate) clock: Clock,
    /// How long one attempt can take at most; a worker that has held a notice for longer is dead.
    pub(crate) lease: Duration,
    /// How long a receiver that is away is tried.
    pub(crate) patience: Duration,
    pub(crate) metrics: NotifierMetrics,
    pub(crate) telling: Telling,
    pub(crate) shutdown: CancellationToken,
}

/// Tells what svc-actuator decides and does.
#[derive(Debug)]
pub(crate) struct TellActed {
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) trusted: Arc<VerifyingKeys>,
}

/// Tells how incidents end.
#[derive(Debug)]
pub(crate) struct TellResolved {
    pub(crate) notifier: Arc<Notifier>,
}

/// Tells that a stage has not answered in time.
#[derive(Debug)]
pub(crate) struct TellOverdue {
    pub(crate) notifier: Arc<Notifier>,
}

impl Stage for TellActed {
    type In = Acted;
    type Out = Notified;
    const REASONS: &'static [&'static str] = REASONS;

    async fn handle(&self, input: &Input<Acted>) -> Outcome<Notified> {
        let diagnosed = match input
            .message
            .diagnosis
            .as_ref()
            .map(|signed| self.verify(signed))
        {
            None => None,
            Some(Ok(diagnosed)) => Some(diagnosed),
            Some(Err(cause)) => {
                return Outcome::Reject {
                    reason: "unsigned-diagnosis",
                    cause,
                };
            }
        };
        match Notice::of_acted(&input.subject, &input.message, diagnosed) {
            Ok(None) => Outcome::Done(Vec::new()),
            Ok(Some(notice))
                if notice.kind == NoticeKind::Incident && notice.diagnosed.is_none() =>
            {
                let cause = anyhow::anyhow!("a proposal without the diagnosis that it rests on");
                Outcome::Reject {
                    reason: "unsigned-diagnosis",
                    cause,
                }
            }
            Ok(Some(notice)) => self.notifier.tell(&notice, input.deliveries).await,
            Err(error) => reject(error),
        }
    }
}

impl TellActed {
    fn verify(&self, signed: &SignedMessage) -> anyhow::Result<Diagnosed> {
        let signature = Signature {
            key_id: signed.key_id.clone(),
            bytes: signed.signature.clone(),
        };
        let verified =
            self.trusted
                .verify::<Diagnosed>(&signed.subject, &signed.payload, &signature)?;
        Ok(verified.into_inner())
    }
}

impl Stage for TellResolved {
    type In = Detected;
    type Out = Notified;
    const REASONS: &'static [&'static str] = REASONS;

    async fn handle(&self, input: &Input<Detected>) -> Outcome<Notified> {
        match Notice::of_detected(&input.subject, &input.message) {
            Ok(None) => Outcome::Done(Vec::new()),
            Ok(Some(notice)) => self.notifier.tell(&notice, input.deliveries).await,
            Err(error) => reject(error),
        }
    }
}

impl Stage for TellOverdue {
    type In = Overdue;
    type Out = Notified;
    const REASONS: &'static [&'static str] = REASONS;

    async fn handle(&self, input: &Input<Overdue>) -> Outcome<Notified> {
        match Notice::of_overdue(&input.subject, &input.message) {
            Ok(notice) => self.notifier.tell(&notice, input.deliveries).await,
            Err(error) => reject(error),
        }
    }
}

/// Every reason that a notice is not made for.
const REASONS: &[&str] = &[
    "unsigned-diagnosis",
    "no-incident",
    "other-incident",
    "other-diagnosis",
    "damaged-record",
];

fn reject(error: NoticeError) -> Outcome<Notified> {
    let reason = match error {
        NoticeError::NoIncident => "no-incident",
        NoticeError::OtherIncident => "other-incident",
        NoticeError::OtherDiagnosis => "other-diagnosis",
    };
    Outcome::Reject {
        reason,
        cause: error.into(),
    }
}

/// What a look into the record said.
enum Turn {
    /// Nothing is to be told.
    Silent(Plan),
    /// Every channel has its result.
    Settled(Told),
    /// Another worker posts it, or something older comes first.
    Wait(Duration),
    /// This worker posts it, on these channels.
    Post {
        claim: Claim,
        told: Told,
        channels: Vec<String>,
    },
}

/// The right of this worker to post a notice.
#[derive(Debug, Clone, Copy)]
struct Claim {
    /// Its place in the record.
    index: usize,
    /// Unix milliseconds.
    until: u64,
}

impl Notifier {
    async fn tell(&self, notice: &Notice, deliveries: u64) -> Outcome<Notified> {
        let Some(_telling) = self.telling.begin(notice.idempotency_key()) else {
            return Outcome::Retry {
                after: SHORT_WAIT,
                cause: anyhow::anyhow!("an earlier delivery of it is being handled"),
            };
        };
        match self.turn(notice, deliveries).await {
            Err(error) => after_error(error),
            Ok(Turn::Silent(plan)) => {
                tracing::info!(?plan, step = notice.step(), "nothing to tell");
                Outcome::Done(Vec::new())
            }
            Ok(Turn::Settled(told)) => done(notice, &told),
            Ok(Turn::Wait(after)) => Outcome::Retry {
                after,
                cause: anyhow::anyhow!("an earlier notice, or another worker, comes first"),
            },
            Ok(Turn::Post {
                claim,
                told,
                channels,
            }) => {
                let attempts = self.post(notice, &told, &channels).await;
                self.settle(notice, claim, attempts, deliveries).await
            }
        }
    }

    /// Writes the intent into the record before anything is posted.
    async fn turn(&self, notice: &Notice, deliveries: u64) -> Result<Turn, NoticesError> {
        let names: Vec<&str> = self.channels.iter().map(Channel::name).collect();
        let now = millis(self.clock.now());
        let decide = |record: &mut Record| {
            let index = match record.plan(candidate(notice, deliveries), &names, now) {
                Plan::Tell(index) => index,
                Plan::TooEarly => return Turn::Wait(SHORT_WAIT),
                silent => return Turn::Silent(silent),
            };
            let Some(told) = record.told.get(index).cloned() else {
                return Turn::Wait(SHORT_WAIT);
            };
            if told.is_settled() {
                return Turn::Settled(told);
            }
            let channels = record.postable(index, now, self.patience);
            if channels.is_empty() {
                return Turn::Wait(SHORT_WAIT);
            }
            match record.claim(index, now, self.lease) {
                Ok(until) => Turn::Post {
                    claim: Claim { index, until },
                    told,
                    channels,
                },
                Err(wait) => Turn::Wait(wait),
            }
        };
        self.notices
            .change(&notice.incident.id, decide)
            .await
            .map(|(_, turn)| turn)
    }

    async fn post(
        &self,
        notice: &Notice,
        told: &Told,
        channels: &[String],
    ) -> Vec<(String, String, Attempt)> {
        let key = notice.idempotency_key();
        let attempts = channels.iter().map(async |name| {
            let Some(channel) = self.channels.iter().find(|channel| channel.name() == name) else {
                return (
                    name.clone(),
                    String::new(),
                    Attempt::Refused("not-configured".to_owned()),
                );
            };
            let Ok(body) = channel.render(notice, told) else {
                return (
                    name.clone(),
                    String::new(),
                    Attempt::Refused("unrenderable".to_owned()),
                );
            };
            let hash = body.hash.clone();
            let attempt = channel
                .post(&self.client, body, &key, self.clock.now())
                .await;
            self.metrics.count(channel.name(), outcome_of(&attempt));
            (name.clone(), hash, attempt)
        });
        join_all(attempts).await
    }
}

fn candidate(notice: &Notice, deliveries: u64) -> Candidate {
    Candidate {
        follows: notice
            .follows()
            .filter(|_| deliveries <= PATIENT_DELIVERIES),
        step: notice.step(),
        cause: notice.cause(),
        is_proposal: notice.kind == NoticeKind::Incident,
        ends_with: notice.resolution.clone(),
        waits_for: notice.overdue.as_ref().map(Wait::of),
    }
}

const fn outcome_of(attempt: &Attempt) -> &'static str {
    match attempt {
        Attempt::Delivered => "delivered",
        Attempt::Refused(_) => "refused",
        Attempt::Again { .. } => "again",
    }
}

fn done(notice: &Notice, told: &Told) -> Outcome<Notified> {
    let message = Notified {
        envelope: None,
        incident: Some(notice.incident.clone()),
        failure_class: notice.failure_class.into(),
        kind: notice.kind.into(),
        deliveries: told.deliveries(&notice.idempotency_key()),
    };
    Outcome::Done(vec![Output {
        step: notice.step(),
        message,
    }])
}

fn after_error(error: NoticesError) -> Outcome<Notified> {
    match error {
        NoticesError::Damaged { .. } => Outcome::Reject {
            reason: "damaged-record",
            cause: error.into(),
        },
        NoticesError::Bucket(_) | NoticesError::Contended(_) => Outcome::Retry {
            after: SHORT_WAIT,
            cause: error.into(),
        },
    }
}

/// Doubled with every delivery.
fn backoff(deliveries: u64) -> Duration {
    let doublings = u32::try_from(deliveries.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY)
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_and_is_bounded() {
        assert_eq!(backoff(1), FIRST_RETRY);
        assert_eq!(backoff(4), 8 * FIRST_RETRY);
        assert_eq!(backoff(u64::MAX), LAST_RETRY);
    }
}
