//! The Kubernetes API: what exists and how it changes, as facts.

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::Path;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DeserializeGuard, Status};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::coverage::Scope;
use crate::facts::{Facts, Head, Job, Kind, Pod, ProbeKill, Unreadable, Workload};

/// Of Events only these are asked for: the kubelet's word that it kills a container.
const KILLS: &str = "involvedObject.kind=Pod,reason=Killing";
/// Objects asked for at a time. Anybody who may create one can make it 1.5 MiB, and a page is in memory as
/// a whole.
const PAGE: u32 = 100;

/// Why the API cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The kubeconfig file is missing or malformed.
    #[error("could not read the kubeconfig {path:?}; check `kubeconfig` in the configuration")]
    Kubeconfig {
        /// As configured.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// There is no ServiceAccount to take the credentials from.
    #[error("could not use the ServiceAccount of a pod; outside of a cluster set `kubeconfig`")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// The credentials or certificates are unusable.
    #[error("could not make a client of the Kubernetes configuration; check its certificates")]
    Client(#[source] Box<kube::Error>),
    /// A list failed.
    #[error("could not list {kind}; check that the API server can be reached")]
    List {
        /// What was listed.
        kind: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A client from a kubeconfig file, or from the pod's ServiceAccount when none is given.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, KubernetesError> {
    let config = match kubeconfig {
        None => kube::Config::incluster()
            .map_err(|source| KubernetesError::InCluster(Box::new(source)))?,
        Some(path) => {
            let failed = |source| KubernetesError::Kubeconfig {
                path: path.to_owned(),
                source: Box::new(source),
            };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let has_proxy = file.clusters.iter().any(|named| {
                named
                    .cluster
                    .as_ref()
                    .is_some_and(|cluster| cluster.proxy_url.is_some())
            });
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(failed)?;
            // A proxy of the environment is for the internet, not for the API server.
            config.proxy_url = config.proxy_url.filter(|_| has_proxy);
            config
        }
    };
    Client::try_from(config).map_err(|source| KubernetesError::Client(Box::new(source)))
}

/// What one watch says.
#[derive(Debug)]
pub struct Signal {
    /// Of this kind,
    pub kind: Kind,
    /// and in this scope,
    pub scope: Scope,
    /// this has happened.
    pub change: Change,
}

/// What has happened.
#[derive(Debug)]
pub enum Change {
    /// An object exists and looks like this now.
    Applied(Box<Facts>),
    /// A probe has killed a container.
    Killed(ProbeKill),
    /// An object has been deleted.
    Deleted(String),
    /// A list is complete and held these uids and no others.
    Listed(HashSet<String>),
    /// The API server does not let us; it is asked again with a growing delay.
    Refused,
}

/// Watches every kind in every scope, for ever, also where there is no scope.
///
/// Errors are logged and tried again with a growing delay. Nothing is read ahead of the caller, so
/// that a slow caller slows the API server and not the memory.
pub fn watch(client: &Client, scopes: &[Scope]) -> impl Stream<Item = Signal> + Send + use<> {
    let watches = scopes.iter().flat_map(|scope| {
        Kind::ALL
            .into_iter()
            .map(|kind| watch_one(client, kind, scope.clone()))
    });
    stream::select_all(watches.collect::<Vec<_>>()).chain(stream::pending())
}

fn watch_one(client: &Client, kind: Kind, scope: Scope) -> BoxStream<'static, Signal> {
    match kind {
        Kind::Pod => watch_kind::<core::Pod>(client, kind, scope),
        Kind::ReplicaSet => watch_kind::<ReplicaSet>(client, kind, scope),
        Kind::Deployment => watch_kind::<Deployment>(client, kind, scope),
        Kind::Job => watch_kind::<batch::Job>(client, kind, scope),
        Kind::Event => watch_kind::<core::Event>(client, kind, scope),
    }
}

/// A kind that facts are read from.
trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    const FIELDS: Option<&'static str> = None;

    fn read(&self) -> Option<Change>;
}

fn applied(facts: Facts) -> Change {
    Change::Applied(Box::new(facts))
}

impl Watched for core::Pod {
    fn read(&self) -> Option<Change> {
        Some(applied(Facts::Pod(Pod::read(self))))
    }
}

impl Watched for ReplicaSet {
    fn read(&self) -> Option<Change> {
        Some(applied(Facts::Workload(Workload::read_replica_set(self))))
    }
}

impl Watched for Deployment {
    fn read(&self) -> Option<Change> {
        Some(applied(Facts::Workload(Workload::read_deployment(self))))
    }
}

impl Watched for batch::Job {
    fn read(&self) -> Option<Change> {
        Some(applied(Facts::Job(Job::read(self))))
    }
}

impl Watched for core::Event {
    const FIELDS: Option<&'static str> = Some(KILLS);

    fn read(&self) -> Option<Change> {
        ProbeKill::read(self).map(Change::Killed)
    }
}

/// Reads one object; of one that cannot be decoded only the metadata, with a warning.
fn read<K: Watched>(kind: Kind, object: &DeserializeGuard<K>) -> Option<Change> {
    match &object.0 {
        Ok(object) => object.read(),
        Err(invalid) => {
            let head = Head::read(kind, &invalid.metadata);
            let object = &head.object;
            warn!(
                kind = kind.as_str(),
                namespace = object.namespace,
                name = object.name,
                uid = object.uid,
                "an object could not be decoded; it is not judged"
            );
            debug!(uid = object.uid, error = %invalid.error, "why it could not be decoded");
            (kind != Kind::Event).then(|| applied(Facts::Unreadable(Unreadable { head })))
        }
    }
}

