//! One stage, the product and the bare client in turns on one server.

use std::time::{Duration, Instant};

use async_nats::Client;
use bonesetter_chassis::bus::{Bus, StoredMessage, StreamReader};
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER, LLM, stream_of};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Diagnosed, Enriched, Redacted};

use crate::bed::{Bed, Sync};
use crate::figures::{Latency, cpu_seconds, latency, median};
use crate::load::{CONCURRENCY, Carrier, Load, Running, Unsigned, run_raw};

/// How much is measured, and of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// In turns, so that what else the machine does meets both.
    pub(crate) rounds: usize,
    /// Messages of which each finds everybody idle.
    pub(crate) trickle: usize,
    pub(crate) seed: u64,
}

pub(crate) const EVERY: Duration = Duration::from_millis(8);
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// A stage that passes messages on, in the place of one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Of svc-enricher, which is repeatable, with messages that nobody signs.
    Plain,
    /// Of svc-llm, which is not: what comes in is verified, what goes out is signed.
    Signed,
}

impl Place {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Signed => "signed",
        }
    }
}

/// One way of passing messages on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// Messages a second.
    pub(crate) rate: f64,
    /// Processor time a message of this process and of the server, microseconds.
    pub(crate) own_us: f64,
    pub(crate) server_us: f64,
}

/// The product beside the bare client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    pub(crate) raw: Measured,
    pub(crate) product: Measured,
}

pub(crate) struct One {
    pub(crate) sync: Sync,
    pub(crate) place: Place,
    pub(crate) bytes: usize,
    pub(crate) rounds: Vec<Round>,
    /// Of an idle pipeline: the bare client, and the product.
    pub(crate) idle: Vec<(Latency, Latency)>,
}

impl One {
    pub(crate) fn name(sync: Sync, place: Place, bytes: usize) -> String {
        format!("{}/{}/{}", sync.name(), place.name(), bytes / 1024)
    }

    /// What the product reaches of the bare client's rate.
    pub(crate) fn share(&self) -> f64 {
        self.of(|round| round.product.rate / round.raw.rate)
    }

    /// What the product adds to the time that the bare client takes, unloaded.
    pub(crate) fn added_p99_ms(&self) -> f64 {
        let added = self.idle.iter().map(|(raw, own)| own.p99_ms - raw.p99_ms);
        median(added.collect())
    }

    fn of(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }

    pub(crate) fn row(&self) -> String {
        let times = |of: fn(&(Latency, Latency)) -> Latency| {
            let median = |value: fn(Latency) -> f64| {
                median(self.idle.iter().map(|pair| value(of(pair))).collect())
            };
            let (p50, p99) = (median(|it| it.p50_ms), median(|it| it.p99_ms));
            format!("{p50:.2}/{p99:.2} ms")
        };
        let cpu = |of: fn(&Round) -> Measured| {
            let own = self.of(|round| of(round).own_us);
            let server = self.of(|round| of(round).server_us);
            format!("{own:.0}+{server:.0}")
        };
        format!(
            "{:8} {:>7} {:8} {:>9.0} {:>9.0} {:>6.2} {:>15} {:>15} {:>11} {:>11}",
            self.sync.name(),
            self.bytes / 1024,
            self.place.name(),
            self.of(|round| round.raw.rate),
            self.of(|round| round.product.rate),
            self.share(),
            times(|(raw, _)| *raw),
            times(|(_, own)| *own),
            cpu(|round| round.raw),
            cpu(|round| round.product),
        )
    }
}

/// Rate and processor times of what happens until it is ended.
pub(crate) struct Meter<'a> {
    bed: &'a Bed,
    begun: Instant,
    own: f64,
    server: f64,
}

