//! The three stages, handed messages one at a time: the place of every crash can be chosen.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bonesetter_chassis::clock::Clock;
use bonesetter_chassis::stage::{Input, Outcome, Received, Stage};
use bonesetter_chassis::target::template_digest;
use bonesetter_chassis::topology;
use bonesetter_keys::{DigestKey, SealingKeys, incident_id};
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{
    Acted, Diagnosed, Diagnosis, Incident, ObjectRef, Remedy, RollBack, SetMemory, SignedMessage,
    Target,
};
use bonesetter_proto::{IncidentId, Message, Namespace, Subject};
use bonesetter_testbed::TestBus;
use serde_json::Value;
use svc_actuator::changes::Changes;
use svc_actuator::kubernetes::Cluster;
use svc_actuator::metrics::Metrics;
use svc_actuator::plan::Planner;
use svc_actuator::policy::{MemoryBounds, Mode, Owners, Policy};
use svc_actuator::stage::{Apply, Decide, Verification, Verify};

use crate::cluster::Sandbox;

pub(crate) const WINDOW: Duration = Duration::from_secs(20);
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) changes: Arc<Changes>,
    bus: TestBus,
    digest_key: DigestKey,
    client: kube::Client,
}

impl World {
    pub(crate) async fn new() -> Self {
        let sandbox = Sandbox::new().await;
        let client = sandbox.client.clone();
        Self::with_client(sandbox, client).await
    }

    pub(crate) async fn with_client(sandbox: Sandbox, client: kube::Client) -> Self {
        let bus = TestBus::start().await.unwrap();
        let service = bus.service("svc-actuator").await.unwrap();
        let keys = SealingKeys::read(&bus.keys.inverse()).unwrap();
        let changes = Arc::new(Changes::new(service.bucket(topology::CHANGES), keys));
        let digest_key = DigestKey::read(&bus.keys.digest()).unwrap();
        let clock = Clock::manual(UNIX_EPOCH + Duration::from_hours(500_000));
        Self {
            sandbox,
            clock,
            changes,
            bus,
            digest_key,
            client,
        }
    }

    /// From now on nothing that was sealed before can be opened.
    pub(crate) async fn lose_keys(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let others = bonesetter_keys::init(folder.path(), &[]).unwrap();
        let keys = SealingKeys::read(&others.inverse()).unwrap();
        let service = self.bus.service("svc-actuator").await.unwrap();
        self.changes = Arc::new(Changes::new(service.bucket(topology::CHANGES), keys));
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(self.client.clone(), Duration::from_secs(10))
    }

    pub(crate) fn policy(&self, mode: Mode) -> Policy {
        Policy {
            mode,
            auto_apply_namespaces: [Namespace::new(self.sandbox.namespace.as_str()).unwrap()]
                .into(),
            memory: MemoryBounds {
                max_factor: 4,
                max_bytes: 4 << 30,
            },
            owners: Owners {
                overridable: vec!["kubectl*".to_owned()],
            },
        }
    }

    pub(crate) fn planner(&self, mode: Mode) -> Arc<Planner> {
        let (cluster, policy) = (self.cluster(), self.policy(mode));
        Arc::new(Planner {
            cluster,
            policy,
            digest_key: self.digest_key.clone(),
        })
    }

    pub(crate) fn decide(&self, mode: Mode) -> Decide {
        let changes = self.changes.clone();
        Decide {
            planner: self.planner(mode),
            changes,
            metrics: Metrics::default(),
        }
    }

    pub(crate) fn apply(&self, mode: Mode) -> Apply {
        Apply {
            planner: self.planner(mode),
            changes: self.changes.clone(),
            clock: self.clock.clone(),
            deadline: DEADLINE,
            metrics: Metrics::default(),
        }
    }

    pub(crate) fn verify(&self) -> Verify {
        Verify {
            cluster: self.cluster(),
            changes: self.changes.clone(),
            clock: self.clock.clone(),
            verification: Verification {
                window: WINDOW,
                interval: Duration::from_millis(100),
            },
            metrics: Metrics::default(),
        }
    }

    /// The target as svc-enricher would bind it now.
    pub(crate) fn target(&self, live: &Value) -> Target {
        target(&self.digest_key, live)
    }

