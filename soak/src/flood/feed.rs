//! The flood itself: sealed evidence of many incidents, small and large, the same for the same seed.

use std::sync::Arc;

use bonesetter_chassis::config::{Common, HealthSettings, KeySettings, TelemetrySettings};
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use bonesetter_keys::{SealingKeys, incident_id};
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Enriched, Evidence, EvidenceItem, FailureClass, Incident, LogChunk, LogLine, ObjectRef, Target,
};
use bonesetter_proto::{IncidentId, Namespace, Stage, Subject};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, CLUSTER};

/// What every incident is about.
pub(super) const OBJECT: &str = "Deployment/shop/cart";
/// The log in the evidence of every incident.
pub(super) const LOG: &str = "log/cart-1/app/previous";
/// How every log ends.
pub(super) const LAST_WORDS: &str = "out of patience";

const KIB: usize = 1024;
/// Three of four incidents have this much evidence.
const SMALL: std::ops::Range<usize> = KIB..8 * KIB;
/// The others have this much; svc-enricher trims to 256 KiB.
const LARGE: std::ops::Range<usize> = 64 * KIB..248 * KIB;
/// How many are stored at a time.
const WINDOW: usize = 64;
/// Different lines.
const LINES: usize = 2000;

/// Publishes as svc-enricher.
pub(super) struct Feed {
    enricher: Service,
    seal: Arc<SealingKeys>,
    lines: Arc<Vec<LogLine>>,
    seed: u64,
}

impl Feed {
    pub(super) async fn new(bed: &Bed, seed: u64) -> anyhow::Result<Self> {
        let name = "svc-enricher";
        let common = Common {
            cluster: CLUSTER.to_owned(),
            nats: bed.nats_settings(name)?,
            keys: KeySettings::default(),
            telemetry: TelemetrySettings::default(),
            health: HealthSettings::default(),
        };
        let about = About {
            name,
            version: "0",
            modes: &[],
        };
        let (shutdown, ready) = (CancellationToken::new(), Readiness::default());
        let metrics = Metrics::default();
        let enricher = Service::start(about, common, "flood", shutdown, ready, metrics).await?;
        Ok(Self {
            enricher,
            seal: Arc::new(SealingKeys::read(&bed.keys.evidence())?),
            lines: Arc::new(lines(&mut StdRng::seed_from_u64(seed))),
            seed,
        })
    }

    /// Stores so many messages, of incidents counted on from `first`; returns the bytes of the largest.
    /// The sizes are those of any other call with the same count.
    pub(super) async fn pour(&self, first: u32, count: u32) -> anyhow::Result<usize> {
        let publisher = self.enricher.publisher::<Enriched>()?;
        let stored = stream::iter(0..count)
            .map(|number| {
                let publisher = publisher.clone();
                async move {
                    let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(number.into()));
                    let subject = subject(first + number)?;
                    let message = self.message(&subject, &mut random)?;
                    let bytes = message.encoded_len();
                    publisher.publish(&subject, message, "").await?;
                    anyhow::Ok(bytes)
                }
            })
            .buffer_unordered(WINDOW);
        stored
            .try_fold(0, async |most, bytes| Ok(bytes.max(most)))
            .await
    }

    fn message(&self, subject: &Subject, random: &mut StdRng) -> anyhow::Result<Enriched> {
        let is_large = random.random_ratio(1, 4);
        let bytes = random.random_range(if is_large { LARGE } else { SMALL });
        let from = random.random_range(0..self.lines.len());
        let evidence = evidence(&self.lines, from, bytes);
        let sealed = self
            .seal
            .seal(&subject.to_string(), &evidence.encode_to_vec())?;
        let incident = Incident {
            id: subject.incident.to_string(),
            cluster: CLUSTER.to_owned(),
            root_owner: Some(object()),
            episode: 1,
            ..Incident::default()
        };
        Ok(Enriched {
            incident: Some(incident),
            failure_class: FailureClass::CrashLoopBackOff.into(),
            evidence: Some(sealed),
            ..Enriched::default()
        })
    }
}

fn subject(number: u32) -> anyhow::Result<Subject> {
    Ok(Subject {
        stage: Stage::Enriched,
        cluster: CLUSTER.to_owned(),
        namespace: Some(Namespace::new("shop")?),
        kind: "Deployment".to_owned(),
        incident: IncidentId::new(incident_id(CLUSTER, "cart", number))?,
        step: "open".to_owned(),
    })
}

fn object() -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        uid: "uid-cart".to_owned(),
    }
}

/// A log of about so many bytes.
fn evidence(lines: &[LogLine], from: usize, bytes: usize) -> Evidence {
    let mut size = 0;
    let is_within = |line: &&LogLine| {
        size += line.text.len();
        size < bytes
    };
    let last = LogLine {
        text: format!("FATAL {LAST_WORDS}"),
        ..LogLine::default()
    };
    let taken = lines.iter().cycle().skip(from).take_while(is_within);
    let chunk = LogChunk {
        container: "app".to_owned(),
        previous: true,
        lines: taken.cloned().chain([last]).collect(),
        ..LogChunk::default()
    };
    Evidence {
        items: vec![EvidenceItem {
            id: LOG.to_owned(),
            content: Some(Content::Log(chunk)),
        }],
        target: Some(Target {
            object: Some(object()),
            ..Target::default()
        }),
        ..Evidence::default()
    }
}

/// Lines as services write them; one of fifty holds a password.
fn lines(random: &mut StdRng) -> Vec<LogLine> {
    let mut line = |number: usize| {
        let (id, wait): (u64, u32) = (random.random(), random.random_range(1..5000));
        let text = if number.is_multiple_of(50) {
            format!("WARN login as cart with password=horse-{id:x} failed, again in {wait} ms")
        } else {
            format!(
                "INFO request {id:016x} GET /api/v1/carts/{number} answered 503 after {wait} ms: no \
                 connection to the database could be had from the pool"
            )
        };
        LogLine {
            text,
            ..LogLine::default()
        }
    };
    (0..LINES).map(&mut line).collect()
}
