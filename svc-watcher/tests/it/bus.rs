//! A bus of its own with the real users and permissions, and watchers on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bonesetter_chassis::bus::{Bucket, Bus, StreamReader, provision};
use bonesetter_chassis::config::{
    Common, HealthSettings, KeySettings, NatsSettings, TelemetrySettings,
};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology;
use bonesetter_keys::KeyDirectory;
use bonesetter_proto::v1::{Detected, FailureClass};
use bonesetter_proto::{Stage, Subject, Writer};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
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
    pub(crate) server: NatsServer,
    keys: KeyDirectory,
    _folder: tempfile::TempDir,
}

impl TestBus {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = identity::keys(folder.path()).unwrap();
        let options = NatsOptions {
            authorization: Some(identity::authorization(folder.path()).unwrap()),
            ..NatsOptions::default()
        };
        let server = NatsServer::start(options).await.unwrap();
        let bus = Self {
            server,
            keys,
            _folder: folder,
        };
        provision(&bus.connect("provisioner").await).await.unwrap();
        bus
    }

    async fn connect(&self, name: &str) -> Bus {
        let settings = self.server.settings(&self.keys, name).unwrap();
        Bus::connect(&settings, topology::user(name).unwrap())
            .await
            .unwrap()
    }

    /// The bucket of episodes, as svc-watcher has it.
    pub(crate) async fn episodes(&self) -> Bucket {
        Bucket::new(self.connect("svc-watcher").await, topology::EPISODES)
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
        let reader = StreamReader::new(self.connect("operator").await, topology::DETECTED.name);
        let stored = reader.all(&Stage::Detected.filter()).await.unwrap();
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

    async fn service(&self, shutdown: CancellationToken) -> Service {
        let common = Common {
            cluster: "test".to_owned(),
            nats: self.settings(),
            keys: KeySettings {
                signing_file: Some(self.signing_file()),
                ..KeySettings::default()
            },
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        };
        let (readiness, metrics) = (Readiness::default(), Metrics::default());
        Service::start(
            svc_watcher::ABOUT,
            common,
            "test",
            shutdown,
            readiness,
            metrics,
        )
        .await
        .unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.server.url();
        url.strip_prefix("nats://").unwrap().parse().unwrap()
    }

    /// How svc-watcher reaches it.
    pub(crate) fn settings(&self) -> NatsSettings {
        self.server.settings(&self.keys, "svc-watcher").unwrap()
    }

    /// What svc-watcher signs with.
    pub(crate) fn signing_file(&self) -> PathBuf {
        self.keys.signing(Writer::Watcher)
    }

    /// Starts a watcher.
    pub(crate) async fn watcher(&self, config: Config) -> Watcher {
        let shutdown = CancellationToken::new();
        let service = self.service(shutdown.clone()).await;
        let (readiness, metrics) = (service.readiness.clone(), service.metrics.clone());
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
