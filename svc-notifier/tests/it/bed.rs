use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use bonesetter_chassis::bus::ConsumerState;
use bonesetter_chassis::config::Common;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{self, ConsumerSpec};
use bonesetter_keys::SigningKey;
use bonesetter_proto::v1::{
    Acted, Awaited, Detected, Diagnosed, Diagnosis, Envelope, Incident, ObjectRef, Overdue, Phase,
    ResolvedReason, SignedMessage, Step,
};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage, Subject, Writer};
use bonesetter_testbed::TestBus;
use bonesetter_testbed::fault::{Fuse, Proxy};
use prost::Message as _;
use svc_notifier::Config;
use svc_notifier::config::{SlackSettings, WebhookSettings};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

pub(crate) const INCIDENT: &str = "abcdefghijklmnopqrstuvwx23";

/// A bus of the test's own, and two receivers.
pub(crate) struct Bed {
    pub(crate) bus: TestBus,
    pub(crate) slack: MockServer,
    pub(crate) webhook: MockServer,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let bus = TestBus::start().await.unwrap();
        let (slack, webhook) = (MockServer::start().await, MockServer::start().await);
        Self {
            bus,
            slack,
            webhook,
        }
    }

    /// Both receivers take everything.
    pub(crate) async fn accept(&self) {
        for server in [&self.slack, &self.webhook] {
            answer(server, ResponseTemplate::new(200)).await;
        }
    }

    /// As [`Bed::accept`], after a moment in which a notifier takes all that it can.
    pub(crate) async fn accept_slowly(&self) {
        let slowly = ResponseTemplate::new(200).set_delay(Duration::from_millis(200));
        for server in [&self.slack, &self.webhook] {
            answer(server, slowly.clone()).await;
        }
    }

    async fn service(&self, name: &'static str) -> Service {
        self.service_with(name, self.bus.common(name).unwrap())
            .await
    }

    /// A service for which NATS is at another address.
    async fn service_at(&self, name: &'static str, url: String) -> Service {
        let mut common = self.bus.common(name).unwrap();
        common.nats.url = url;
        self.service_with(name, common).await
    }

    async fn service_with(&self, name: &'static str, common: Common) -> Service {
        let mut service = self.bus.service_with(name, common).await.unwrap();
        service.mode = (name == "svc-notifier-publish").then(|| svc_notifier::PUBLISH.to_owned());
        service
    }

    fn config(&self) -> Config {
        self.config_at(&self.slack.uri(), &self.webhook.uri())
    }

    fn config_at(&self, slack: &str, webhook: &str) -> Config {
        Config {
            slack: SlackSettings {
                webhook_url_file: Some(self.url_file("slack", slack)),
            },
            webhook: WebhookSettings {
                url_file: Some(self.url_file("webhook", webhook)),
            },
            ..Config::default()
        }
    }

    fn url_file(&self, name: &str, base: &str) -> PathBuf {
        let path = self.bus.folder().join(name);
        std::fs::write(&path, format!("{base}/{name}\n")).unwrap();
        path
    }

    /// Runs a notifier that dies when a fuse blows, while something happens.
    pub(crate) async fn until_it_dies(&self, fuse: &Fuse, meanwhile: impl Future<Output = ()>) {
        let start = async |address: SocketAddr| {
            let proxy = Proxy::start_with(address, fuse.clone()).await.unwrap();
            (proxy.address(), proxy)
        };
        let (nats, _nats) = start(self.nats_address()).await;
        let (slack, _slack) = start(*self.slack.address()).await;
        let (webhook, _webhook) = start(*self.webhook.address()).await;
        let service = self
            .service_at("svc-notifier", format!("nats://{nats}"))
            .await;
        let config = self.config_at(&format!("http://{slack}"), &format!("http://{webhook}"));
        let running = tokio::spawn(svc_notifier::run(config, service));
        meanwhile.await;
        // The connections end with the proxies, as those of a killed process do.
        running.abort();
    }

    /// Where NATS listens.
    pub(crate) fn nats_address(&self) -> SocketAddr {
        self.bus
            .server
            .url()
            .replace("nats://", "")
            .parse()
            .unwrap()
    }

    /// Runs a notifier that reaches NATS at another address until `until` is done, then drains it.
    pub(crate) async fn while_behind(&self, nats: SocketAddr, until: impl Future<Output = ()>) {
        let url = format!("nats://{nats}");
        let service = self.service_at("svc-notifier", url).await;
        let running = tokio::spawn(svc_notifier::run(self.config(), service.clone()));
        until.await;
        service.shutdown.cancel();
        running.await.unwrap().expect("drained");
    }

    /// Runs the notifier until `until` is done, then drains it.
    pub(crate) fn while_running<'a, T: 'a>(
        &'a self,
        until: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        self.while_running_as("svc-notifier", self.config(), until)
    }

    /// Runs two notifiers until `until` is done, then drains both; also returns how many posts each of
    /// them made.
    pub(crate) async fn while_sharing<T>(&self, until: impl Future<Output = T>) -> (T, [u64; 2]) {
        let services = [
            self.service("svc-notifier").await,
            self.service("svc-notifier").await,
        ];
        let running = services
            .each_ref()
            .map(|service| tokio::spawn(svc_notifier::run(self.config(), service.clone())));
        let value = until.await;
        for (service, running) in services.iter().zip(running) {
            service.shutdown.cancel();
            running.await.unwrap().expect("drained");
        }
        (value, services.each_ref().map(posts))
    }

    /// Publishes twins until `until` is done, then drains.
    pub(crate) fn while_publishing<'a, T: 'a>(
        &'a self,
        until: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        self.while_running_as("svc-notifier-publish", Config::default(), until)
    }

    fn while_running_as<'a, T: 'a>(
        &'a self,
        name: &'static str,
        config: Config,
        until: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        Box::pin(async move {
            let service = self.service(name).await;
            let running = tokio::spawn(svc_notifier::run(config, service.clone()));
            let value = until.await;
            service.shutdown.cancel();
            running.await.unwrap().expect("drained");
            value
        })
    }

    /// A step of svc-actuator that rests on a diagnosis signed by the given service.
    pub(crate) async fn act(&self, step: Step, name: &str, cause: &str, signer: Writer) {
        let acted = self.acted(INCIDENT, step, cause, signer);
        self.publish("svc-actuator", name, acted).await;
    }

    /// The end of a change of an incident, or the change itself, which has no cause here.
    pub(crate) async fn act_on(&self, incident: &str, step: Step, name: &str, after: &str) {
        let acted = self.acted(incident, step, "crash", Writer::Llm);
        let cause = match after {
            "" => String::new(),
            step => subject_of(incident, Stage::Acted, step).to_string(),
        };
        let publisher = self
            .service("svc-actuator")
            .await
            .publisher::<Acted>()
            .unwrap();
        publisher
            .publish(&subject_of(incident, Stage::Acted, name), acted, &cause)
            .await
            .expect("published");
    }

    fn acted(&self, incident: &str, step: Step, cause: &str, signer: Writer) -> Acted {
        let diagnosed_subject = subject_of(incident, Stage::Diagnosed, "open").to_string();
        let diagnosed = Diagnosed {
            envelope: Some(Envelope {
                subject: diagnosed_subject.clone(),
                ..Envelope::default()
            }),
            incident: Some(incident_of(incident)),
            diagnosis: Some(Diagnosis {
                summary: "it fails".to_owned(),
                cause: cause.to_owned(),
                ..Diagnosis::default()
            }),
            ..Diagnosed::default()
        };
        let payload = diagnosed.encode_to_vec();
        let signature = SigningKey::read(&self.bus.keys.signing(signer))
            .unwrap()
            .sign(&diagnosed_subject, &payload);
        let signed = SignedMessage {
            subject: diagnosed_subject,
            payload: payload.into(),
            key_id: signature.key_id,
            signature: signature.bytes,
        };
        Acted {
            incident: Some(incident_of(incident)),
            step: step.into(),
            diagnosis: Some(signed),
            ..Acted::default()
        }
    }

    /// The sweeper missed a diagnosis.
    pub(crate) async fn miss_diagnosis(&self) {
        let overdue = Overdue {
            incident: Some(incident()),
            awaited: Awaited::Diagnosis.into(),
            limit_seconds: 600,
            ..Overdue::default()
        };
        let publisher = self.service("svc-audit-sweep").await.publisher().unwrap();
        let cause = subject(Stage::Redacted, "open").to_string();
        publisher
            .publish(&subject(Stage::Overdue, "diagnosis-open"), overdue, &cause)
            .await
            .expect("published");
    }

    pub(crate) async fn resolve(&self) {
        let detected = Detected {
            incident: Some(incident()),
            phase: Phase::Resolved.into(),
            resolved_reason: ResolvedReason::Recovered.into(),
            ..Detected::default()
        };
        self.publish("svc-watcher", "resolved", detected).await;
    }

    pub(crate) async fn publish<M: Message>(&self, writer: &'static str, step: &str, message: M) {
        let publisher = self.service(writer).await.publisher::<M>().unwrap();
        publisher
            .publish(&subject(M::STAGE, step), message, "")
            .await
            .expect("published");
    }

    /// A message of a stage with the signature of another service than the one that writes there.
    pub(crate) async fn publish_signed_by<M: Message>(
        &self,
        writer: &'static str,
        signer: Writer,
        step: &str,
        message: M,
    ) {
        let mut common = self.bus.common(writer).unwrap();
        common.keys.signing_file = Some(self.bus.keys.signing(signer));
        let service = self.service_with(writer, common).await;
        let publisher = service.publisher::<M>().unwrap();
        publisher
            .publish(&subject(M::STAGE, step), message, "")
            .await
            .expect("published");
    }

    /// Runs a notifier that no channel is configured for.
    pub(crate) async fn tell_nobody(&self) -> anyhow::Result<()> {
        svc_notifier::run(Config::default(), self.service("svc-notifier").await).await
    }

    /// Polls until the end of the incident is in the record, which its own user reads.
    pub(crate) async fn resolved_is_handled(&self) {
        let bucket = self.service("svc-notifier").await.bucket(topology::NOTICES);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while bucket.get(INCIDENT).await.expect("readable").is_none() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "the end was not handled"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Polls until what is overdue has been acknowledged.
    pub(crate) async fn overdue_is_handled(&self) {
        self.is_handled(&topology::NOTIFIER_OVERDUE).await;
    }

    /// Polls until what svc-actuator did has been acknowledged; a delivery that nobody answers comes
    /// again after the ack wait.
    pub(crate) async fn acted_is_handled(&self) {
        self.is_handled(&topology::NOTIFIER_ACTED).await;
    }

    /// Polls until what svc-actuator did has been delivered to somebody.
    pub(crate) async fn acted_is_delivered(&self) {
        let consumer = &topology::NOTIFIER_ACTED;
        self.is_reached(consumer, |state| state.delivered > 0).await;
    }

    async fn is_handled(&self, consumer: &ConsumerSpec) {
        self.is_reached(consumer, |state| state.acknowledged > 0)
            .await;
    }

    async fn is_reached(&self, consumer: &ConsumerSpec, is: impl Fn(&ConsumerState) -> bool) {
        let bus = self.bus.connect("svc-notifier").await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_mins(2);
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let state = bus.consumer_state(consumer).await;
            if is(&state.expect("readable")) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} has not handled it",
                consumer.name
            );
        }
    }

    /// The keys of what the webhook got.
    pub(crate) async fn webhook_keys(&self) -> BTreeSet<String> {
        let requests = self.webhook.received_requests().await.unwrap();
        let key = |request: &wiremock::Request| {
            request.headers["idempotency-key"]
                .to_str()
                .unwrap()
                .to_owned()
        };
        requests.iter().map(key).collect()
    }

    /// Polls until a stage holds so many messages, and returns their steps and the messages.
    pub(crate) async fn stored<M: Message>(&self, count: usize) -> Vec<(String, M)> {
        let reader = self.bus.reader(M::STAGE).await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let found = reader.all(&M::STAGE.filter()).await.expect("readable");
            if found.len() >= count {
                let read = |message: &bonesetter_chassis::bus::StoredMessage| {
                    let subject: Subject = message.subject.parse().unwrap();
                    (subject.step, M::decode(message.payload.clone()).unwrap())
                };
                return found.iter().map(read).collect();
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} of {count} messages of {}",
                found.len(),
                M::STAGE
            );
            tokio::task::yield_now().await;
        }
    }
}

