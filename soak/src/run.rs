//! A soak from beginning to end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;
use bonesetter_demo::environment::Environment;
use bonesetter_demo::run::{OWN_IMAGE, programs};
use bonesetter_demo::scenario::{AUTO_NAMESPACE, Canaries, Variables};
use bonesetter_testbed::{State, paths};
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::Bed;
use crate::failure::{Failure, make, scenarios};
use crate::fleet::Fleet;
use crate::laws::{Breach, Verdict, check};
use crate::say;
use crate::schedule::schedule;
use crate::storm::Storm;
use crate::world::{Reader, World};

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks at what was told.
const LOOK: Duration = Duration::from_secs(2);
/// Between two failures.
const FAILURE_EVERY: Duration = Duration::from_secs(8);
/// How long everything may take to come right when all is well again: a message that waits for its
/// next delivery may do so for five minutes, twice.
const CALM: Duration = Duration::from_mins(12);
/// After this time of calm nothing that is still broken is being mended.
const MENDED: Duration = Duration::from_mins(2);
const WATCHER: &str = "svc-watcher";
/// As many as there are Leases in the manifests' Role; the two namespaces are in different ones.
const SHARDS: u32 = 8;
/// Most breaches that are printed.
const SHOWN: usize = 40;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checkout.
    pub sources: PathBuf,
    /// How long things go wrong.
    pub length: Duration,
    /// What goes wrong when.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What holds and what does not.
    pub verdict: Verdict,
    /// What was broken.
    pub failures: usize,
    /// What happened to the system.
    pub faults: usize,
    /// Processes that were killed.
    pub kills: usize,
    /// Services that ended by themselves, because something that they need was away.
    pub ends: u32,
    /// How long all took to come right.
    pub calm: Duration,
}

/// Runs a soak on the node of a testbed.
pub async fn run(testbed: State, options: &Options) -> anyhow::Result<Outcome> {
    let dir = paths::cache_dir().join("testbed").join("soak");
    say("starting servers");
    let bed = Bed::start(&testbed, &dir).await?;
    let sources = &options.sources;
    let environment = Environment::prepare(bed.state.clone(), bed.keys.clone(), sources).await?;
    let mut specs = environment.specs(&bed.receiver_url()?)?;
    for spec in &mut specs {
        if spec.program == WATCHER {
            let sharding = json!({"shards": SHARDS});
            spec.config.insert("sharding".to_owned(), sharding);
        }
        if let Some(file) = spec.config.get("kubeconfig").and_then(Value::as_str) {
            bed.proxy_kubeconfig(Path::new(file))?;
        }
    }
    say("starting services");
    let fleet = Fleet::start(&specs, &programs()?, &environment.dir)?;
    let names = fleet.names();
    let planned = schedule(options.seed, options.length, names.len());
    say(&format!(
        "{} faults in {} minutes, seed {}; logs are in {}",
        planned.len(),
        options.length.as_secs_f64() / 60.0,
        options.seed,
        environment.dir.display()
    ));
    let storm = Storm::new(options.seed, planned, names);
    let mut soak = Soak {
        bed,
        fleet,
        storm,
        environment,
        working: FuturesUnordered::new(),
        failures: Vec::new(),
    };
    soak.rage(options.length).await?;
    soak.settle().await
}

#[derive(Debug)]
struct Soak {
    bed: Bed,
    fleet: Fleet,
    storm: Storm,
    environment: Environment,
    /// Workloads that are being broken or removed; never waited for while faults are to be ended, because
    /// they may wait for just that.
    working: FuturesUnordered<LocalBoxFuture<'static, anyhow::Result<Failure>>>,
    failures: Vec<Failure>,
}

