//! The demo from beginning to end.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;
use bonesetter::timeline::Follower;
use bonesetter_chassis::clock::Clock;
use bonesetter_testbed::progress::{Progress, Standing};
use bonesetter_testbed::run::{ClusterKind, Part, Plan};
use bonesetter_testbed::{
    State,
    paths::{self, Layout},
};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::environment::{self, Environment};
use crate::identities;
use crate::notices;
use crate::print;
use crate::receiver::Receiver;
use crate::scenario::{Canaries, Ending, SCENARIOS, SUGGEST_NAMESPACE, Variables};
use crate::services::Services;
use crate::story::Story;

/// How long everything may take from the first fault to the last word.
const LIMIT: Duration = Duration::from_mins(5);
/// The test image that the testbed builds and imports.
pub const OWN_IMAGE: &str = "localhost/faultbox:1";

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

/// Stops every server that a demo left running for looking around, and removes what it made in an
/// existing cluster. With a kubeconfig: of the demo on that cluster only.
pub async fn down(kubeconfig: Option<&Path>) -> ExitCode {
    let mut results = vec![clean_cluster(kubeconfig).await];
    if existing_state_dir().exists() {
        results.push(stop_servers(&existing_state_dir()).await);
    }
    if kubeconfig.is_none() {
        results.push(stop_servers(&paths::default_state_dir()).await);
    }
    let mut code = ExitCode::SUCCESS;
    for error in results.into_iter().filter_map(Result::err) {
        print(&format!("demo: {error:#}\n"));
        code = ExitCode::FAILURE;
    }
    code
}

async fn stop_servers(dir: &Path) -> anyhow::Result<()> {
    Ok(bonesetter_testbed::run::down(dir, &show).await?)
}

async fn clean_cluster(kubeconfig: Option<&Path>) -> anyhow::Result<()> {
    let dir = existing_state_dir();
    let files = environment::dir_in(&dir);
    let kubeconfig = match kubeconfig {
        Some(kubeconfig) => kubeconfig.to_owned(),
        None if !files.exists() => return Ok(()),
        None => State::read(&Layout::new(dir).state())?
            .kubeconfig()?
            .to_owned(),
    };
    print("removing the demo's namespaces, accounts and roles from the cluster\n");
    let removed = async { identities::remove(&Cluster::connect(&kubeconfig).await?).await };
    removed.await.with_context(|| {
        format!(
            "the cluster of {} may still hold some of the demo; try again, or remove the folder {}",
            kubeconfig.display(),
            files.display()
        )
    })?;
    match fs::remove_dir_all(&files) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", files.display()))
        }
        _ => Ok(()),
    }
}

async fn demo(options: &Options) -> anyhow::Result<bool> {
    check_sources(&options.sources)?;
    let variables = variables(options)?;
    let state = servers(options.kubeconfig.as_deref()).await?;
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
             (`make faultbox-image` builds it)"
        ),
    };
    Ok(Variables {
        image,
        pull_policy,
        canaries: Canaries::random(),
    })
}

/// Servers of a demo on an existing cluster: not those of the node, which tests use too.
fn existing_state_dir() -> PathBuf {
    paths::cache_dir().join("testbed").join("existing")
}

/// Which servers are needed, and where their state directory is.
fn plan(kubeconfig: Option<&Path>) -> io::Result<(PathBuf, Plan)> {
    let mut plan = Plan::default();
    let Some(kubeconfig) = kubeconfig else {
        return Ok((paths::default_state_dir(), plan));
    };
    plan.cluster = ClusterKind::Existing {
        kubeconfig: std::path::absolute(kubeconfig)?,
    };
    // Nobody would ship the logs of that cluster's nodes to it.
    plan.parts.remove(&Part::Loki);
    Ok((existing_state_dir(), plan))
}

/// Starts the servers, or uses those that run; those of an existing cluster with its kubeconfig.
pub async fn servers(kubeconfig: Option<&Path>) -> anyhow::Result<State> {
    let (dir, mut plan) = plan(kubeconfig)?;
    plan.nats_authorization = Some(bonesetter_testbed::identity::authorization(&dir)?);
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
    let specs = environment.specs(&receiver.url(""))?;
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
    let nats = environment
        .state
        .nats()?
        .settings(&environment.keys, "operator");
    let mut variables = vec![("BONESETTER_NATS_URL", nats.url.into())];
    variables.push(("BONESETTER_NKEY_FILE", nats.nkey_file));
    for (name, file) in [
        ("BONESETTER_NATS_CA_FILE", nats.tls.ca_file),
        (
            "BONESETTER_NATS_CERTIFICATE_FILE",
            nats.tls.certificate_file,
        ),
        ("BONESETTER_NATS_KEY_FILE", nats.tls.key_file),
    ] {
        variables.extend(file.map(|file| (name, file)));
    }
    variables.push(("KUBECONFIG", environment.state.kubeconfig()?.to_owned()));
    let exports: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("  export {name}={}\n", value.display()))
        .collect();
    let exports = exports.concat();
    print(&format!(
        "\nThe servers still run, and what was not mended is still broken. To look around:\n\
         {exports}\
         \x20 PATH={}:$PATH\n\
         \x20 bonesetter incidents            # then: bonesetter show ID\n\
         \x20 bonesetter scan -n {SUGGEST_NAMESPACE}\n\
         {}\n",
        programs()?.display(),
        match environment.state.node {
            Some(_) => "`make demo-down` stops everything.",
            None => "`make demo-down` stops everything, and removes the demo from the cluster.",
        }
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

/// Refuses a folder that is no checkout of Bonesetter.
pub fn check_sources(sources: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        sources.join("deploy/sql").is_dir() && sources.join("deploy/kubernetes").is_dir(),
        "{} is not a checkout of Bonesetter; run this from its root",
        sources.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_on_an_existing_cluster_has_servers_of_its_own() {
        let (node_dir, node) = plan(None).unwrap();
        let (dir, existing) = plan(Some(Path::new("some/kubeconfig"))).unwrap();
        assert_eq!(node.cluster, ClusterKind::Node);
        assert!(node.parts.contains(&Part::Loki));
        assert_ne!(dir, node_dir);
        assert!(!existing.parts.contains(&Part::Loki));
        let ClusterKind::Existing { kubeconfig } = existing.cluster else {
            panic!("{existing:?}");
        };
        // It is used again by `demo down`, from wherever that is called.
        assert!(kubeconfig.is_absolute());
    }
}
