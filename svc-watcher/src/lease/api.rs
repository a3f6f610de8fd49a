//! Reading and writing Leases; what to write is decided by [`plan`](crate::shards::plan).

use std::collections::BTreeMap;
use std::time::Duration;

use bonesetter_chassis::clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{ListParams, PostParams};
use tokio::time::{Instant, timeout};

use crate::shards::{Move, lease_name};

use super::{ANSWER, LEASE};

/// Who asks for a shard.
const CLAIM: &str = "bonesetter.dev/claimed-by";

/// Why Leases cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    #[error("could not {verb} leases in namespace {namespace}; compare the Role with 02-rbac.yaml")]
    Api {
        verb: &'static str,
        namespace: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("the API server did not answer in time when asked to {verb} leases")]
    Silent { verb: &'static str },
    /// Somebody else changed it since it was read.
    #[error("somebody else was faster")]
    Conflict,
    /// Nothing of what is held would be reported.
    #[error("the bus has been of no use for {0:?}, so nothing is renewed")]
    Stuck(Duration),
}

/// The Leases of all shards.
pub(super) struct Api {
    leases: kube::Api<Lease>,
    namespace: String,
    shards: u32,
    me: String,
    clock: Clock,
}

impl Api {
    pub(super) fn new(client: Client, shards: u32, me: String, clock: Clock) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            leases: kube::Api::namespaced(client, &namespace),
            namespace,
            shards,
            me,
            clock,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Those that exist, by shard, as they are at this moment.
    pub(super) async fn list(&self) -> Result<BTreeMap<u32, Lease>, LeaseError> {
        let parameters = ListParams::default();
        let list = self.answer("list", self.leases.list(&parameters)).await?;
        let leases = list.items.into_iter().filter_map(|lease| {
            let name = lease.metadata.name.as_deref()?;
            let is_named = |shard: &u32| lease_name(*shard, self.shards) == name;
            Some(((0..self.shards).find(is_named)?, lease))
        });
        Ok(leases.collect())
    }

    /// Does one thing about a shard whose Lease was read; says when it was asked for.
    pub(super) async fn make(
        &self,
        it: &Move,
        leases: &BTreeMap<u32, Lease>,
    ) -> Result<Instant, LeaseError> {
        let (Move::Renew(shard)
        | Move::Take(shard)
        | Move::Claim(shard)
        | Move::HandOver(shard, _)) = it;
        let lease = leases.get(shard).cloned();
        let mut lease = lease.unwrap_or_else(|| self.new_lease(*shard));
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.remove(CLAIM);
        let spec = lease.spec.get_or_insert_default();
        match it {
            Move::Renew(_) => spec.renew_time = self.now(),
            Move::Take(_) => self.pass(spec, Some(&self.me)),
            Move::HandOver(_, to) => self.pass(spec, Some(to)),
            Move::Claim(_) => {
                annotations.insert(CLAIM.to_owned(), self.me.clone());
            }
        }
        self.write(&lease).await
    }

    /// Makes everything that is ours nobody's.
    pub(super) async fn give_back(&self) -> Result<(), LeaseError> {
        for (_, mut lease) in self.list().await? {
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.me) {
                self.pass(spec, None);
                self.write(&lease).await?;
            }
        }
        Ok(())
    }

    /// Gives a Lease to somebody, or to nobody.
    fn pass(&self, spec: &mut LeaseSpec, to: Option<&str>) {
        let now = self.now();
        spec.holder_identity = to.map(str::to_owned);
        spec.acquire_time.clone_from(&now);
        spec.renew_time = now;
        spec.lease_duration_seconds = i32::try_from(LEASE.as_secs()).ok();
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
    }

    /// Creates it, or replaces what has its resourceVersion.
    async fn write(&self, lease: &Lease) -> Result<Instant, LeaseError> {
        let asked = Instant::now();
        let parameters = PostParams::default();
        if lease.metadata.resource_version.is_none() {
            self.answer("create", self.leases.create(&parameters, lease))
                .await?;
        } else {
            let name = lease.metadata.name.as_deref().unwrap_or_default();
            self.answer("update", self.leases.replace(name, &parameters, lease))
                .await?;
        }
        Ok(asked)
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, LeaseError> {
        match timeout(ANSWER, answer).await {
            Err(_) => Err(LeaseError::Silent { verb }),
            Ok(Ok(value)) => Ok(value),
            // Changed, or created, or deleted by somebody else in the meantime.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Err(LeaseError::Conflict)
            }
            Ok(Err(source)) => Err(LeaseError::Api {
                verb,
                namespace: self.namespace.clone(),
                source: Box::new(source),
            }),
        }
    }

    fn new_lease(&self, shard: u32) -> Lease {
        let labels = [("name", "svc-watcher"), ("part-of", "bonesetter")];
        let labels =
            labels.map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned()));
        Lease {
            metadata: ObjectMeta {
                name: Some(lease_name(shard, self.shards)),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            spec: None,
        }
    }

    fn now(&self) -> Option<MicroTime> {
        Timestamp::try_from(self.clock.now()).ok().map(MicroTime)
    }
}

/// Who asks for the shard of a Lease.
pub(super) fn claimant(lease: &Lease) -> Option<&str> {
    let annotations = lease.metadata.annotations.as_ref()?;
    annotations.get(CLAIM).map(String::as_str)
}