impl Soak {
    /// Workloads fail, and everything goes wrong.
    async fn rage(&mut self, length: Duration) -> anyhow::Result<()> {
        let variables = Variables {
            image: OWN_IMAGE.to_owned(),
            pull_policy: "Never",
            canaries: Canaries::random(),
        };
        let scenarios = scenarios();
        let mut ticks = tokio::time::interval(TICK);
        let mut number = 0;
        let mut looked = Instant::now();
        while self.storm.elapsed() < length {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(done) = self.working.next() => self.failures.push(done?),
            }
            self.storm.blow(&mut self.bed, &mut self.fleet).await?;
            for line in self.fleet.tend()? {
                say(&format!("          {line}"));
            }
            let due = FAILURE_EVERY * u32::try_from(number)?;
            if self.storm.elapsed() >= due {
                let scenario = scenarios[number % scenarios.len()];
                number += 1;
                say(&format!(
                    "{:>6.1} s  {}-{number}: {}",
                    self.storm.elapsed().as_secs_f64(),
                    scenario.workload,
                    scenario.title
                ));
                let cluster = self.environment.cluster.clone();
                let making = make(cluster, scenario, variables.clone(), number);
                self.working.push(Box::pin(making));
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look(false);
            }
        }
        Ok(())
    }

    /// Begins to remove what a person would.
    fn look(&mut self, is_calm: bool) {
        let told = self.told();
        let none = BTreeSet::new();
        let is_for_a_person = |failure: &mut Failure| {
            let kinds = told.get(&failure.uid).unwrap_or(&none);
            let may_be_mended = failure.namespace == AUTO_NAMESPACE && !is_calm;
            failure.is_for_a_person(kinds, may_be_mended)
        };
        let removed: Vec<_> = self.failures.extract_if(.., is_for_a_person).collect();
        for failure in removed {
            let removing = failure.remove(self.environment.cluster.clone());
            self.working.push(Box::pin(removing));
        }
    }

    /// Waits until what is being broken or removed is.
    async fn finish_work(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.working.next().await {
            self.failures.push(done?);
        }
        Ok(())
    }

    /// The kinds of notices that arrived, by the uid of the workload.
    fn told(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for request in self.bed.receiver.received("/webhook") {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let (uid, kind) = (&body["incident"]["uid"], &body["kind"]);
            if let (Some(uid), Some(kind)) = (uid.as_str(), kind.as_str()) {
                let kinds = told.entry(uid.to_owned()).or_default();
                kinds.insert(kind.to_owned());
            }
        }
        told
    }

    /// Makes all well, waits until it has come right, and judges.
    async fn settle(mut self) -> anyhow::Result<Outcome> {
        self.storm.calm(&mut self.bed, &self.fleet).await?;
        say("all is made well; waiting until everything has come right");
        let began = Instant::now();
        let mut reader = self.reader().await?;
        let mut told = Instant::now();
        let (world, verdict) = loop {
            for line in self.fleet.tend()? {
                say(&format!("          {line}"));
            }
            self.finish_work().await?;
            self.look(began.elapsed() > MENDED);
            self.finish_work().await?;
            let world = self.world(&mut reader).await?;
            let verdict = check(&world);
            if verdict.breaches.is_empty() || began.elapsed() > CALM {
                break (world, verdict);
            }
            if told.elapsed() > Duration::from_secs(20) {
                told = Instant::now();
                let count = verdict.breaches.len();
                let first = verdict.breaches.first();
                let first = first.map_or("", |(_, text)| text.as_str());
                say(&format!(
                    "          {count} things are not right yet: {first}"
                ));
            }
            tokio::time::sleep(LOOK).await;
        };
        let calm = began.elapsed();
        report(&world, &verdict);
        let ends = self.fleet.ends();
        self.fleet.stop().await;
        Ok(Outcome {
            verdict,
            failures: world.failures.len(),
            faults: self.storm.faults,
            kills: self.storm.kills,
            ends,
            calm,
        })
    }

    async fn reader(&self) -> anyhow::Result<Reader> {
        let operator = self.environment.connect("operator").await?;
        let provisioner = self.environment.connect("provisioner").await?;
        Reader::connect(operator, provisioner, &self.environment.database_url).await
    }

    async fn world(&mut self, reader: &mut Reader) -> anyhow::Result<World> {
        for failure in &mut self.failures {
            failure.refresh(&self.environment.cluster).await?;
        }
        let mut world = World {
            failures: self.failures.clone(),
            garbage: self.storm.garbage.iter().cloned().collect(),
            webhook: self.bed.receiver.received("/webhook"),
            slack: self.bed.receiver.received("/slack"),
            windows: self.storm.windows.clone(),
            panics: panics(&self.fleet.logs())?,
            ..World::default()
        };
        reader.read(&mut world).await?;
        let s3 = self.environment.state.s3_root()?;
        world.spoiled = reader.spoiled(&s3).await;
        Ok(world)
    }
}

fn report(world: &World, verdict: &Verdict) {
    for (breach, text) in verdict.breaches.iter().take(SHOWN) {
        say(&format!("{breach:?}: {text}"));
    }
    let more = verdict.breaches.len().saturating_sub(SHOWN);
    if more > 0 {
        say(&format!("... and {more} more"));
    }
    say(&format!(
        "{} workloads failed: {} incidents, {} changes, {} notices ({} repeated with their key, {} shown \
         twice in Slack with a reason); {} pieces of garbage, {} dead letters about them",
        world.failures.len(),
        verdict.incidents,
        verdict.changes,
        verdict.notices,
        verdict.repeated_by_key,
        verdict.repeated_in_slack,
        verdict.garbage,
        verdict.dead_letters,
    ));
}

/// Lines that say that a service has panicked.
fn panics(logs: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut panics = Vec::new();
    for log in logs {
        let text = match fs::read(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot read {}", log.display()))?,
        };
        let text = String::from_utf8_lossy(&text);
        let name = log.file_stem().unwrap_or_default().to_string_lossy();
        let found = text.lines().filter(|line| line.contains("panicked at"));
        panics.extend(found.map(|line| format!("{name}: {line}")));
    }
    Ok(panics)
}

impl Outcome {
    /// Whether everything held.
    pub fn is_good(&self) -> bool {
        self.verdict.breaches.is_empty()
    }

    /// The last line.
    pub fn result(&self, options: &Options) -> String {
        let verdict = &self.verdict;
        format!(
            "result: soak minutes={} seed={} failures={} incidents={} faults={} kills={} ends={} \
             changes={} notices={} garbage={} dead_letters={} lost={} twice={} dead={} other={} \
             repeated_by_key={} repeated_in_slack={} calm_s={}",
            options.length.as_secs_f64() / 60.0,
            options.seed,
            self.failures,
            verdict.incidents,
            self.faults,
            self.kills,
            self.ends,
            verdict.changes,
            verdict.notices,
            verdict.garbage,
            verdict.dead_letters,
            verdict.count(Breach::Lost),
            verdict.count(Breach::Twice),
            verdict.count(Breach::Dead),
            verdict.count(Breach::Other),
            verdict.repeated_by_key,
            verdict.repeated_in_slack,
            self.calm.as_secs(),
        )
    }
}
