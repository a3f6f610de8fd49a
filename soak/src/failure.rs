//! The failures themselves: workloads of the demo's kinds, one after the other, each under a name of
//! its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use bonesetter_demo::cluster::{Cluster, wait_until};
use bonesetter_demo::scenario::{Ending, SCENARIOS, Scenario, Variables};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ObjectMeta};
use serde_json::Value;

/// How long the cluster may be away.
const LIMIT: Duration = Duration::from_mins(5);
/// How long one attempt may take: a paused API server does not answer at all. Waiting until a
/// workload is available is one.
const ATTEMPT: Duration = Duration::from_mins(1);

/// A workload that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `Deployment` or `Job`.
    pub kind: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Generation of its object when it was broken.
    pub broken_generation: i64,
    /// Generation when it was last looked at.
    pub generation: i64,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// The demo's workloads that fail.
pub fn scenarios() -> Vec<&'static Scenario> {
    let fails = |scenario: &&Scenario| scenario.ending != Ending::Silence;
    SCENARIOS.iter().filter(fails).collect()
}

/// Breaks one workload, whatever happens to the cluster meanwhile.
pub async fn make(
    cluster: Cluster,
    scenario: &'static Scenario,
    variables: Variables,
    number: usize,
) -> anyhow::Result<Failure> {
    let name = format!("{}-{number}", scenario.workload);
    let revisions: Vec<Value> = variables
        .revisions(scenario)
        .iter()
        .map(|text| serde_saphyr::from_str::<Value>(text))
        .collect::<Result<_, _>>()?;
    let last = revisions.len().saturating_sub(1);
    for (place, mut revision) in revisions.into_iter().enumerate() {
        rename(&mut revision, scenario.workload, &name);
        persist(&format!("{name} is made"), async || {
            let namespace = Some(scenario.namespace);
            cluster.apply_object(revision.clone(), namespace).await
        })
        .await?;
        if place < last {
            persist(&format!("{name} is available"), async || {
                cluster.wait_available(scenario.namespace, &name).await
            })
            .await?;
        }
    }
    let metadata = metadata(&cluster, scenario.kind, scenario.namespace, &name).await?;
    let generation = metadata
        .generation
        .context("an object without generation")?;
    Ok(Failure {
        kind: scenario.kind.to_owned(),
        namespace: scenario.namespace.to_owned(),
        uid: metadata.uid.context("an object without uid")?,
        name,
        broken_generation: i64::try_from(last + 1)?,
        generation,
        is_removed: false,
    })
}

impl Failure {
    /// Looks at its object again.
    pub async fn refresh(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        if !self.is_removed {
            let metadata = metadata(cluster, &self.kind, &self.namespace, &self.name).await?;
            self.generation = metadata.generation.unwrap_or(self.generation);
        }
        Ok(())
    }

    /// Removes it, as somebody does who has read the notice.
    pub async fn remove(mut self, cluster: Cluster) -> anyhow::Result<Self> {
        self.refresh(&cluster).await?;
        let what = format!("{} is deleted", self.name);
        let objects = objects(&cluster, &self.kind, &self.namespace);
        persist(&what, async || {
            let parameters = DeleteParams::background();
            match objects.delete(&self.name, &parameters).await {
                // An earlier attempt, of which we did not hear.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => Ok(other.map(drop)?),
            }
        })
        .await?;
        self.is_removed = true;
        Ok(self)
    }

    /// Whether people were told all that needs a person, by the kinds of the notices about it: then
    /// somebody removes it.
    pub fn is_for_a_person(&self, kinds: &BTreeSet<String>, may_be_mended: bool) -> bool {
        let told = |kind: &str| kinds.contains(kind);
        let ended = told("resolved") || told("verified");
        let given_up = told("rolled-back") || told("attention");
        !self.is_removed && !ended && (given_up || (told("incident") && !may_be_mended))
    }
}

/// All objects of one of our two kinds in a namespace.
fn objects(cluster: &Cluster, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = match kind {
        "Job" => ApiResource::erase::<Job>(&()),
        _ => ApiResource::erase::<Deployment>(&()),
    };
    Api::namespaced_with(cluster.client(), namespace, &resource)
}

async fn metadata(
    cluster: &Cluster,
    kind: &str,
    namespace: &str,
    name: &str,
) -> anyhow::Result<ObjectMeta> {
    let objects = objects(cluster, kind, namespace);
    let what = format!("{name} is read");
    persist(&what, async || Ok(objects.get(name).await?.metadata)).await
}

/// Tries until it works; the cluster's API server is killed and paused all the time.
async fn persist<T>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut last = Err(anyhow::anyhow!("not tried"));
    let done = wait_until(LIMIT, what, async || {
        let attempted = tokio::time::timeout(ATTEMPT, attempt()).await;
        last = attempted.unwrap_or_else(|late| Err(late.into()));
        Ok(last.is_ok())
    });
    match (done.await, last) {
        (Ok(()), last) => last,
        (Err(late), Err(error)) => Err(late.context(format!("{error:#}"))),
        (Err(late), Ok(_)) => Err(late),
    }
}

/// Gives an object, its labels and its selectors another name.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Object(map) => map.values_mut().for_each(|value| rename(value, from, to)),
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, from, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_demo::run::OWN_IMAGE;
    use bonesetter_demo::scenario::Canaries;

    use super::*;

    #[test]
    fn a_renamed_workload_selects_its_own_pods() {
        let variables = Variables {
            image: OWN_IMAGE.to_owned(),
            pull_policy: "Never",
            canaries: Canaries::random(),
        };
        for scenario in scenarios() {
            let text = variables.revisions(scenario).remove(0);
            let mut object: Value = serde_saphyr::from_str(&text).unwrap();
            rename(&mut object, scenario.workload, "other-7");
            assert_eq!(object["metadata"]["name"], "other-7");
            let selector = &object["spec"]["selector"]["matchLabels"]["app"];
            let label = &object["spec"]["template"]["metadata"]["labels"]["app"];
            if scenario.kind == "Deployment" {
                assert_eq!((selector, label), (&Value::from("other-7"), selector));
            }
        }
    }

    #[test]
    fn a_person_removes_what_bonesetter_does_not_mend() {
        let failure = Failure {
            kind: "Deployment".to_owned(),
            namespace: "n".to_owned(),
            name: "a-1".to_owned(),
            uid: "u".to_owned(),
            broken_generation: 1,
            generation: 1,
            is_removed: false,
        };
        let cases: [(&[&str], bool, bool); 7] = [
            (&[], false, false),
            (&["incident"], false, true),
            (&["incident"], true, false),
            (&["applied"], false, false),
            (&["applied", "rolled-back"], true, true),
            (&["applied", "verified"], false, false),
            (&["incident", "resolved"], false, false),
        ];
        for (kinds, may_be_mended, expected) in cases {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let found = failure.is_for_a_person(&kinds, may_be_mended);
            assert_eq!(found, expected, "{kinds:?} {may_be_mended}");
        }
    }
}