fn api<K: Watched>(client: &Client, scope: &Scope) -> Api<DeserializeGuard<K>> {
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn watch_kind<K: Watched>(client: &Client, kind: Kind, scope: Scope) -> BoxStream<'static, Signal> {
    let config = watcher::Config {
        field_selector: K::FIELDS.map(str::to_owned),
        ..watcher::Config::default()
    };
    let mut seen = HashSet::new();
    let events = watcher(api::<K>(client, &scope), config.page_size(PAGE)).default_backoff();
    let signals = events.filter_map(move |event| {
        let change = translate(kind, &scope, &mut seen, event);
        let signal = change.map(|change| Signal {
            kind,
            scope: scope.clone(),
            change,
        });
        futures::future::ready(signal)
    });
    signals.boxed()
}

fn translate<K: Watched>(
    kind: Kind,
    scope: &Scope,
    seen: &mut HashSet<String>,
    event: Result<watcher::Event<DeserializeGuard<K>>, watcher::Error>,
) -> Option<Change> {
    match event {
        Ok(watcher::Event::Init) => {
            seen.clear();
            None
        }
        Ok(watcher::Event::InitApply(object)) => {
            seen.extend(object.meta().uid.clone());
            read(kind, &object)
        }
        Ok(watcher::Event::InitDone) => Some(Change::Listed(std::mem::take(seen))),
        Ok(watcher::Event::Apply(object)) => read(kind, &object),
        Ok(watcher::Event::Delete(object)) => object.meta().uid.clone().map(Change::Deleted),
        Err(error) if is_refused(&error) => Some(Change::Refused),
        Err(error) => {
            let namespace = scope.as_deref().unwrap_or("*");
            warn!(
                kind = kind.as_str(),
                namespace,
                error = chain(&error),
                "a watch was interrupted; it is tried again"
            );
            None
        }
    }
}

fn is_refused(error: &watcher::Error) -> bool {
    let is_refusal = |status: &Status| matches!(status.code, 403 | 404);
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => is_refusal(status),
        _ => false,
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Lists one kind in one scope once.
pub async fn list(
    client: &Client,
    kind: Kind,
    scope: &Scope,
) -> Result<Option<Vec<Change>>, KubernetesError> {
    match kind {
        Kind::Pod => list_kind::<core::Pod>(client, kind, scope).await,
        Kind::ReplicaSet => list_kind::<ReplicaSet>(client, kind, scope).await,
        Kind::Deployment => list_kind::<Deployment>(client, kind, scope).await,
        Kind::Job => list_kind::<batch::Job>(client, kind, scope).await,
        Kind::Event => list_kind::<core::Event>(client, kind, scope).await,
    }
}

/// None when the API server refuses.
async fn list_kind<K: Watched>(
    client: &Client,
    kind: Kind,
    scope: &Scope,
) -> Result<Option<Vec<Change>>, KubernetesError> {
    let api = api::<K>(client, scope);
    let mut parameters = ListParams {
        field_selector: K::FIELDS.map(str::to_owned),
        ..ListParams::default()
    }
    .limit(PAGE);
    let mut changes = Vec::new();
    loop {
        let page = match api.list(&parameters).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => return Ok(None),
            Err(source) => {
                return Err(KubernetesError::List {
                    kind: kind.as_str(),
                    source: Box::new(source),
                });
            }
        };
        changes.extend(page.items.iter().filter_map(|object| read(kind, object)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(Some(changes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn events(objects: &[Value]) -> Vec<Change> {
        let mut seen = HashSet::new();
        let listed = objects.iter().map(|object| {
            watcher::Event::InitApply(serde_json::from_value(object.clone()).unwrap())
        });
        let events = std::iter::once(watcher::Event::Init)
            .chain(listed)
            .chain([watcher::Event::InitDone]);
        let mut translate = |event| translate::<core::Pod>(Kind::Pod, &None, &mut seen, Ok(event));
        events.filter_map(&mut translate).collect()
    }

    #[test]
    fn a_list_survives_an_object_that_cannot_be_decoded() {
        let pod = |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec});
        let changes = events(&[
            pod("odd", json!({"containers": "none"})),
            pod("sound", json!({"containers": []})),
        ]);
        let [
            Change::Applied(odd),
            Change::Applied(sound),
            Change::Listed(seen),
        ] = &changes[..]
        else {
            panic!("{changes:?}");
        };
        assert!(matches!(**odd, Facts::Unreadable(_)));
        assert_eq!(odd.head().object.name, "odd");
        assert!(matches!(**sound, Facts::Pod(_)));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn only_a_refusal_counts_as_one() {
        let status = |code: u16| {
            let status = Status {
                code,
                ..Status::default()
            };
            watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
        };
        assert!(is_refused(&status(403)) && is_refused(&status(404)));
        for code in [401, 410, 429, 500, 503] {
            assert!(!is_refused(&status(code)), "{code}");
        }
        let expired = Status {
            code: 410,
            ..Status::default()
        };
        assert!(!is_refused(&watcher::Error::WatchError(expired.boxed())));
    }
}
