//! A bus of the test's own, with the users, permissions and keys of production, and incidents on it that
//! every service has signed and published as it would.

use std::sync::LazyLock;
use std::time::SystemTime;

use bonesetter_chassis::config::NatsSettings;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::STREAMS;
use bonesetter_keys::{SealingKeys, incident_id};
use bonesetter_proto::v1::{
    self, Acted, Change, Decision, Delivery, Detected, Diagnosed, Enriched, Evidence, FailureClass,
    Incident, Mode, NoticeKind, Notified, ObjectRef, Phase, Redacted, ResolvedReason,
    Step as ActedStep,
};
use bonesetter_proto::{IncidentId, Message, Namespace, Stage, Subject, to_timestamp};
use bonesetter_redact::{Redactor, Rules};
use bonesetter_testbed::TestBus;
use prost::Message as _;
use svc_llm::evidence_json::Document;

/// A Deployment whose new revision has a bad value; the rules roll it back.
pub(crate) const BAD_VALUE: &str = include_str!("../../../svc-llm/tests/it/bad-value.json");
/// A Deployment that is killed at its memory limit of 64Mi; the rules double it.
pub(crate) const OUT_OF_MEMORY: &str = include_str!("out-of-memory.json");

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Rules::builtin().expect("rules")).expect("a redactor"));

pub(crate) struct World {
    pub(crate) bus: TestBus,
    services: Services,
}

struct Services {
    watcher: Service,
    enricher: Service,
    redactor: Service,
    llm: Service,
    actuator: Service,
    notifier: Service,
}

/// What the actuator made of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Mode suggest.
    Proposed,
    /// Mode auto, and it helped.
    Mended,
    /// Mode auto, and a change was made before.
    Claimed,
}

/// One incident as its stages publish it.
pub(crate) struct Case {
    pub(crate) subject: Subject,
    pub(crate) incident: Incident,
    pub(crate) class: FailureClass,
    pub(crate) raw: Evidence,
    pub(crate) redacted: Redacted,
    pub(crate) diagnosed: Diagnosed,
    pub(crate) end: End,
}

impl Case {
    /// Of a document about the workload `name`, as if it were about `<name>-<number>`.
    pub(crate) fn new(document: &str, name: &str, number: usize, end: End) -> Self {
        let document = document.replace(name, &format!("{name}-{number}"));
        let message = Document::parse(document.as_bytes())
            .and_then(Document::into_message)
            .expect("a document");
        let class = message.failure_class();
        let raw = message.evidence.expect("evidence");
        let owner: ObjectRef = raw
            .target
            .as_ref()
            .and_then(|target| target.object.clone())
            .expect("a target");
        let id = incident_id("test", &owner.uid, 1);
        let subject = Subject {
            stage: Stage::Detected,
            cluster: "test".to_owned(),
            namespace: Namespace::new(owner.namespace.as_str()).ok(),
            kind: owner.kind.clone(),
            incident: IncidentId::new(id.as_str()).expect("an id"),
            step: "open".to_owned(),
        };
        let incident = Incident {
            id,
            cluster: "test".to_owned(),
            root_owner: Some(owner),
            episode: 1,
            opened_at: Some(to_timestamp(SystemTime::UNIX_EPOCH)),
        };
        let mut session = REDACTOR.session(&[7; 32]);
        let evidence = svc_redactor::redact_evidence(raw.clone(), &mut session).expect("redacted");
        let diagnosed = Diagnosed {
            incident: Some(incident.clone()),
            ..svc_llm::explain_offline(&evidence, class)
        };
        let dossier = evidence.into_inner();
        let redacted = Redacted {
            envelope: None,
            incident: Some(incident.clone()),
            failure_class: class.into(),
            symptoms: Vec::new(),
            evidence: Some(dossier.evidence),
            removals: dossier.removals,
        };
        Self {
            subject,
            incident,
            class,
            raw,
            redacted,
            diagnosed,
            end,
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.subject.incident.as_str()
    }

    pub(crate) fn at(&self, stage: Stage, step: &str) -> Subject {
        self.subject.at(stage, step)
    }

    fn acted(&self, step: ActedStep) -> Acted {
        let allowed = self.end == End::Mended;
        let violation = |name: &str, detail: &str| v1::Violation {
            name: name.to_owned(),
            detail: detail.to_owned(),
        };
        let (mode, violations) = match self.end {
            End::Mended => (Mode::Auto, Vec::new()),
            End::Claimed => {
                let why = "a change was intended for this incident";
                (Mode::Auto, vec![violation("already-intended", why)])
            }
            End::Proposed => {
                let namespace = "shop is not in auto_apply_namespaces";
                let violations = vec![
                    violation("mode-suggest", "changes are only suggested"),
                    violation("namespace-not-allowed", namespace),
                ];
                (Mode::Suggest, violations)
            }
        };
        let decision = Decision {
            mode: mode.into(),
            allowed,
            violations,
            reason: "as recorded".to_owned(),
        };
        let remedy = self
            .diagnosed
            .diagnosis
            .as_ref()
            .and_then(|diagnosis| diagnosis.remedy.clone());
        let change = Change {
            effect_key: "e".repeat(32),
            target: self.diagnosed.target.clone(),
            remedy,
            fields: vec!["/spec/template".to_owned()],
            suggested_command: "kubectl rollout undo".to_owned(),
            ..Change::default()
        };
        Acted {
            incident: Some(self.incident.clone()),
            failure_class: self.class.into(),
            step: step.into(),
            decision: Some(decision),
            change: Some(change),
            ..Acted::default()
        }
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|accounts| accounts).await
    }

