//! One look at a cluster, without bus, memory or waiting.

use bonesetter_proto::v1::{Detected, Phase};
use jiff::Timestamp;
use kube::Client;

use crate::coverage::{Coverage, Scope};
use crate::detect::Thresholds;
use crate::episode::{Presence, describe, failing_objects};
use crate::facts::Kind;
use crate::index::Index;
use crate::kubernetes::{Change, KubernetesError, list};
use crate::namespaces::Namespaces;
use crate::observe::{Verdict, observe};
use crate::record::{Class, Episode};

/// What one look at a cluster showed.
#[derive(Debug, Clone)]
pub struct Scan {
    /// One message per failing root owner, as svc-watcher would publish it at `open` of its first
    /// episode, without envelope; sorted by namespace, kind and name.
    pub findings: Vec<Detected>,
    /// Kinds that the credentials may not list, for example `ReplicaSet in shop`.
    pub not_watched: Vec<String>,
    /// Objects that were looked at.
    pub objects: usize,
}

/// Lists everything once and judges it like svc-watcher does, without waiting whether it lasts.
pub async fn scan(
    client: &Client,
    cluster: &str,
    namespaces: &Namespaces,
    thresholds: &Thresholds,
    now: Timestamp,
) -> Result<Scan, KubernetesError> {
    let scopes = namespaces.scopes();
    let mut coverage = Coverage::of(&scopes);
    let mut index = Index::default();
    for kind in Kind::ALL {
        for scope in &scopes {
            read_list(client, kind, scope, namespaces, &mut coverage, &mut index).await?;
        }
    }
    let mut verdicts: Vec<Verdict> = (index.roots().into_iter())
        .map(|owner| observe(&index, &coverage, owner, now, thresholds))
        .filter(|verdict| {
            let is_leaving = verdict.presence == Presence::Leaving;
            !is_leaving && !verdict.assessment.findings.is_empty()
        })
        .collect();
    verdicts.sort_by(|a, b| {
        let key = |it: &Verdict| (it.owner.namespace.clone(), it.owner.kind.clone());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.owner.name.cmp(&b.owner.name))
    });
    let findings = verdicts
        .iter()
        .filter_map(|verdict| message(cluster, verdict, now))
        .collect();
    Ok(Scan {
        findings,
        not_watched: coverage.refused(),
        objects: index.len(),
    })
}

async fn read_list(
    client: &Client,
    kind: Kind,
    scope: &Scope,
    namespaces: &Namespaces,
    coverage: &mut Coverage,
    index: &mut Index,
) -> Result<(), KubernetesError> {
    let Some(changes) = list(client, kind, scope).await? else {
        coverage.refuse(kind, scope);
        return Ok(());
    };
    coverage.complete(kind, scope);
    for change in changes {
        match change {
            Change::Applied(facts) if namespaces.is_watched(&facts.head().object.namespace) => {
                index.apply(*facts);
            }
            Change::Killed(kill) => {
                index.kill(kill);
            }
            _ => {}
        }
    }
    Ok(())
}

fn message(cluster: &str, verdict: &Verdict, now: Timestamp) -> Option<Detected> {
    let findings = &verdict.assessment.findings;
    let class = Class(findings.first()?.class);
    let episode = Episode {
        number: 1,
        opened: now,
        class,
        classes: std::iter::once(class).collect(),
        failing_objects: failing_objects(findings),
        updates: 0,
        reclassifications: 0,
        told: now,
        end: None,
    };
    let message = describe(cluster, &verdict.owner, &episode, findings);
    Some(Detected {
        phase: Phase::Open.into(),
        ..message
    })
}
