//! Six stages in a chain, each in the place of its service and acknowledging as deployed.

use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{
    ACTUATOR_APPLY, ACTUATOR_DECIDE, ACTUATOR_VERIFY, ConsumerSpec, ENRICHER, LLM, PUBLISHER,
    REDACTOR,
};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Acted, Detected, Diagnosed, Enriched, Redacted};

use crate::bed::{Bed, Sync};
use crate::figures::{Latency, latency, median};
use crate::load::{Load, Running, run_raw};
use crate::measure::{EVERY, Effort, LIMIT, Meter, Round, StreamReaders, wide};

const SPECS: [ConsumerSpec; 6] = [
    ENRICHER,
    REDACTOR,
    LLM,
    ACTUATOR_DECIDE,
    ACTUATOR_APPLY,
    ACTUATOR_VERIFY,
];

pub(crate) struct Six {
    pub(crate) sync: Sync,
    bytes: usize,
    /// Six stages of the product, and one with the bare client.
    rounds: Vec<Round>,
    idle: Latency,
}

impl Six {
    /// Of a sixth of the rate of one stage with the bare client.
    pub(crate) fn share(&self) -> f64 {
        self.of(|round| round.product.rate / (round.raw.rate / 6.0))
    }

    fn of(&self, value: fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }

    pub(crate) fn name(sync: Sync, bytes: usize) -> String {
        format!("{}/six/{}", sync.name(), bytes / 1024)
    }

    pub(crate) fn row(&self) -> String {
        let own = self.of(|round| round.product.own_us);
        let server = self.of(|round| round.product.server_us);
        format!(
            "{:8} {:>7} {:8} {:>9.0} {:>9.0} {:>6.2} {:>15} {:>15} {:>11} {:>11}",
            self.sync.name(),
            self.bytes / 1024,
            "six",
            self.of(|round| round.raw.rate / 6.0),
            self.of(|round| round.product.rate),
            self.share(),
            "",
            format!("{:.2}/{:.2} ms", self.idle.p50_ms, self.idle.p99_ms),
            "",
            format!("{own:.0}+{server:.0}"),
        )
    }
}

pub(crate) async fn six_stages(
    sync: Sync,
    (bytes, count): (usize, usize),
    effort: Effort,
) -> anyhow::Result<Six> {
    let bed = Bed::start(sync).await?;
    for spec in SPECS.iter().chain([&PUBLISHER]) {
        bed.widen(spec).await?;
    }
    let watcher = bed.service("svc-watcher").await?;
    let client = bed.client(PUBLISHER.user).await?;
    let mut rounds = Vec::new();
    let load = |first, count| Load {
        first,
        count,
        bytes,
        seed: effort.seed,
    };
    for number in 0..effort.rounds {
        let load = load(number * count, count);
        load.fill::<Detected>(&watcher).await?;
        let stages = Stages::start(&bed).await?;
        let meter = Meter::begin(&bed);
        let running = stages.run(true);
        for stage in &running {
            stage.has_handled(count).await?;
        }
        wait_for_all(&bed).await?;
        let product = meter.end(count);
        stages.end(running).await?;
        // The diagnoses of this round, which wait for a consumer that is none of the six.
        let meter = Meter::begin(&bed);
        run_raw(&client, PUBLISHER, Stage::DiagnosedJson, count).await?;
        bed.wait_acknowledged(&PUBLISHER, LIMIT).await?;
        let raw = meter.end(count);
        rounds.push(Round { raw, product });
    }
    let loaded = effort.rounds * count;
    bed.check_stored(Stage::DiagnosedJson, loaded).await?;
    let idle = Box::pin(idle(&bed, &watcher, load(loaded, effort.trickle))).await?;
    bed.check_stored(Stage::Acted, 3 * (loaded + effort.trickle))
        .await?;
    Ok(Six {
        sync,
        bytes,
        rounds,
        idle,
    })
}

async fn idle(bed: &Bed, watcher: &Service, load: Load) -> anyhow::Result<Latency> {
    let stages = Stages::start(bed).await?;
    let running = stages.run(false);
    load.trickle::<Detected>(watcher, EVERY * 3).await?;
    wait_for_all(bed).await?;
    stages.end(running).await?;
    let reader = StreamReaders(bed.reader(ENRICHER.user).await?);
    let from = reader.read(Stage::Detected, load.first, load.count).await?;
    // Each incident leaves three messages there; the last is the one that counts.
    let reader = StreamReaders(bed.reader(ACTUATOR_VERIFY.user).await?);
    let to = reader.read(Stage::Acted, 3 * load.first, 3 * load.count);
    let mut to = to.await?;
    to.retain(|message| message.subject.ends_with(".verified"));
    anyhow::ensure!(to.len() == load.count, "incidents are missing at the end");
    latency(&from, &to)
}

async fn wait_for_all(bed: &Bed) -> anyhow::Result<()> {
    for spec in &SPECS {
        bed.wait_acknowledged(spec, LIMIT).await?;
    }
    Ok(())
}

struct Stages {
    enricher: Service,
    redactor: Service,
    llm: Service,
    actuator: Service,
}

impl Stages {
    async fn start(bed: &Bed) -> anyhow::Result<Self> {
        Ok(Self {
            enricher: bed.service("svc-enricher").await?,
            redactor: bed.service("svc-redactor").await?,
            llm: bed.service("svc-llm").await?,
            actuator: bed.service("svc-actuator").await?,
        })
    }

    fn run(&self, is_wide: bool) -> [Running; 6] {
        let spec = |spec| if is_wide { wide(spec) } else { spec };
        let actuator = &self.actuator;
        let (decide, apply) = (spec(ACTUATOR_DECIDE), spec(ACTUATOR_APPLY));
        let verify = spec(ACTUATOR_VERIFY);
        [
            Running::start::<Detected, Enriched, true>(&self.enricher, spec(ENRICHER), None),
            Running::start::<Enriched, Redacted, true>(&self.redactor, spec(REDACTOR), None),
            Running::start::<Redacted, Diagnosed, false>(&self.llm, spec(LLM), None),
            Running::start::<Diagnosed, Acted, false>(actuator, decide, Some("intended")),
            Running::start::<Acted, Acted, false>(actuator, apply, Some("applied")),
            Running::start::<Acted, Acted, false>(actuator, verify, Some("verified")),
        ]
    }

    async fn end(&self, running: [Running; 6]) -> anyhow::Result<()> {
        for service in [&self.enricher, &self.redactor, &self.llm, &self.actuator] {
            service.shutdown.cancel();
        }
        for stage in running {
            stage.end().await?;
        }
        Ok(())
    }
}
