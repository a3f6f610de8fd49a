//! Many more messages than can be worked off: a backlog is let through to the services' own programs on a
//! private nats-server, once with a quick model and once with a slow one. Memory follows from what a
//! service may have in hand, never from what waits; nobody has more in hand than its consumer allows;
//! who is not slow goes on as before; and in the end each message was handled once.
//!
//! The backlog waits before svc-redactor, which is away meanwhile; svc-llm has so many replicas that only
//! the server holds them back. svc-watcher and svc-enricher do not take part, because what they handle is
//! in the cluster; svc-actuator asks its cluster nothing, because the model offers no remedy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_chassis::bus::{Bus, ConsumerState, StreamReader};
use bonesetter_chassis::topology::{
    ACTED, ConsumerSpec, DIAGNOSED, DLQ, ENRICHED, LLM, NOTIFIED, REDACTED, StreamSpec,
};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::Instant;

use crate::say;

mod bed;
mod feed;
mod judge;
mod outside;
mod watch;

#[cfg(test)]
mod tests;

use bed::{Bed, Memory};
use feed::Feed;
use outside::Pace;
use watch::{Phase, Sample};

pub use judge::{Flow, Outcome, Row};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);
/// How long one flood may take to be worked off.
const LIMIT: Duration = Duration::from_mins(15);
const MIB: f64 = 1024.0 * 1024.0;
/// What svc-redactor leads to, one message each, and what the ledger records.
const RESULTS: [StreamSpec; 4] = [REDACTED, DIAGNOSED, ACTED, NOTIFIED];

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checkout, whose SQL is installed.
    pub sources: PathBuf,
    /// Messages of one flood; more than svc-llm may have in hand.
    pub messages: u32,
    /// What is in them.
    pub seed: u64,
    /// How long the slow model takes.
    pub delay: Duration,
}

/// Lets both floods through.
pub async fn run(options: &Options) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        i64::from(options.messages) > LLM.max_ack_pending,
        "a flood needs more than {} messages",
        LLM.max_ack_pending
    );
    say("starting servers and services");
    let bed = Bed::start(&options.sources).await?;
    let mut flood = Flood {
        feed: Feed::new(&bed, options.seed).await?,
        provisioner: bed.bus("provisioner").await?,
        consumers: bed.consumers(),
        rest: bed
            .processes
            .iter()
            .map(bed::Process::memory)
            .collect::<Result<_, _>>()?,
        poured: 0,
        largest: 0,
        backlog: 0.0,
        bed,
    };
    say(&format!(
        "a flood of {} messages, and a quick model",
        options.messages
    ));
    let quick = flood
        .phase(options.messages, Pace::After(Duration::ZERO))
        .await?;
    say(&format!(
        "the same, and a model that takes {} ms",
        options.delay.as_millis()
    ));
    let slow = flood
        .phase(options.messages, Pace::After(options.delay))
        .await?;
    flood.judge(&quick, &slow).await
}

struct Flood {
    bed: Bed,
    feed: Feed,
    provisioner: Bus,
    consumers: Vec<&'static ConsumerSpec>,
    /// By process.
    rest: Vec<Memory>,
    poured: u32,
    largest: usize,
    backlog: f64,
}

impl Flood {
    /// Lets messages pile up before svc-redactor, and looks on while they are worked off.
    async fn phase(&mut self, count: u32, pace: Pace) -> anyhow::Result<Phase> {
        self.bed.stop_redactor().await?;
        self.bed.outside.set(Pace::Held);
        let before = self.provisioner.stream_state(&ENRICHED).await?.bytes;
        let largest = self.feed.pour(self.poured, count).await?;
        let after = self.provisioner.stream_state(&ENRICHED).await?.bytes;
        let mut phase = Phase {
            first: self.poured.into(),
            count: count.into(),
            samples: Vec::new(),
        };
        self.poured += count;
        self.largest = self.largest.max(largest);
        self.backlog = mib(after.saturating_sub(before));
        self.bed.start_redactor().await?;
        let began = Instant::now();
        let mut ticks = tokio::time::interval(EVERY);
        let llm = self.place(&LLM)?;
        loop {
            ticks.tick().await;
            self.bed.check_alive()?;
            let sample = self.sample(began.elapsed()).await?;
            let is_full = i64::try_from(sample.states[llm].ack_pending)? >= LLM.max_ack_pending;
            if is_full {
                // By now every request that there may be is open.
                self.bed.outside.set(pace);
            }
            let is_done = self.is_done(&sample).await?;
            phase.samples.push(sample);
            if is_done {
                return Ok(phase);
            }
            anyhow::ensure!(
                began.elapsed() < LIMIT,
                "the flood is not worked off within {LIMIT:?}"
            );
        }
    }

    async fn sample(&self, at: Duration) -> anyhow::Result<Sample> {
        let processes = &self.bed.processes;
        Sample::take(at, processes, &self.consumers, &self.provisioner).await
    }

