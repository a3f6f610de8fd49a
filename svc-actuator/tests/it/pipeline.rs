//! The whole service, with its own identities on the bus and in the cluster, on a real node.

use std::time::Duration;

use bonesetter_chassis::bus::StreamReader;
use bonesetter_keys::VerifyingKeys;
use bonesetter_proto::v1::{Acted, Diagnosed, Step};
use bonesetter_proto::{Stage, Subject};
use bonesetter_testbed::TestBus;
use prost::Message as _;
use serde_json::json;
use svc_actuator::Config;
use svc_actuator::policy::Mode;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Sandbox, eventually, serving};
use crate::world::{diagnosis, roll_back};

struct Running {
    sandbox: Sandbox,
    bus: TestBus,
    shutdown: CancellationToken,
    services: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
    acted: StreamReader,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        Self::start_replicas(1).await
    }

    async fn start_replicas(count: usize) -> Self {
        let sandbox = Sandbox::new().await;
        let bus = TestBus::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            mode: Mode::Auto,
            auto_apply_namespaces: vec![sandbox.namespace.clone()],
            kubeconfig: Some(sandbox.kubeconfig(folder.path()).await),
            ..Config::default()
        };
        config.verification.window = Duration::from_secs(2);
        config.verification.interval = Duration::from_millis(500);
        config.verification.deadline = Duration::from_secs(30);
        let shutdown = CancellationToken::new();
        let mut services = Vec::new();
        for _ in 0..count {
            let mut service = bus.service("svc-actuator").await.unwrap();
            service.shutdown = shutdown.clone();
            services.push(tokio::spawn(svc_actuator::run(config.clone(), service)));
        }
        let acted = bus.reader(Stage::Acted).await.unwrap();
        Self {
            sandbox,
            bus,
            shutdown,
            services,
            acted,
            _folder: folder,
        }
    }

    /// Publishes what svc-llm would, about the present state, and returns its subject.
    async fn diagnose(&self, name: &str, to_revision: i64) -> Subject {
        let live = self.sandbox.get(name).await;
        let key = bonesetter_keys::DigestKey::read(&self.bus.keys.digest()).unwrap();
        let target = crate::world::target(&key, &live);
        let message = diagnosis(target.clone(), Some(roll_back(to_revision)));
        let subject = crate::world::subject(&message, "open");
        let llm = self.bus.service("svc-llm").await.unwrap();
        llm.publisher::<Diagnosed>()
            .unwrap()
            .publish(&subject, message, "")
            .await
            .unwrap();
        subject
    }

    /// How often the specification of each object has been written.
    async fn generations(&self, names: &[&str]) -> Vec<i64> {
        let mut generations = Vec::new();
        for name in names {
            let live = self.sandbox.get(name).await;
            generations.push(live["metadata"]["generation"].as_i64().unwrap());
        }
        generations
    }

    /// Every step of an incident so far, its signatures checked.
    async fn steps(&self, of: &Subject) -> Vec<Acted> {
        let trusted = VerifyingKeys::read(&self.bus.keys.trusted()).unwrap();
        let filter = Stage::Acted.incident_filter(&of.incident);
        let mut steps = Vec::new();
        for stored in self.acted.all(&filter).await.unwrap() {
            let message = Acted::decode(stored.payload).unwrap();
            let diagnosis = message.diagnosis.clone().unwrap();
            let signature = bonesetter_keys::Signature {
                key_id: diagnosis.key_id,
                bytes: diagnosis.signature,
            };
            trusted
                .verify::<Diagnosed>(&diagnosis.subject, &diagnosis.payload, &signature)
                .unwrap();
            steps.push(message);
        }
        steps
    }

    async fn await_steps(&self, of: &Subject, expected: &[Step]) -> Vec<Acted> {
        eventually(&format!("{expected:?}"), async || {
            let steps = self.steps(of).await;
            let found: Vec<_> = steps.iter().map(Acted::step).collect();
            (found.len() >= expected.len()).then_some((found, steps))
        })
        .await
        .1
    }

    async fn stop(self) {
        self.shutdown.cancel();
        for service in self.services {
            service.await.unwrap().unwrap();
        }
        self.sandbox.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_revision_is_rolled_back_and_verified_on_the_node() {
    let running = Running::start().await;
    running.sandbox.create("web", &serving()).await;
    let bad = json!({"name": "app", "args": ["need-env", "NOT_THERE"]});
    running.sandbox.change("web", "kubectl-edit", &bad).await;
    running.sandbox.await_revision("web", 2).await;
    let subject = running.diagnose("web", 1).await;
    let expected = [Step::Intended, Step::Applied, Step::Verified];
    let steps = running.await_steps(&subject, &expected).await;
    let found: Vec<_> = steps.iter().map(Acted::step).collect();
    assert_eq!(found, expected);
    let verification = steps[2].verification.as_ref().unwrap();
    assert!(
        verification.observed.contains("1 of 1 pods"),
        "{verification:?}"
    );
    let live = running.sandbox.get("web").await;
    assert_eq!(
        live.pointer("/spec/template/spec/containers/0/args"),
        Some(&serving()["args"])
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_help_is_taken_back() {
    let running = Running::start().await;
    let mut worse = serving();
    worse["args"] = json!(["need-env", "NEVER_THERE"]);
    running.sandbox.create("web", &worse).await;
    let bad = json!({"name": "app", "args": ["need-env", "NOT_THERE"]});
    running.sandbox.change("web", "kubectl-edit", &bad).await;
    running.sandbox.await_revision("web", 2).await;
    let before = running.sandbox.get("web").await;
    let subject = running.diagnose("web", 1).await;
    let expected = [Step::Intended, Step::Applied, Step::RolledBack];
    let steps = running.await_steps(&subject, &expected).await;
    let found: Vec<_> = steps.iter().map(Acted::step).collect();
    assert_eq!(found, expected);
    assert_eq!(running.sandbox.get("web").await["spec"], before["spec"]);
    running.stop().await;
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let bus = TestBus::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let garbled = folder.path().join("garbled");
    std::fs::write(&garbled, "clusters: [").unwrap();
    for path in [folder.path().join("missing"), garbled] {
        let service = bus.service("svc-actuator").await.unwrap();
        let config = Config {
            kubeconfig: Some(path.clone()),
            ..Config::default()
        };
        let run = Box::pin(svc_actuator::run(config, service));
        let error = run.await.unwrap_err();
        let text = format!("{error:#}");
        let is_named = text.starts_with("kubeconfig:") && text.contains(path.to_str().unwrap());
        assert!(is_named, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_change_each_object_once_and_in_order() {
    let running = Running::start_replicas(2).await;
    let names = ["one", "two", "three", "four"];
    let mut subjects = Vec::new();
    for name in names {
        running.sandbox.create(name, &serving()).await;
        let bad = json!({"name": "app", "args": ["need-env", "NOT_THERE"]});
        running.sandbox.change(name, "kubectl-edit", &bad).await;
        running.sandbox.await_revision(name, 2).await;
    }
    let before = running.generations(&names).await;
    for name in names {
        subjects.push(running.diagnose(name, 1).await);
    }
    let expected = [Step::Intended, Step::Applied, Step::Verified];
    for subject in &subjects {
        let steps = running.await_steps(subject, &expected).await;
        let found: Vec<_> = steps.iter().map(Acted::step).collect();
        assert_eq!(found, expected);
    }
    // A second write, whoever made it, would be another generation.
    let once: Vec<_> = before.iter().map(|generation| generation + 1).collect();
    assert_eq!(running.generations(&names).await, once);
    running.stop().await;
}
