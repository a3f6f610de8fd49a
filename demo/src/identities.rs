//! The accounts of the services in the cluster, and what is left of the demo there.
//!
//! They are those of the manifests that users install, under names of the demo's own: in a cluster
//! where Bonesetter is installed, nothing of it is touched, and everything of the demo can be removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::scenario::{AUTO_NAMESPACE, SUGGEST_NAMESPACE};

/// What begins a name in the manifests, and what begins it in the demo.
const PREFIXES: (&str, &str) = ("bonesetter-", "bonesetter-demo-");
/// Where the ServiceAccounts are.
const SYSTEM_NAMESPACE: &str = "bonesetter-demo-system";
/// Objects of the manifests that the services need when they run as plain processes, in the order
/// in which they are made.
const KINDS: [&str; 6] = [
    "Namespace",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// Makes accounts and roles, and a kubeconfig in `dir` for every service that talks to the cluster.
pub async fn make(
    cluster: &Cluster,
    kubeconfig: &Path,
    manifests: &Path,
    dir: &Path,
) -> anyhow::Result<Map<String, Value>> {
    let mut objects = Vec::new();
    for file in files(manifests)? {
        objects.extend(read(&file)?);
    }
    for kind in KINDS {
        for object in objects.iter().filter(|object| object["kind"] == kind) {
            cluster.apply_object(object.clone(), None).await?;
        }
    }
    for object in read(&manifests.join("actuator-namespace.yaml"))? {
        cluster.apply_object(object, Some(AUTO_NAMESPACE)).await?;
    }
    let accounts = bonesetter_testbed::cluster::Cluster::connect(kubeconfig).await?;
    let mut kubeconfigs = Map::new();
    for service in ["svc-watcher", "svc-enricher", "svc-actuator"] {
        let path = accounts
            .service_account_kubeconfig(SYSTEM_NAMESPACE, service, dir)
            .await?;
        kubeconfigs.insert(service.to_owned(), json!(path));
    }
    Ok(kubeconfigs)
}

/// Removes everything that the demo made in the cluster.
pub async fn remove(cluster: &Cluster) -> anyhow::Result<()> {
    for namespace in [SUGGEST_NAMESPACE, AUTO_NAMESPACE, SYSTEM_NAMESPACE] {
        cluster.delete_namespace(namespace).await?;
    }
    cluster.delete_cluster_roles(PREFIXES.1).await
}

/// The files of the kustomization.
fn files(manifests: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(manifests)
        .with_context(|| format!("cannot read {}", manifests.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter(|path| {
            !path.ends_with("actuator-namespace.yaml") && !path.ends_with("kustomization.yaml")
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The objects of a file, under the demo's names.
fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text)
        .with_context(|| format!("{} is not YAML", file.display()))?;
    objects.retain(|object| !object.is_null());
    objects.iter_mut().for_each(rename);
    Ok(objects)
}

/// Gives an object, and what it refers to, the demo's names.
fn rename(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(name) if key == "name" || key == "namespace" => {
                        if let Some(rest) = name.strip_prefix(PREFIXES.0) {
                            *name = format!("{}{rest}", PREFIXES.1);
                        }
                    }
                    other => rename(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(rename),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_a_name_of_an_installation() {
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
        let mut objects = read(&manifests.join("actuator-namespace.yaml")).unwrap();
        for file in files(&manifests).unwrap() {
            objects.extend(read(&file).unwrap());
        }
        objects.retain(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| KINDS.contains(&kind))
        });
        assert!(objects.len() > 12, "{}", objects.len());
        for object in objects {
            let metadata = &object["metadata"];
            let name = metadata["name"].as_str().unwrap();
            let is_own = |name: &str| name.starts_with(PREFIXES.1);
            match metadata["namespace"].as_str() {
                Some(namespace) => assert_eq!(namespace, SYSTEM_NAMESPACE),
                None => assert!(is_own(name), "{object}"),
            }
            if let Some(role) = object["roleRef"]["name"].as_str() {
                assert!(is_own(role), "{object}");
            }
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], SYSTEM_NAMESPACE, "{object}");
            }
        }
    }
}
