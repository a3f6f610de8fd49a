//! The demo from beginning to end.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter::timeline::Follower;
use bonesetter_chassis::clock::Clock;
use bonesetter_testbed::progress::{Progress, Standing};
use bonesetter_testbed::run::{ClusterKind, Plan};
use bonesetter_testbed::{State, paths};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::notices;
use crate::print;
use crate::receiver::Receiver;
use crate::scenario::{Canaries, Ending, SCENARIOS, SUGGEST_NAMESPACE, Variables};
use crate::services::Services;
use crate::story::Story;

/// How long everything may take from the first fault to the last word.
const LIMIT: Duration = Duration::from_mins(5);
/// The test image that the testbed builds and imports.
const OWN_IMAGE: &str = "localhost/faultbox:1";

/// What a user can choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checkout.
    pub sources: PathBuf,
    /// An existing cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The image of the workloads there.
    pub image: Option<String>,
}

/// Runs the demo; its exit code says whether everything happened as it should.
pub async fn run(options: &Options) -> ExitCode {
    let result = tokio::select! {
        result = demo(options) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; `make demo-down` stops the servers")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print(&format!("demo: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Stops every server that the demo left running for looking around.
pub async fn down() -> ExitCode {
    match bonesetter_testbed::run::down(&paths::default_state_dir(), &show).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(&format!("demo: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn demo(options: &Options) -> anyhow::Result<bool> {
    check_sources(&options.sources)?;
    let variables = variables(options)?;
    let state = servers(options).await?;
    let keys = bonesetter_testbed::identity::keys(&state.dir)?;
    print("preparing bus, database, identities and namespaces\n");
    let environment = Environment::prepare(state, keys, &options.sources).await?;
    let shutdown = CancellationToken::new();
    let _stop_receiver = shutdown.clone().drop_guard();
    let receiver = Receiver::start(shutdown).await?;
    print("starting seven services\n");
    let services = start(&environment, &receiver, None).await?;
    print("breaking eight workloads\n\n");
    let story = tell(&environment, &variables).await?;
    show_messages(&receiver, &environment.dir)?;
    let (summary, good) = story.summary();
    print(&summary);
    for problem in services.stop().await {
        print(&format!("{problem}\n"));
    }
    look_around(&environment)?;
    Ok(good)
}

fn variables(options: &Options) -> anyhow::Result<Variables> {
    let (image, pull_policy) = match (&options.kubeconfig, &options.image) {
        (None, _) => (OWN_IMAGE.to_owned(), "Never"),
        (Some(_), Some(image)) => (image.clone(), "IfNotPresent"),
        (Some(_), None) => anyhow::bail!(
            "DEMO_IMAGE is not set; an existing cluster needs an image of faultbox that it can pull \
             (testbed/faultbox/Containerfile builds it)"
        ),
    };
    Ok(Variables {
        image,
        pull_policy,
        canaries: Canaries::random(),
    })
}

/// Starts the servers, or uses those that run.
async fn servers(options: &Options) -> anyhow::Result<State> {
    let dir = paths::default_state_dir();
    let cluster = match &options.kubeconfig {
        None => ClusterKind::Node,
        Some(kubeconfig) => ClusterKind::Existing {
            kubeconfig: kubeconfig.clone(),
        },
    };
    let plan = Plan {
        cluster,
        nats_authorization: Some(bonesetter_testbed::identity::authorization(&dir)?),
        ..Plan::default()
    };
    let supervisor = programs()?.join("testbed");
    Ok(bonesetter_testbed::run::up(&dir, &plan, &supervisor, &show).await?)
}

/// The folder with the programs of this build.
pub fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().context("this program is in no folder")?;
    // Test programs are one level deeper.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// Starts the services of a prepared environment.
pub async fn start(
    environment: &Environment,
    receiver: &Receiver,
    otlp: Option<&str>,
) -> anyhow::Result<Services> {
    let specs = environment.specs(receiver)?;
    Services::start(specs, &programs()?, &environment.dir, otlp).await
}

/// Breaks the workloads and follows what is made of it.
pub async fn tell(environment: &Environment, variables: &Variables) -> anyhow::Result<Story> {
    let bus = environment.connect("operator").await?;
    let mut follower = Follower::from_now(&bus).await?;
    let mut story = Story::new(Clock::system().now());
    {
        let breaking = break_workloads(environment, variables);
        let following = story.follow(&mut follower, LIMIT);
        tokio::pin!(breaking, following);
        tokio::select! {
            broken = &mut breaking => {
                broken?;
                following.await;
            }
            () = &mut following => {}
        }
    }
    bus.close().await;
    Ok(story)
}

async fn break_workloads(environment: &Environment, variables: &Variables) -> anyhow::Result<()> {
    let cluster = &environment.cluster;
    let several = |scenario: &crate::scenario::Scenario| variables.revisions(scenario).len() > 1;
    for scenario in SCENARIOS
        .iter()
        .filter(|scenario| several(scenario) || scenario.ending == Ending::Silence)
    {
        cluster
            .apply(&variables.revisions(scenario)[0], Some(scenario.namespace))
            .await?;
    }
    for scenario in SCENARIOS.iter().filter(|scenario| several(scenario)) {
        cluster
            .wait_available(scenario.namespace, scenario.workload)
            .await?;
    }
    for scenario in SCENARIOS {
        if let Some(last) = variables.revisions(scenario).last() {
            cluster.apply(last, Some(scenario.namespace)).await?;
        }
    }
    Ok(())
}

fn show_messages(receiver: &Receiver, dir: &Path) -> anyhow::Result<()> {
    let slack = receiver.received("/slack");
    let webhook = receiver.received("/webhook");
    if let Some(message) = notices::slack(&slack) {
        print("\nA message to Slack, as people see it:\n");
        print(&notices::framed(&message));
    }
    if let Some(request) = notices::webhook(&webhook) {
        print("\nA request to the webhook, without the diagnosis:\n");
        print(&notices::framed(&request));
    }
    let count = format!(
        "{} messages to Slack, {} to the webhook",
        slack.len(),
        webhook.len()
    );
    let path = notices::keep(&[slack, webhook].concat(), dir)?;
    print(&format!("\n{count}, all as received: {}\n", path.display()));
    Ok(())
}

fn look_around(environment: &Environment) -> anyhow::Result<()> {
    let url = environment.state.nats.as_ref().map_or("", |nats| &nats.url);
    print(&format!(
        "\nThe servers still run, and what was not mended is still broken. To look around:\n\
         \x20 export BONESETTER_NATS_URL={url}\n\
         \x20 export BONESETTER_NKEY_FILE={}\n\
         \x20 export KUBECONFIG={}\n\
         \x20 PATH={}:$PATH\n\
         \x20 bonesetter incidents            # then: bonesetter show ID\n\
         \x20 bonesetter scan -n {SUGGEST_NAMESPACE}\n\
         `make demo-down` stops everything.\n",
        environment.keys.nkey_seed("operator").display(),
        environment.state.kubeconfig()?.display(),
        programs()?.display(),
    ));
    Ok(())
}

/// Shows the progress of the servers: one line that is written over on a terminal, else a line per task.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of a progress sink"
)]
fn show(progress: Progress) {
    let count = progress
        .count
        .map_or_else(String::new, |(done, all)| format!(" {done}/{all}"));
    let seconds = progress.elapsed_ms / 1000;
    let line = format!(
        "{:<12} {}{count} ({seconds}s)",
        progress.subject, progress.text
    );
    let on_terminal = std::io::stdout().is_terminal();
    match progress.standing {
        Standing::Running if on_terminal => print(&format!("\r\x1b[2K{line}")),
        Standing::Running => {}
        Standing::Done | Standing::Failed | Standing::End if on_terminal => {
            print(&format!("\r\x1b[2K{line}\n"));
        }
        Standing::Done | Standing::Failed | Standing::End => print(&format!("{line}\n")),
    }
}

fn check_sources(sources: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        sources.join("deploy/sql").is_dir() && sources.join("deploy/kubernetes").is_dir(),
        "{} is not a checkout of Bonesetter; run this from its root",
        sources.display()
    );
    Ok(())
}