    /// Whether there is nothing more to come.
    async fn is_done(&self, sample: &Sample) -> anyhow::Result<bool> {
        let told = self.provisioner.stream_state(&NOTIFIED).await?.messages;
        let dead = self.provisioner.stream_state(&DLQ).await?.messages;
        let is_idle = sample.states.iter().all(ConsumerState::is_idle);
        Ok(is_idle && told + dead >= u64::from(self.poured))
    }

    fn place(&self, spec: &ConsumerSpec) -> anyhow::Result<usize> {
        let place = self.consumers.iter().position(|it| *it == spec);
        place.with_context(|| format!("nobody handles {}", spec.name))
    }

    async fn judge(&self, quick: &Phase, slow: &Phase) -> anyhow::Result<Outcome> {
        let largest = self.largest_of_streams().await?;
        let (lost, twice) = self.count().await?;
        let flows = self.consumers.iter().enumerate().map(|(place, spec)| {
            let in_flight = [quick, slow].map(|phase| phase.most_in_flight(place));
            Flow {
                consumer: spec.name,
                in_flight: in_flight[0].max(in_flight[1]),
                limit: u64::try_from(spec.max_ack_pending).unwrap_or(0),
                lag: (quick.most_lag(place), slow.most_lag(place)),
                rate: (quick.rate(place), slow.rate(place)),
            }
        });
        let rows = 0..self.bed.processes.len();
        Ok(Outcome {
            messages: self.poured.into(),
            backlog: self.backlog,
            largest: mib(self.largest as u64) * 1024.0,
            rows: rows
                .map(|place| self.row(place, [quick, slow], &largest))
                .collect(),
            flows: flows.collect(),
            asking: (
                self.bed.outside.asked().1 as u64,
                u64::try_from(LLM.max_ack_pending)?,
            ),
            lost,
            twice,
            dead: self.provisioner.stream_state(&DLQ).await?.messages,
        })
    }

    fn row(&self, place: usize, phases: [&Phase; 2], largest: &BTreeMap<&str, usize>) -> Row {
        let service = self.bed.processes[place].service;
        let own: Vec<usize> = (0..self.consumers.len())
            .filter(|it| self.consumers[*it].user == service)
            .collect();
        let in_hand = own.iter().map(|it| {
            let spec = self.consumers[*it];
            let bytes = largest.get(spec.stream.name).copied().unwrap_or(0);
            mib((spec.concurrency * bytes) as u64)
        });
        Row {
            service,
            rest: self.rest[place].resident,
            peak: phases
                .map(|phase| phase.peak(place))
                .into_iter()
                .fold(0.0, f64::max),
            bound: judge::SLACK_MIB + judge::COPIES * in_hand.sum::<f64>(),
            growth: phases[1].growth(place, &own),
        }
    }

    /// The bytes of the largest message of each stream; what is redacted is as large as what was raw.
    async fn largest_of_streams(&self) -> anyhow::Result<BTreeMap<&'static str, usize>> {
        let mut largest =
            BTreeMap::from([(ENRICHED.name, self.largest), (REDACTED.name, self.largest)]);
        let operator = self.bed.bus("operator").await?;
        for stream in [DIAGNOSED, ACTED, NOTIFIED] {
            let reader = StreamReader::new(operator.clone(), stream.name);
            let messages = reader.all(&stream.filter()).await?;
            let most = messages.iter().map(|message| message.payload.len()).max();
            largest.insert(stream.name, most.unwrap_or(0));
        }
        Ok(largest)
    }

    /// What is missing, and what is there more than once.
    async fn count(&self) -> anyhow::Result<(u64, u64)> {
        let expected = u64::from(self.poured);
        let (mut lost, mut twice) = (0, 0);
        let mut compare = |found: u64| {
            lost += expected.saturating_sub(found);
            twice += found.saturating_sub(expected);
        };
        for stream in &RESULTS {
            compare(self.provisioner.stream_state(stream).await?.messages);
        }
        compare(self.bed.outside.asked().0 as u64);
        let (notices, again) = self.bed.outside.notices();
        let mut again = again as u64;
        compare(notices as u64);
        let rows = self.ledger().await?;
        for stream in &RESULTS {
            let (messages, rows) = rows.get(stream.name).copied().unwrap_or_default();
            compare(messages);
            again += rows - messages;
        }
        Ok((lost, twice + again))
    }

    /// How many messages of a stream the ledger has rows of, and how many rows.
    async fn ledger(&self) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
        let mut database = PgConnection::connect(&self.bed.database_url).await?;
        let rows = sqlx::query(
            "select stream, count(distinct stream_sequence) as messages, count(*) as rows \
             from audit.audit_events group by stream",
        )
        .fetch_all(&mut database)
        .await?;
        let count = |row: &sqlx::postgres::PgRow, name| u64::try_from(row.get::<i64, _>(name));
        rows.iter()
            .map(|row| {
                Ok((
                    row.get("stream"),
                    (count(row, "messages")?, count(row, "rows")?),
                ))
            })
            .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}