/// How many posts a notifier made, by its own account.
fn posts(service: &Service) -> u64 {
    let text = service.metrics.encode().unwrap();
    let attempts = |line: &str| {
        let line = line.strip_prefix("bonesetter_notifier_attempts_total{")?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(attempts).sum()
}

pub(crate) fn subject(stage: Stage, step: &str) -> Subject {
    subject_of(INCIDENT, stage, step)
}

fn subject_of(incident: &str, stage: Stage, step: &str) -> Subject {
    Subject {
        stage,
        cluster: "test".to_owned(),
        namespace: Namespace::new("shop").ok(),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new(incident).unwrap(),
        step: step.to_owned(),
    }
}

pub(crate) fn incident() -> Incident {
    incident_of(INCIDENT)
}

fn incident_of(id: &str) -> Incident {
    let root_owner = ObjectRef {
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        ..ObjectRef::default()
    };
    Incident {
        id: id.to_owned(),
        root_owner: Some(root_owner),
        ..Incident::default()
    }
}

/// What a receiver answers from now on.
pub(crate) async fn answer(server: &MockServer, answer: impl Respond + 'static) {
    server.reset().await;
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(server)
        .await;
}

/// The titles of what Slack got, in order.
pub(crate) async fn titles(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let title = |request: &wiremock::Request| {
        let body: serde_json::Value = request.body_json().unwrap();
        body["text"].as_str().unwrap().to_owned()
    };
    requests.iter().map(title).collect()
}

/// The kinds of what the webhook got, in order.
pub(crate) async fn kinds(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let kind = |request: &wiremock::Request| {
        let body: serde_json::Value = request.body_json().unwrap();
        body["kind"].as_str().unwrap().to_owned()
    };
    requests.iter().map(kind).collect()
}
