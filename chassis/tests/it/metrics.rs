use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bonesetter_chassis::stage::{Input, Outcome, Stage};
use bonesetter_chassis::topology::{ConsumerSpec, ENRICHER};
use bonesetter_proto::v1::{Detected, Enriched};
use tokio::sync::Semaphore;

use crate::bed::{Bed, subject};
use crate::runner::{pass, publish, run};
use crate::silence::until;

/// Names and labels of what is exported; of a histogram, those of its buckets.
fn series(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap_or((line, ""));
        let labels = rest.split('}').next().unwrap_or_default().split(',');
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let name = name.split(' ').next().unwrap_or_default();
        found.entry(name.to_owned()).or_default().extend(labels);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_message_is_counted_under_the_documented_names() {
    let bed = Bed::start().await;
    publish(&bed, 0..3).await;
    let enricher = bed.service("svc-enricher").await;
    let spec = ConsumerSpec {
        max_deliver: 2,
        ..ENRICHER
    };
    let hopeless = subject(0, "open");
    let again = subject(1, "open");
    let (_, running) = run::<Detected, Enriched>(&enricher, spec, move |input| {
        if input.subject == hopeless || (input.subject == again && input.deliveries == 1) {
            return Outcome::Retry {
                after: Duration::from_millis(1),
                cause: anyhow::anyhow!("away"),
            };
        }
        pass(input)
    });
    // Of the first two there are two deliveries, of the third one.
    let text = loop {
        let text = enricher.metrics.encode().unwrap();
        let has = |line: &str| text.lines().any(|found| found == line);
        let is_done = has("bonesetter_messages_published_total{consumer=\"enricher\"} 2")
            && has("bonesetter_messages_in_flight{consumer=\"enricher\"} 0")
            && has("bonesetter_handle_seconds_count{consumer=\"enricher\"} 5")
            && text.contains("bonesetter_consumer_lag{");
        if is_done {
            break text;
        }
        tokio::task::yield_now().await;
    };
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
    for line in [
        "bonesetter_messages_received_total{consumer=\"enricher\"} 5",
        "bonesetter_messages_retried_total{consumer=\"enricher\"} 2",
        "bonesetter_messages_dead_total{consumer=\"enricher\",reason=\"exhausted\"} 1",
        // How long something is tried again is not how long it waits.
        "bonesetter_message_age_seconds_count{consumer=\"enricher\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let document = include_str!("../../../docs/metrics.md");
    let section = document
        .split("## ")
        .find(|it| it.starts_with("Every service"));
    let found = series(&text);
    for row in section
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (name, kind) = (cells[0].trim_matches('`'), cells[1]);
        let mut labels: BTreeSet<_> = cells[2].split(", ").map(str::to_owned).collect();
        let name = if kind == "histogram" {
            labels.insert("le".to_owned());
            format!("{name}_bucket")
        } else {
            name.to_owned()
        };
        assert_eq!(found.get(&name), Some(&labels), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_begin_before_there_is_anything_to_count() {
    let bed = Bed::start().await;
    let enricher = bed.service("svc-enricher").await;
    let (_, running) = run::<Detected, Enriched>(&enricher, ENRICHER, pass);
    let has = |line: &str| {
        let text = enricher.metrics.encode().unwrap();
        text.lines().any(|found| found == line)
    };
    // The lag is asked for after everything has begun.
    let begun = async || has("bonesetter_consumer_lag{consumer=\"enricher-redrive\"} 0");
    until("it runs", begun).await;
    for line in [
        "bonesetter_messages_received_total{consumer=\"enricher\"} 0",
        "bonesetter_messages_received_total{consumer=\"enricher-redrive\"} 0",
        "bonesetter_messages_published_total{consumer=\"enricher\"} 0",
        "bonesetter_messages_retried_total{consumer=\"enricher\"} 0",
        "bonesetter_message_age_seconds_count{consumer=\"enricher\"} 0",
        "bonesetter_handle_seconds_count{consumer=\"enricher\"} 0",
        // Of the runner, and of the stage.
        "bonesetter_messages_dead_total{consumer=\"enricher\",reason=\"exhausted\"} 0",
        "bonesetter_messages_dead_total{consumer=\"enricher\",reason=\"impossible\"} 0",
    ] {
        assert!(has(line), "{line}\n{}", enricher.metrics.encode().unwrap());
    }
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_that_is_not_known_is_not_exported() {
    let mut bed = Bed::start().await;
    let enricher = bed.service("svc-enricher").await;
    let (_, running) = run::<Detected, Enriched>(&enricher, ENRICHER, pass);
    let lags = || {
        let text = enricher.metrics.encode().unwrap();
        let names = ["bonesetter_consumer_lag{", "bonesetter_messages_pending{"];
        let lag = |line: &&str| names.iter().any(|name| line.starts_with(name));
        text.lines()
            .filter(lag)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // Its own consumer's, and that of what it is asked to handle again.
    let known = ["enricher", "enricher-redrive"]
        .map(|consumer| format!("bonesetter_consumer_lag{{consumer=\"{consumer}\"}} 0"));
    let is_known = async || known.iter().all(|line| lags().contains(line));
    until("both lags are known", is_known).await;
    bed.nats.kill();
    until("no lag is known", async || lags().is_empty()).await;
    bed.nats.restart().await.unwrap();
    until("both lags are known again", is_known).await;
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// A stage that takes messages and keeps them until it is let go.
struct Holding(Arc<Semaphore>);

impl Stage for Holding {
    type In = Detected;
    type Out = Enriched;

    async fn handle(&self, input: &Input<Detected>) -> Outcome<Enriched> {
        drop(self.0.acquire().await);
        pass(input)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_has_taken_is_no_longer_pending() {
    let bed = Bed::start().await;
    publish(&bed, 0..5).await;
    let [busy, free] = [
        bed.service("svc-enricher").await,
        bed.service("svc-enricher").await,
    ];
    let says = |line: &'static str| {
        let metrics = busy.metrics.clone();
        async move || metrics.encode().unwrap().lines().any(|it| it == line)
    };
    let held = Arc::new(Semaphore::new(0));
    let one = ConsumerSpec {
        concurrency: 1,
        ..ENRICHER
    };
    let stage = Holding(held.clone());
    let (service, spec) = (busy.clone(), one);
    let running = tokio::spawn(async move { service.run_stage(&spec, stage).await });
    let taken = "bonesetter_messages_in_flight{consumer=\"enricher\"} 1";
    until("it has taken one", says(taken)).await;
    let (_, others) = run::<Detected, Enriched>(&free, ENRICHER, pass);
    let none = "bonesetter_messages_pending{consumer=\"enricher\"} 0";
    until("it knows that the others are taken", says(none)).await;
    held.add_permits(1);
    for service in [&busy, &free] {
        service.shutdown.cancel();
    }
    running.await.unwrap().unwrap();
    others.await.unwrap().unwrap();
}
