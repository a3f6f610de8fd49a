use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonesetter_chassis::bus::{Bus, provision, provision_external};
use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_chassis::topology::{self, ExternalUser};
use bonesetter_keys::{KeyDirectory, Rotating};
use bonesetter_proto::v1::{Diagnosed, Diagnosis, Incident, ObjectRef};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use serde_json::Value;
use svc_notifier::twin::{Twin, Twins};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The tool that the examples are run as, and the one namespace that it may see.
pub(crate) const TOOL: &str = "siem";
pub(crate) const OWN: &str = "shop";
/// A namespace of another tool.
pub(crate) const FOREIGN: &str = "pay";
const WAIT: Duration = Duration::from_mins(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A nats-server of the test's own, provisioned, with two tools, and `svc-notifier publish`.
pub(crate) struct Bed {
    nats: NatsServer,
    keys: KeyDirectory,
    dir: tempfile::TempDir,
    publishing: JoinHandle<()>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

/// One diagnosis of the test: an incident of its own in that namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case(pub(crate) u8, pub(crate) &'static str);

impl Case {
    fn incident(self) -> String {
        let letter = char::from(b'a' + self.0 % 26);
        format!("{letter}{}", "b".repeat(IncidentId::LENGTH - 1))
    }

    fn subject(self, stage: Stage) -> Subject {
        Subject {
            stage,
            cluster: "prod.eu".to_owned(),
            namespace: Some(Namespace::new(self.1).unwrap()),
            kind: "Deployment".to_owned(),
            incident: IncidentId::new(self.incident()).unwrap(),
            step: "open".to_owned(),
        }
    }

    fn diagnosed(self) -> Diagnosed {
        let root_owner = ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: self.1.to_owned(),
            name: "checkout".to_owned(),
            uid: "6f1c9d3e-0000-4000-8000-000000000001".to_owned(),
        };
        let incident = Incident {
            id: self.incident(),
            cluster: "prod.eu".to_owned(),
            root_owner: Some(root_owner),
            episode: 1,
            opened_at: None,
        };
        let diagnosis = Diagnosis {
            summary: format!("replica {} is killed at its limit", self.0),
            cause: "memory-limit-too-low".to_owned(),
            ..Diagnosis::default()
        };
        Diagnosed {
            incident: Some(incident),
            diagnosis: Some(diagnosis),
            ..Diagnosed::default()
        }
    }

    /// What every example prints of it.
    pub(crate) fn line(self) -> String {
        let Self(number, namespace) = self;
        let incident = self.incident();
        format!(
            "{incident} {namespace}/Deployment/checkout replica {number} is killed at its limit"
        )
    }
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tools = [
            ExternalUser::new(TOOL, [OWN]).unwrap(),
            ExternalUser::new("other", [FOREIGN]).unwrap(),
        ];
        let authorization = identity::authorization_with(dir.path(), &tools).unwrap();
        let options = NatsOptions {
            authorization: Some(authorization),
            ..NatsOptions::default()
        };
        let nats = NatsServer::start(options).await.unwrap();
        let keys = identity::keys(dir.path()).unwrap();
        provision(&bus(&nats, &keys, "provisioner").await)
            .await
            .unwrap();
        let publisher = service(&nats, &keys, "svc-notifier-publish", Writer::Publisher).await;
        let publishing = tokio::spawn(async move {
            svc_notifier::run(svc_notifier::Config::default(), publisher)
                .await
                .unwrap();
        });
        let bed = Self {
            nats,
            keys,
            dir,
            publishing,
        };
        bed.provision(&tools).await;
        bed
    }

    /// As the operator does it, with a list of tools.
    pub(crate) async fn provision(&self, tools: &[ExternalUser]) {
        let external = bus(&self.nats, &self.keys, "provisioner-external").await;
        provision_external(&external, tools).await.unwrap();
    }

    /// A folder for whatever a test makes.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the page tells a reader to set.
    pub(crate) fn environment(&self, namespace: &str) -> Vec<(&'static str, PathBuf)> {
        let user = topology::external_user(TOOL);
        let settings = self.nats.settings(&self.keys, &user).unwrap();
        vec![
            ("NATS_URL", settings.url.into()),
            ("NATS_CA", settings.tls.ca_file.unwrap()),
            ("NATS_CERT", settings.tls.certificate_file.unwrap()),
            ("NATS_KEY", settings.tls.key_file.unwrap()),
            ("NATS_NKEY", settings.nkey_file),
            ("BONESETTER_TOOL", TOOL.into()),
            ("BONESETTER_NAMESPACE", namespace.into()),
            ("BONESETTER_TRUSTED", self.keys.trusted()),
        ]
    }

    /// The seed of a tool that the server knows nothing of.
    pub(crate) fn unknown_seed(&self) -> PathBuf {
        let user = topology::external_user("unknown");
        bonesetter_keys::complete(&self.keys, &[&user]).unwrap();
        self.keys.nkey_seed(&user)
    }

    /// As svc-llm does it; the twin follows by itself.
    pub(crate) async fn diagnose(&self, cases: &[Case]) {
        self.diagnose_signing(cases, Writer::Llm).await;
    }

    /// Diagnoses and twins that somebody else has signed than who should have.
    pub(crate) async fn forge(&self, case: Case) {
        self.diagnose_signing(&[case], Writer::Actuator).await;
        let writer = "svc-notifier-publish";
        let service = service(&self.nats, &self.keys, writer, Writer::Llm).await;
        let twin = Twins::new()
            .unwrap()
            .twin(&case.subject(Stage::Diagnosed), &case.diagnosed(), None)
            .unwrap();
        let publisher = service.publisher::<Twin>().unwrap();
        publisher
            .publish(&case.subject(Stage::DiagnosedJson), twin, "")
            .await
            .unwrap();
    }

    async fn diagnose_signing(&self, cases: &[Case], signer: Writer) {
        let service = service(&self.nats, &self.keys, "svc-llm", signer).await;
        let publisher = service.publisher::<Diagnosed>().unwrap();
        for case in cases {
            let subject = case.subject(Stage::Diagnosed);
            publisher
                .publish(&subject, case.diagnosed(), "")
                .await
                .unwrap();
        }
    }

    /// Waits until a copy has that many messages.
    pub(crate) async fn copied(&self, stream: &str, count: u64) {
        let client = self.client("provisioner-external").await;
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        until(&format!("{count} messages in {stream}"), async || {
            let reply = client.request(subject.clone(), "".into()).await.unwrap();
            let info: Value = serde_json::from_slice(&reply.payload).unwrap();
            info["state"]["messages"].as_u64() >= Some(count)
        })
        .await;
    }

    /// Puts a new key of svc-llm to use, as an operator does.
    pub(crate) fn rotate(&self) {
        let key = Rotating::Signing(Writer::Llm);
        key.make_known(&self.keys).unwrap();
        key.promote(&self.keys).unwrap();
    }

    /// Waits until everything was delivered to the tool's consumer and all but so many acknowledged.
    pub(crate) async fn settled(&self, stream: &str, left: u64) {
        let client = self.tool().await;
        let subject = format!("$JS.API.CONSUMER.INFO.{stream}.{TOOL}_{OWN}");
        until(&format!("acknowledgements of {stream}"), async || {
            let reply = client.request(subject.clone(), "".into()).await.unwrap();
            let info: Value = serde_json::from_slice(&reply.payload).unwrap();
            info["num_pending"] == 0 && info["num_ack_pending"] == left
        })
        .await;
    }

    /// Waits until somebody in the account of tools is subscribed to a subject.
    pub(crate) async fn listened_to(&self, subject: &str) {
        let url = format!("{}/connz?subs=1", self.nats.monitor_url());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        until(&format!("a subscriber of {subject}"), async || {
            let answer = http.get(&url).send().await.unwrap().bytes().await.unwrap();
            let connections: Value = serde_json::from_slice(&answer).unwrap();
            let all = connections["connections"].as_array().unwrap();
            let mut subscriptions = all
                .iter()
                .filter_map(|it| it["subscriptions_list"].as_array());
            subscriptions.any(|list| list.iter().any(|it| it == subject))
        })
        .await;
    }

    /// A client with the tool's identity.
    pub(crate) async fn tool(&self) -> async_nats::Client {
        self.client(&topology::external_user(TOOL)).await
    }

    async fn client(&self, user: &str) -> async_nats::Client {
        let settings = self.nats.settings(&self.keys, user).unwrap();
        let seed = fs::read_to_string(settings.nkey_file).unwrap();
        let tls = settings.tls;
        async_nats::ConnectOptions::with_nkey(seed.trim().to_owned())
            .add_root_certificates(tls.ca_file.unwrap())
            .add_client_certificate(tls.certificate_file.unwrap(), tls.key_file.unwrap())
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .connect(settings.url)
            .await
            .unwrap()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(LOOK_AGAIN).await;
    }
}

async fn bus(nats: &NatsServer, keys: &KeyDirectory, user: &str) -> Bus {
    let settings = nats.settings(keys, user).unwrap();
    Bus::connect(&settings, topology::user(user).unwrap())
        .await
        .unwrap()
}

async fn service(
    nats: &NatsServer,
    keys: &KeyDirectory,
    name: &'static str,
    signer: Writer,
) -> Service {
    let common = Common {
        cluster: "prod.eu".to_owned(),
        nats: nats.settings(keys, name).unwrap(),
        keys: KeySettings {
            signing_file: Some(keys.signing(signer)),
            trusted_dir: Some(keys.trusted()),
            ..KeySettings::default()
        },
        telemetry: TelemetrySettings::default(),
        health: HealthSettings::default(),
    };
    let about = About {
        name,
        version: "0.0.0",
        modes: &[],
    };
    let (shutdown, ready) = (CancellationToken::new(), Readiness::default());
    let started = Service::start(about, common, "test", shutdown, ready, Metrics::default());
    let mut service = started.await.unwrap();
    service.mode = (name == "svc-notifier-publish").then(|| svc_notifier::PUBLISH.to_owned());
    service
}