    /// What svc-llm would publish about the present state of a Deployment.
    pub(crate) async fn diagnosed(&self, name: &str, fix: Fix) -> Input<Diagnosed> {
        let target = self.target(&self.sandbox.get(name).await);
        diagnosed(target, Some(fix), "open")
    }

    /// The intent that a diagnosis leads to.
    pub(crate) async fn intended(&self, diagnosed: &Input<Diagnosed>) -> Input<Acted> {
        let decided = self.decide(Mode::Auto).handle(diagnosed).await;
        then(diagnosed, one(decided))
    }

    /// A change that has been decided on and applied.
    pub(crate) async fn applied(&self, name: &str, fix: Fix) -> Input<Acted> {
        let intended = self.intended(&self.diagnosed(name, fix).await).await;
        then(
            &intended,
            one(self.apply(Mode::Auto).handle(&intended).await),
        )
    }
}

pub(crate) fn target(key: &DigestKey, live: &Value) -> Target {
    let of = |key: &str| live["metadata"][key].as_str().unwrap().to_owned();
    let object = ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: of("namespace"),
        name: of("name"),
        uid: of("uid"),
    };
    let template_digest = template_digest(key, &live["spec"]["template"]);
    Target {
        object: Some(object),
        template_digest,
        revision: 0,
    }
}

pub(crate) fn roll_back(to_revision: i64) -> Fix {
    Fix::RollBack(RollBack { to_revision })
}

pub(crate) fn set_memory(limit: u64) -> Fix {
    Fix::SetMemory(SetMemory {
        container: "app".to_owned(),
        limit,
        request: 0,
    })
}

pub(crate) fn diagnosis(target: Target, fix: Option<Fix>) -> Diagnosed {
    let object = target.object.clone().unwrap();
    let remedy = Remedy {
        target: Some(target.clone()),
        fix,
        rationale: "because".to_owned(),
    };
    Diagnosed {
        incident: Some(Incident {
            id: incident_id("test", &object.uid, 1),
            cluster: "test".to_owned(),
            root_owner: Some(object),
            episode: 1,
            opened_at: None,
        }),
        diagnosis: Some(Diagnosis {
            remedy: Some(remedy),
            ..Diagnosis::default()
        }),
        target: Some(target),
        ..Diagnosed::default()
    }
}

pub(crate) fn diagnosed(target: Target, fix: Option<Fix>, step: &str) -> Input<Diagnosed> {
    let message = diagnosis(target, fix);
    let subject = subject(&message, step);
    input(message, subject)
}

pub(crate) fn subject(message: &Diagnosed, step: &str) -> Subject {
    let incident = message.incident.clone().unwrap();
    let object = incident.root_owner.unwrap();
    Subject {
        stage: Diagnosed::STAGE,
        cluster: "test".to_owned(),
        namespace: Some(Namespace::new(object.namespace).unwrap()),
        kind: object.kind,
        incident: IncidentId::new(incident.id).unwrap(),
        step: step.to_owned(),
    }
}

/// A message as the runner would hand it over.
pub(crate) fn input<M: Message>(message: M, subject: Subject) -> Input<M> {
    let signed = SignedMessage {
        subject: subject.to_string(),
        payload: message.encode_to_vec().into(),
        ..SignedMessage::default()
    };
    Input {
        message: Received::Unsigned(message),
        subject,
        signed: Some(signed),
        deliveries: 1,
        sequence: 1,
        stream: "test",
        stored_at: UNIX_EPOCH,
        traceparent: None,
    }
}

/// What follows: the output as the next stage would get it.
pub(crate) fn then<M>(input: &Input<M>, output: (String, Acted)) -> Input<Acted> {
    self::input(output.1, input.subject.at(Acted::STAGE, output.0))
}

/// The one message that a stage came to.
pub(crate) fn one(outcome: Outcome<Acted>) -> (String, Acted) {
    match outcome {
        Outcome::Done(outputs) => {
            let [output] = <[_; 1]>::try_from(outputs).unwrap();
            (output.step, output.message)
        }
        other => panic!("expected one message, got {other:?}"),
    }
}

/// Names of the violations of a decision.
pub(crate) fn violations(message: &Acted) -> Vec<&str> {
    let decision = message.decision.as_ref().unwrap();
    decision
        .violations
        .iter()
        .map(|violation| violation.name.as_str())
        .collect()
}