    /// With other accounts than those of production.
    pub(crate) async fn start_with(accounts: impl FnOnce(String) -> String) -> Self {
        let bus = TestBus::start_with(accounts).await.expect("a bus");
        let service = async |name| bus.service(name).await.expect("started");
        let services = Services {
            watcher: service("svc-watcher").await,
            enricher: service("svc-enricher").await,
            redactor: service("svc-redactor").await,
            llm: service("svc-llm").await,
            actuator: service("svc-actuator").await,
            notifier: service("svc-notifier").await,
        };
        Self { bus, services }
    }

    /// The server loses everything that it has stored, and is provisioned again.
    pub(crate) async fn lose_streams(&mut self) {
        let server = &mut self.bus.server;
        server.stop().await;
        let dir = server.config_file();
        let store = dir.parent().expect("a folder").join("store");
        std::fs::remove_dir_all(store).expect("removed");
        server.restart().await.expect("started");
        self.bus.provision().await.expect("provisioned");
    }

    /// Another replica of a service.
    pub(crate) async fn another(&self, name: &'static str) -> Service {
        self.bus.service(name).await.expect("started")
    }

    /// The arguments by which the command reaches this bus, after the command's own.
    pub(crate) fn arguments(&self, command: &[&str]) -> Vec<String> {
        self.arguments_as("operator", command)
    }

    /// As [`World::arguments`], as another user.
    pub(crate) fn arguments_as(&self, user: &str, command: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> = command.iter().map(|it| (*it).to_owned()).collect();
        let (server, keys) = (&self.bus.server, &self.bus.keys);
        let settings = server.settings(keys, user).expect("settings");
        arguments.extend(connection(settings));
        arguments
    }

    /// As [`World::arguments`], with the public keys.
    pub(crate) fn trusting(&self, command: &[&str]) -> Vec<String> {
        let mut arguments = self.arguments(command);
        arguments.extend([
            "--trusted-dir".to_owned(),
            self.bus.keys.trusted().display().to_string(),
        ]);
        arguments
    }

    /// The last sequence of every stream, as the server has given it out.
    pub(crate) async fn last_sequences(&self) -> Vec<(String, u64)> {
        let monitor = format!(
            "{}/jsz?accounts=true&streams=true",
            self.bus.server.monitor_url()
        );
        let text = reqwest::get(monitor)
            .await
            .expect("an answer")
            .text()
            .await
            .expect("text");
        let jsz: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let mut found = Vec::new();
        for account in jsz["account_details"].as_array().expect("accounts") {
            for stream in account["stream_detail"].as_array().into_iter().flatten() {
                let name = stream["name"].as_str().unwrap_or_default().to_owned();
                let last = stream["state"]["last_seq"].as_u64().unwrap_or(0);
                found.push((name, last));
            }
        }
        found.sort();
        assert!(found.len() >= STREAMS.len(), "{found:?}");
        found
    }

    async fn publish<M: Message>(service: &Service, subject: &Subject, message: M, cause: &str) {
        service
            .publisher::<M>()
            .expect("has the key")
            .publish(subject, message, cause)
            .await
            .expect("published");
    }

