//! Everything between the broker and a handler.
//!
//! Order matters and is the same for stages and sinks: pull, decode, check, handle, publish and
//! wait until it is stored, then ack and wait until that is known (of a stage that is repeatable,
//! the ack is not waited for). A crash at any point leads to redelivery; outputs are stored once
//! because their subjects are unique.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bonesetter_keys::VerifyingKeys;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::bus::{Bus, Dead, DeadLetters, Publisher, Pulled, Puller, header};
use crate::clock::Clock;
use crate::errors::chain;
use crate::health::Waiting;
use crate::metrics::{ConsumerLabel, RunnerMetrics};
use crate::stage::{Sink, Stage};
use crate::telemetry;
use crate::topology::ConsumerSpec;

use advisory::AdvisoryWork;
use pace::Pace;
use panics::caught;
use reasons::{EXHAUSTED, PANIC};
use redrive::Request;
use work::{End, SinkWork, StageWork, Work};

mod advisory;
mod bury;
mod input;
mod lag;
mod observe;
mod pace;
mod panics;
mod reasons;
mod redrive;
mod work;

const SHORTEST_RETRY: Duration = Duration::from_millis(100);
/// No longer does a free handler wait for others before something is asked for.
const GATHER: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// What one durable consumer is handled with.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) bus: Bus,
    pub(crate) spec: ConsumerSpec,
    pub(crate) trusted: Arc<VerifyingKeys>,
    pub(crate) letters: DeadLetters,
    pub(crate) clock: Clock,
    pub(crate) metrics: RunnerMetrics,
    pub(crate) waiting: Waiting,
    /// What the consumer is asked to handle again.
    pub(crate) redrive: Option<(ConsumerSpec, Waiting)>,
    pub(crate) shutdown: CancellationToken,
}

impl Runner {
    pub(crate) async fn stage<S: Stage>(self, stage: S, publisher: Publisher<S::Out>) {
        let trusted = self.trusted.clone();
        let stream = self.spec.stream.name;
        self.run(StageWork {
            stage,
            publisher,
            trusted,
            stream,
        })
        .await;
    }

    pub(crate) async fn sink<S: Sink>(self, sink: S) {
        let stream = self.spec.stream.name;
        self.run(SinkWork { sink, stream }).await;
    }

    /// Buries what the server will not deliver again and no worker has buried. `user` is who runs.
    pub(crate) async fn advisories(self, user: &'static str) {
        let work = AdvisoryWork {
            bus: self.bus.clone(),
            letters: self.letters.clone(),
            metrics: self.metrics.clone(),
            user,
        };
        work.begin();
        self.run(work).await;
    }

    async fn run<W: Work>(mut self, work: W) {
        let redrive = self.redrive.take();
        let direct = (self.spec, self.waiting.clone());
        let specs: Vec<_> = std::iter::once(self.spec)
            .chain(redrive.as_ref().map(|(spec, _)| *spec))
            .collect();
        self.begin::<W>(&specs);
        let shared = (self, work);
        let redriven = Box::pin(async {
            if let Some((spec, waiting)) = redrive {
                pull(&shared, spec, waiting, true).await;
            }
        });
        let direct = Box::pin(pull(&shared, direct.0, direct.1, false));
        tokio::join!(direct, redriven, shared.0.watch_lag(&specs));
    }

    async fn handle<W: Work>(&self, work: &W, pulled: Pulled) {
        let (label, _in_flight) = self.received(&pulled);
        let started = Instant::now();
        let span = self.span(&pulled);
        let sender = pulled.headers.get(header::TRACEPARENT);
        let working = self.work_alive(work, &pulled).instrument(span.clone());
        let end = telemetry::hand_on(sender.map(String::as_str), working).await;
        self.finish::<W>(&label, &pulled, None, end)
            .instrument(span)
            .await;
        self.metrics
            .seconds
            .get_or_create(&label)
            .observe(started.elapsed().as_secs_f64());
    }

    /// Handles what a request refers to, or tells why not.
    async fn handle_again<W: Work>(&self, work: &W, spec: &ConsumerSpec, request: Pulled) {
        match self.resolve(spec, request).await {
            Request::Handle(pulled) => self.handle(work, *pulled).await,
            Request::End(request, dead, end) => {
                let (label, _in_flight) = self.received(&request);
                self.finish::<W>(&label, &request, Some(dead), end).await;
            }
        }
    }

    /// Runs the handler and keeps telling the server that it does.
    async fn work_alive(&self, work: &impl Work, pulled: &Pulled) -> End {
        // An interval that begins now would wait for the clock's next millisecond.
        let every = self.spec.ack_wait / 3;
        let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let mut working = pin!(caught(work.work(pulled)));
        loop {
            tokio::select! {
                end = &mut working => return end.unwrap_or(End::Panicked),
                _ = alive.tick() => pulled.acker.in_progress().await,
            }
        }
    }

    /// Tells the server how a delivery ended. `dead` is what a letter would be about, where that is not what was
    /// delivered.
    async fn finish<W: Work>(
        &self,
        label: &ConsumerLabel,
        pulled: &Pulled,
        dead: Option<Dead>,
        end: End,
    ) {
        let (reason, cause) = match end {
            End::Done { published } => {
                self.metrics
                    .published
                    .get_or_create(label)
                    .inc_by(published as u64);
                let acker = &pulled.acker;
                if W::IS_REPEATABLE {
                    self.settle(pulled, "ack", acker.ack()).await;
                } else {
                    self.settle(pulled, "ack", acker.ack_and_wait()).await;
                }
                return;
            }
            End::HandBack => return self.give_back(pulled, SHORTEST_RETRY).await,
            End::Retry { after, cause } if self.may_come_again(pulled, 0) => {
                return self.retry(label, pulled, after, &cause).await;
            }
            End::Panicked => {
                tracing::error!("the handler panicked");
                self.metrics.panicked.get_or_create(label).inc();
                let cause = panics::cause();
                if self.may_come_again(pulled, panics::DELIVERIES) {
                    return self.retry(label, pulled, panics::RETRY, &cause).await;
                }
                (PANIC, cause)
            }
            End::Retry { cause, .. } => (EXHAUSTED, cause),
            End::Dead { reason, cause } => (reason, cause),
        };
        // Rare, and larger than all else that a handler holds.
        Box::pin(self.bury::<W>(pulled, dead, reason, &cause)).await;
    }