impl<'a> Meter<'a> {
    pub(crate) fn begin(bed: &'a Bed) -> Self {
        Self {
            own: cpu_seconds("self"),
            server: cpu_seconds(&bed.nats.pid().to_string()),
            begun: Instant::now(),
            bed,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    pub(crate) fn end(self, count: usize) -> Measured {
        let seconds = self.begun.elapsed().as_secs_f64();
        let server = cpu_seconds(&self.bed.nats.pid().to_string()) - self.server;
        let count = count as f64;
        Measured {
            rate: count / seconds,
            own_us: (cpu_seconds("self") - self.own) * 1e6 / count,
            server_us: server * 1e6 / count,
        }
    }
}

pub(crate) fn wide(spec: ConsumerSpec) -> ConsumerSpec {
    ConsumerSpec {
        concurrency: CONCURRENCY,
        ..spec
    }
}

pub(crate) async fn one_stage(
    sync: Sync,
    place: Place,
    (bytes, count): (usize, usize),
    effort: Effort,
) -> anyhow::Result<One> {
    let (rounds, idle) = match place {
        Place::Plain => {
            let stand = Stand::new(sync, ENRICHER, "svc-watcher").await?;
            let measured = stand.measure::<Unsigned, Enriched, true>(bytes, count, effort);
            measured.await?
        }
        Place::Signed => {
            let stand = Stand::new(sync, LLM, "svc-redactor").await?;
            let measured = stand.measure::<Redacted, Diagnosed, false>(bytes, count, effort);
            measured.await?
        }
    };
    Ok(One {
        sync,
        place,
        bytes,
        rounds,
        idle,
    })
}

/// A server, who writes to the consumer, and a bare client with the consumer's rights.
struct Stand {
    bed: Bed,
    spec: ConsumerSpec,
    writer: Service,
    reader: StreamReaders,
    client: Client,
}

/// Reads what passed.
pub(crate) struct StreamReaders(pub(crate) Bus);

impl StreamReaders {
    /// So many messages of a stage from a place on.
    pub(crate) async fn read(
        &self,
        stage: Stage,
        before: usize,
        count: usize,
    ) -> anyhow::Result<Vec<StoredMessage>> {
        let mut found = Vec::with_capacity(count);
        let Some(stream) = stream_of(stage) else {
            return Ok(found);
        };
        let reader = StreamReader::new(self.0.clone(), stream.name);
        for sequence in before + 1..=before + count {
            found.extend(reader.at(u64::try_from(sequence)?).await?);
        }
        anyhow::ensure!(
            found.len() == count,
            "messages are missing in {}",
            stream.name
        );
        Ok(found)
    }
}

type Figures = (Vec<Round>, Vec<(Latency, Latency)>);

impl Stand {
    async fn new(sync: Sync, spec: ConsumerSpec, writer: &'static str) -> anyhow::Result<Self> {
        let bed = Bed::start(sync).await?;
        bed.widen(&spec).await?;
        Ok(Self {
            writer: bed.service(writer).await?,
            reader: StreamReaders(bed.reader(spec.user).await?),
            client: bed.client(spec.user).await?,
            bed,
            spec,
        })
    }

    async fn measure<I: Carrier, O: Carrier, const IS_REPEATABLE: bool>(
        &self,
        bytes: usize,
        count: usize,
        effort: Effort,
    ) -> anyhow::Result<Figures> {
        let (seed, mut first) = (effort.seed, 0);
        let mut next = |count| {
            first += count;
            Load {
                first: first - count,
                count,
                bytes,
                seed,
            }
        };
        let (mut rounds, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let raw = self.raw::<I, O>(next(count)).await?;
            let product = self.product::<I, O, IS_REPEATABLE>(next(count)).await?;
            rounds.push(Round { raw, product });
        }
        for _ in 0..effort.rounds {
            let raw = self.idle_raw::<I, O>(next(effort.trickle)).await?;
            let own = self
                .idle_product::<I, O, IS_REPEATABLE>(next(effort.trickle))
                .await?;
            idle.push((raw, own));
        }
        self.bed.check_stored(O::STAGE, first).await?;
        Ok((rounds, idle))
    }

    async fn raw<I: Carrier, O: Carrier>(&self, load: Load) -> anyhow::Result<Measured> {
        load.fill::<I>(&self.writer).await?;
        let meter = Meter::begin(&self.bed);
        run_raw(&self.client, self.spec, O::STAGE, load.count).await?;
        self.bed.wait_acknowledged(&self.spec, LIMIT).await?;
        Ok(meter.end(load.count))
    }

    async fn product<I: Carrier, O: Carrier, const IS_REPEATABLE: bool>(
        &self,
        load: Load,
    ) -> anyhow::Result<Measured> {
        load.fill::<I>(&self.writer).await?;
        let service = self.bed.service(self.spec.user).await?;
        let meter = Meter::begin(&self.bed);
        let running = Running::start::<I, O, IS_REPEATABLE>(&service, wide(self.spec), None);
        running.has_handled(load.count).await?;
        self.bed.wait_acknowledged(&self.spec, LIMIT).await?;
        let measured = meter.end(load.count);
        service.shutdown.cancel();
        running.end().await?;
        Ok(measured)
    }

    async fn idle_raw<I: Carrier, O: Carrier>(&self, load: Load) -> anyhow::Result<Latency> {
        let (passed, published) = tokio::join!(
            run_raw(&self.client, self.spec, O::STAGE, load.count),
            load.trickle::<I>(&self.writer, EVERY)
        );
        passed.and(published)?;
        self.latency::<I, O>(load).await
    }

    /// As many at a time as deployed.
    async fn idle_product<I: Carrier, O: Carrier, const IS_REPEATABLE: bool>(
        &self,
        load: Load,
    ) -> anyhow::Result<Latency> {
        let service = self.bed.service(self.spec.user).await?;
        let running = Running::start::<I, O, IS_REPEATABLE>(&service, self.spec, None);
        load.trickle::<I>(&self.writer, EVERY).await?;
        self.bed.wait_acknowledged(&self.spec, LIMIT).await?;
        service.shutdown.cancel();
        running.end().await?;
        self.latency::<I, O>(load).await
    }

    /// Between the times at which the server stored what came in and what went out.
    async fn latency<I: Carrier, O: Carrier>(&self, load: Load) -> anyhow::Result<Latency> {
        self.bed.wait_acknowledged(&self.spec, LIMIT).await?;
        let from = self.reader.read(I::STAGE, load.first, load.count).await?;
        let to = self.reader.read(O::STAGE, load.first, load.count).await?;
        latency(&from, &to)
    }
}
