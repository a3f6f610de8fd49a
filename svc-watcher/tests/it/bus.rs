//! A bus of its own with the real users and permissions, and watchers on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::bus::Bucket;
use bonesetter_chassis::config::NatsSettings;
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::topology;
use bonesetter_proto::v1::{Detected, FailureClass};
use bonesetter_proto::{Stage, Subject, Writer};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use prost::Message as _;
use svc_watcher::facts::Object;
use svc_watcher::record::{Class, End, Episode, Reason, Record};
use svc_watcher::{Config, Namespaces};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::eventually;

/// One published step.
pub(crate) struct Step {
    pub(crate) subject: Subject,
    pub(crate) message: Detected,
}

pub(crate) struct TestBus {
    pub(crate) shared: bonesetter_testbed::TestBus,
}

impl TestBus {
    pub(crate) async fn start() -> Self {
        let shared = bonesetter_testbed::TestBus::start().await.unwrap();
        Self { shared }
    }

    /// The bucket of episodes, as svc-watcher has it.
    pub(crate) async fn episodes(&self) -> Bucket {
        let bus = self.shared.connect("svc-watcher").await.unwrap();
        Bucket::new(bus, topology::EPISODES)
    }

    /// Puts records into the bucket of Pods that have failed and are gone.
    pub(crate) async fn remember_ended(&self, namespace: &str, count: u64) {
        let bucket = &self.episodes().await;
        let now = Timestamp::now();
        let end = End {
            at: now,
            reason: Reason::Gone,
        };
        let store = async |number: u64| {
            let uid = format!("{number:08x}-0000-4000-8000-000000000000");
            let class = Class(FailureClass::OomKilled);
            let record = Record {
                owner: Object {
                    api_version: "v1".to_owned(),
                    kind: "Pod".to_owned(),
                    namespace: namespace.to_owned(),
                    name: format!("pod-{number}"),
                    uid: uid.clone(),
                },
                episode: Episode {
                    number: 1,
                    opened: now,
                    class,
                    classes: BTreeSet::from([class]),
                    failing_objects: 0,
                    updates: 0,
                    reclassifications: 0,
                    told: now,
                    end: Some(end.clone()),
                },
                resolved: BTreeMap::from([(class, now)]),
                pending: None,
            };
            let value = Bytes::from(record.to_bytes().unwrap());
            bucket.create(&format!("test.{uid}"), value).await.unwrap();
        };
        let stored = futures::stream::iter((0..count).map(store)).buffer_unordered(64);
        stored.collect::<()>().await;
    }

    /// Everything that has been detected in a namespace, oldest first.
    pub(crate) async fn steps(&self, namespace: &str) -> Vec<Step> {
        let stored = self.shared.stored(Stage::Detected).await.unwrap();
        let steps = stored.into_iter().map(|stored| Step {
            subject: stored.subject.parse().unwrap(),
            message: Detected::decode(stored.payload).unwrap(),
        });
        let is_here = |step: &Step| step.subject.namespace.as_ref().unwrap().as_str() == namespace;
        steps.filter(is_here).collect()
    }

    /// The steps about one root owner, as `episode/step`.
    pub(crate) async fn steps_of(&self, namespace: &str, name: &str) -> Vec<String> {
        let steps = self.steps(namespace).await.into_iter().filter_map(|step| {
            let incident = step.message.incident.unwrap();
            let is_about = incident.root_owner.unwrap().name == name;
            is_about.then(|| format!("{}/{}", incident.episode, step.subject.step))
        });
        steps.collect()
    }

    /// Waits until a step about a root owner has been published.
    pub(crate) async fn await_step(&self, namespace: &str, name: &str, step: &str) {
        eventually(&format!("{step} of {name}"), async || {
            let steps = self.steps_of(namespace, name).await;
            steps.contains(&step.to_owned()).then_some(())
        })
        .await;
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.shared.server.url();
        url.strip_prefix("nats://").unwrap().parse().unwrap()
    }

    /// How svc-watcher reaches it.
    pub(crate) fn settings(&self) -> NatsSettings {
        let keys = &self.shared.keys;
        self.shared.server.settings(keys, "svc-watcher").unwrap()
    }

    /// What svc-watcher signs with.
    pub(crate) fn signing_file(&self) -> PathBuf {
        self.shared.keys.signing(Writer::Watcher)
    }

    /// Starts a watcher.
    pub(crate) async fn watcher(&self, config: Config) -> Watcher {
        let service = self.shared.service("svc-watcher").await.unwrap();
        let (readiness, metrics) = (service.readiness.clone(), service.metrics.clone());
        let shutdown = service.shutdown.clone();
        let task = tokio::spawn(svc_watcher::run(config, service));
        Watcher {
            readiness,
            metrics,
            shutdown,
            task,
        }
    }
}

/// Settings for one namespace, with short windows.
pub(crate) fn config(kubeconfig: PathBuf, namespace: &str) -> Config {
    Config {
        kubeconfig: Some(kubeconfig),
        namespaces: Namespaces {
            watch: vec![namespace.to_owned()],
            exclude: Vec::new(),
        },
        settle: Duration::from_millis(100),
        stability_window: Duration::from_millis(500),
        ..Config::default()
    }
}

/// A running watcher.
pub(crate) struct Watcher {
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Watcher {
    /// Waits for the first lists.
    pub(crate) async fn ready(&self) {
        eventually("the first lists", async || {
            self.readiness.missing().is_empty().then_some(())
        })
        .await;
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        self.task.await.unwrap()
    }

    /// Asks it to end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it wherever it is.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}