    /// Whether deliveries are left: of those that the consumer has, or of so many where it has no limit;
    /// 0 is none either.
    fn may_come_again(&self, pulled: &Pulled, otherwise: u64) -> bool {
        let limit = match u64::from(self.spec.max_deliver) {
            0 => otherwise,
            limit => limit,
        };
        limit == 0 || pulled.deliveries < limit
    }

    async fn retry(
        &self,
        label: &ConsumerLabel,
        pulled: &Pulled,
        after: Duration,
        cause: &anyhow::Error,
    ) {
        let after = backoff(after, pulled.deliveries, self.spec.max_deliver == 0);
        telemetry::fail(&tracing::Span::current(), "retry");
        tracing::info!(cause = chain(cause), ?after, "will be tried again");
        self.metrics.retried.get_or_create(label).inc();
        self.give_back(pulled, after).await;
    }

    async fn give_back(&self, pulled: &Pulled, after: Duration) {
        let answer = pulled.acker.retry_after(after);
        self.settle(pulled, "nak", answer).await;
    }
}

/// Takes what a durable delivers and has it handled, as many at a time as the durable allows, until
/// shut down and drained.
///
/// All in one task: what the handlers that are ready have to send goes to the server in one piece, which
/// it does not where each is a task. A handler that computes for long takes a thread for that.
async fn pull<W: Work>(
    (runner, work): &(Runner, W),
    spec: ConsumerSpec,
    waiting: Waiting,
    is_again: bool,
) {
    let permits = Arc::new(Semaphore::new(spec.concurrency));
    let pace = W::IS_REPEATABLE.then(|| Pace::of(spec.concurrency));
    let puller = Puller::new(runner.bus.clone(), spec, waiting);
    let deliveries = stream::unfold(puller, async |mut puller| {
        let ahead = || pace.as_ref().map_or(0, |pace| pace.ahead(Instant::now()));
        if let Some(delivery) = next(runner, &spec, &permits, &mut puller, ahead).await {
            return Some((delivery, puller));
        }
        puller.hand_back().await;
        None
    });
    let handling = deliveries.for_each_concurrent(None, async |(pulled, permit)| {
        let begun = Instant::now();
        let handled = caught(async {
            if is_again {
                runner.handle_again(work, &spec, pulled).await;
            } else {
                runner.handle(work, pulled).await;
            }
        });
        if handled.await.is_none() {
            tracing::error!("what is done around a handler panicked; the message comes again");
            let consumer = spec.name;
            let panicked = &runner.metrics.panicked;
            panicked.get_or_create(&ConsumerLabel { consumer }).inc();
        }
        if let Some(pace) = &pace {
            pace.end(begun);
        }
        drop(permit);
    });
    handling.await;
    tracing::info!(consumer = spec.name, "drained");
}

/// The next delivery, once a handler is free for it; `None` when shutting down. `ahead` is how many more may
/// be asked for than handlers are free.
async fn next(
    runner: &Runner,
    spec: &ConsumerSpec,
    permits: &Arc<Semaphore>,
    puller: &mut Puller,
    ahead: impl Fn() -> usize,
) -> Option<(Pulled, OwnedSemaphorePermit)> {
    let permit = tokio::select! {
        permit = permits.clone().acquire_owned() => permit.ok()?,
        () = runner.shutdown.cancelled() => return None,
    };
    if puller.must_ask() {
        gather(permits, spec.concurrency).await;
    }
    let wanted = 1 + permits.available_permits() + ahead();
    let pulled = puller.next(wanted, &runner.shutdown).await?;
    Some((pulled, permit))
}

/// Under load handlers end one by one, and a request for every message costs as much as the
/// message. Waits a moment until a quarter of the handlers are free, one being so already.
async fn gather(permits: &Arc<Semaphore>, concurrency: usize) {
    let others = u32::try_from(concurrency.div_ceil(4) - 1).unwrap_or(0);
    if others > 0 {
        // They are given back at once; it was only about waiting for them.
        let _ = tokio::time::timeout(GATHER, permits.acquire_many(others)).await;
    }
}

/// What the handler asked for; where deliveries are limited, doubled with every one of them.
fn backoff(asked: Duration, deliveries: u64, unlimited: bool) -> Duration {
    let doublings = if unlimited {
        0
    } else {
        u32::try_from(deliveries.saturating_sub(1))
            .unwrap_or(8)
            .min(8)
    };
    asked
        .saturating_mul(1 << doublings)
        .clamp(SHORTEST_RETRY, LONGEST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_where_deliveries_are_limited_and_is_bounded() {
        let second = Duration::from_secs(1);
        assert_eq!(backoff(second, 1, false), second);
        assert_eq!(backoff(second, 3, false), 4 * second);
        assert_eq!(backoff(second, 3, true), second);
        assert_eq!(backoff(second, u64::MAX, false), 256 * second);
        assert_eq!(backoff(LONGEST_RETRY * 5, 1, true), LONGEST_RETRY);
        assert_eq!(backoff(Duration::ZERO, 1, true), SHORTEST_RETRY);
    }
}