    /// Publishes what every stage says of an incident, from its detection to its end.
    pub(crate) async fn publish_case(&self, case: &Case) {
        self.detect(case).await;
        self.enrich(case).await;
        self.redact(case).await;
        self.diagnose(case).await;
        let acted = self.act(case).await;
        self.end(case, &acted).await;
    }

    pub(crate) async fn detect(&self, case: &Case) {
        let message = Detected {
            incident: Some(case.incident.clone()),
            phase: Phase::Open.into(),
            failure_class: case.class.into(),
            failing_objects: 1,
            ..Detected::default()
        };
        Self::publish(&self.services.watcher, &case.subject, message, "").await;
    }

    pub(crate) async fn enrich(&self, case: &Case) {
        let subject = case.at(Stage::Enriched, "open");
        let keys = SealingKeys::read(&self.bus.keys.evidence()).expect("a key");
        let sealed = keys
            .seal(&subject.to_string(), &case.raw.encode_to_vec())
            .expect("sealed");
        let message = Enriched {
            envelope: None,
            incident: Some(case.incident.clone()),
            failure_class: case.class.into(),
            symptoms: Vec::new(),
            evidence: Some(sealed),
        };
        let cause = case.subject.to_string();
        Self::publish(&self.services.enricher, &subject, message, &cause).await;
    }

    pub(crate) async fn redact(&self, case: &Case) {
        let subject = case.at(Stage::Redacted, "open");
        let cause = case.at(Stage::Enriched, "open").to_string();
        let message = case.redacted.clone();
        Self::publish(&self.services.redactor, &subject, message, &cause).await;
    }

    pub(crate) async fn diagnose(&self, case: &Case) {
        let subject = case.at(Stage::Diagnosed, "open");
        let cause = case.at(Stage::Redacted, "open").to_string();
        let message = case.diagnosed.clone();
        Self::publish(&self.services.llm, &subject, message, &cause).await;
    }

    /// Publishes the steps of svc-actuator and returns the last.
    pub(crate) async fn act(&self, case: &Case) -> Subject {
        let steps: &[(&str, ActedStep)] = match case.end {
            End::Proposed | End::Claimed => &[("proposed", ActedStep::Proposed)],
            End::Mended => &[
                ("intended", ActedStep::Intended),
                ("applied", ActedStep::Applied),
                ("verified", ActedStep::Verified),
            ],
        };
        let mut cause = case.at(Stage::Diagnosed, "open");
        for (name, step) in steps {
            let subject = case.at(Stage::Acted, name);
            let message = case.acted(*step);
            let by = cause.to_string();
            Self::publish(&self.services.actuator, &subject, message, &by).await;
            cause = subject;
        }
        cause
    }

    pub(crate) async fn end(&self, case: &Case, acted: &Subject) {
        let delivery = Delivery {
            channel: "platform".to_owned(),
            channel_type: "slack".to_owned(),
            delivered: true,
            ..Delivery::default()
        };
        let message = Notified {
            incident: Some(case.incident.clone()),
            failure_class: case.class.into(),
            kind: NoticeKind::Incident.into(),
            deliveries: vec![delivery],
            ..Notified::default()
        };
        let subject = case.at(Stage::Notified, "incident");
        let cause = acted.to_string();
        Self::publish(&self.services.notifier, &subject, message, &cause).await;
        let message = Detected {
            incident: Some(case.incident.clone()),
            phase: Phase::Resolved.into(),
            failure_class: case.class.into(),
            resolved_reason: ResolvedReason::Recovered.into(),
            ..Detected::default()
        };
        let subject = case.at(Stage::Detected, "resolved");
        Self::publish(&self.services.watcher, &subject, message, "").await;
    }
}

/// The options by which the command reaches a server.
pub(crate) fn connection(settings: NatsSettings) -> Vec<String> {
    let mut arguments = vec!["--nats-url".to_owned(), settings.url];
    let files = [
        ("--nkey-file", Some(settings.nkey_file)),
        ("--nats-ca-file", settings.tls.ca_file),
        ("--nats-certificate-file", settings.tls.certificate_file),
        ("--nats-key-file", settings.tls.key_file),
    ];
    for (flag, file) in files {
        let file = file.expect("the server speaks TLS");
        arguments.extend([flag.to_owned(), file.display().to_string()]);
    }
    arguments
}
