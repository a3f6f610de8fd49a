//! The demo on the real node, with more questions asked afterwards. One run answers all of them,
//! because a cluster is broken once.
//! A second run shows what happens to remedies that do not help.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod canaries;
mod ledger;
mod metrics;
mod notices;
mod taken_back;
mod traces;
mod usefulness;

use std::path::Path;

use bonesetter_demo::environment::Environment;
use bonesetter_demo::receiver::Receiver;
use bonesetter_demo::run::{start, tell};
use bonesetter_demo::scenario::{AUTO_NAMESPACE, Canaries, Ending, SCENARIOS, Variables};
use bonesetter_demo::story::Story;
use bonesetter_testbed::collector::Traces;
use bonesetter_testbed::{Collector, State, identity};
use tokio_util::sync::CancellationToken;

/// One run at a time: all of them use the same namespaces.
static NODE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is left when everything has happened and every service has drained.
struct Outcome {
    environment: Environment,
    receiver: Receiver,
    traces: Traces,
    story: Story,
    canaries: Canaries,
    logs: Vec<(String, Vec<u8>)>,
    metrics: Vec<(String, String)>,
    /// What the read side of svc-audit listed.
    listed: serde_json::Value,
    drain_problems: Vec<String>,
}

impl Outcome {
    async fn reach() -> Self {
        let state = State::load().expect("a testbed");
        let keys = identity::keys(&state.dir).expect("the testbed's keys");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let environment = Environment::prepare(state, keys, &sources)
            .await
            .expect("prepared");
        let shutdown = CancellationToken::new();
        let _stop = shutdown.clone().drop_guard();
        let receiver = Receiver::start(shutdown.clone()).await.expect("a receiver");
        let collector = Collector::start().await.expect("a collector");
        let services = start(&environment, &receiver, Some(&collector.url()))
            .await
            .expect("seven services");
        let canaries = Canaries::random();
        let variables = Variables {
            image: "localhost/faultbox:1".to_owned(),
            pull_policy: "Never",
            canaries: canaries.clone(),
        };
        let story = tell(&environment, &variables).await.expect("told");
        let names: Vec<String> = services.names().map(str::to_owned).collect();
        let files: Vec<_> = names.iter().map(|name| services.log(name)).collect();
        let metrics = services.metrics().await.expect("metrics of every service");
        let listed = ledger::listed(&environment);
        let drain_problems = services.stop().await;
        let traces = collector.stop().await.expect("traces");
        let logs = names
            .into_iter()
            .zip(files)
            .map(|(name, file)| (name, std::fs::read(file).expect("a log")))
            .collect();
        Self {
            environment,
            receiver,
            traces,
            story,
            canaries,
            logs,
            metrics,
            listed,
            drain_problems,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_failures_are_explained_two_of_them_mended_and_nothing_secret_gets_out() {
    let _node = NODE.lock().await;
    let outcome = Outcome::reach().await;
    for (scenario, problems) in outcome.story.verdicts() {
        assert!(problems.is_empty(), "{}: {problems:?}", scenario.workload);
    }
    mended_in_the_cluster(&outcome).await;
    notices::every_incident_was_told(&outcome);
    ledger::every_step_has_a_row(&outcome).await;
    ledger::rows_are_archived_under_lock(&outcome).await;
    ledger::the_read_side_lists_every_incident(&outcome);
    canaries::no_canary_got_out(&outcome).await;
    traces::every_incident_is_one_trace(&outcome).await;
    usefulness::redaction_costs_no_answer(&outcome).await;
    metrics::running_services_export_what_is_documented(&outcome);
    services_ended_well(&outcome);
}

async fn mended_in_the_cluster(outcome: &Outcome) {
    let cluster = &outcome.environment.cluster;
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending.is_mended())
    {
        cluster
            .wait_available(scenario.namespace, scenario.workload)
            .await
            .expect("healthy after the remedy");
        if scenario.ending == Ending::MendedBySetMemory {
            let limit = cluster
                .memory_limit(AUTO_NAMESPACE, scenario.workload)
                .await;
            assert_eq!(limit.expect("a limit"), "64Mi");
        }
    }
}

/// Nothing unexpected was logged, and every service drained when it was asked to.
fn services_ended_well(outcome: &Outcome) {
    assert!(
        outcome.drain_problems.is_empty(),
        "{:?}",
        outcome.drain_problems
    );
    for (name, log) in &outcome.logs {
        let text = String::from_utf8_lossy(log);
        let errors: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("\"level\":\"ERROR\""))
            .collect();
        assert!(errors.is_empty(), "{name} logged errors: {errors:?}");
    }
}
