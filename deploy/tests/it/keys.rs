//! Who holds which key, and that each file that a configuration names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_proto::Writer;
use serde_json::Value;

use crate::workloads::{WORKLOADS, find, folder, items, run};

/// The keys of each; nothing more may be mounted.
const HOLDERS: [(&str, &[&str]); 12] = [
    ("svc-watcher", &["nats.nk", "signing.key"]),
    ("svc-enricher", &["nats.nk", "evidence.key", "digest.key"]),
    (
        "svc-redactor",
        &["nats.nk", "signing.key", "evidence.key", "digest.key"],
    ),
    ("svc-llm", &["nats.nk", "signing.key"]),
    (
        "svc-actuator",
        &["nats.nk", "signing.key", "digest.key", "inverse.key"],
    ),
    ("svc-notifier", &["nats.nk", "webhook.key"]),
    ("svc-notifier-publish", &["nats.nk", "signing.key"]),
    ("svc-audit", &["nats.nk"]),
    ("svc-audit-export", &["nats.nk"]),
    ("svc-audit-sweep", &["nats.nk", "signing.key"]),
    ("keeper", &["nats.nk"]),
    ("svc-audit-serve", &[]),
];

/// Every file of a pod by its path, and the Secret or ConfigMap that it comes from.
fn files(name: &str) -> BTreeMap<String, String> {
    let deployment = find("Deployment", name);
    let pod = deployment.at("/spec/template/spec");
    let mut files = BTreeMap::new();
    for mount in items(&pod["containers"][0]["volumeMounts"]) {
        let folder = mount["mountPath"].as_str().unwrap();
        let volume = items(&pod["volumes"])
            .find(|volume| volume["name"] == mount["name"])
            .unwrap();
        if let Some(secret) = volume.get("secret") {
            assert_eq!(secret["defaultMode"], 0o440, "{name}: {volume}");
            for item in items(&secret["items"]) {
                assert_eq!(item["key"], item["path"]);
                let path = format!("{folder}/{}", item["path"].as_str().unwrap());
                files.insert(path, secret["secretName"].as_str().unwrap().to_owned());
            }
            assert!(
                secret["items"].is_array(),
                "{name}: everything would be mounted"
            );
        } else {
            let map = volume["configMap"]["name"].as_str().unwrap();
            files.insert(folder.to_owned(), map.to_owned());
        }
    }
    files
}

#[test]
fn each_service_holds_its_own_keys_and_no_others() {
    for (name, keys) in HOLDERS {
        let expected: BTreeSet<String> = keys
            .iter()
            .map(|key| format!("/etc/bonesetter/keys/{key}"))
            .collect();
        let found: BTreeSet<String> = files(name)
            .into_keys()
            .filter(|path| path.starts_with("/etc/bonesetter/keys/"))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_secret_belongs_to_one_workload() {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for name in WORKLOADS {
        let of_maps = ["bonesetter-trusted", name];
        let secrets: BTreeSet<String> = files(name)
            .into_values()
            .filter(|source| !of_maps.contains(&source.as_str()))
            .collect();
        for secret in secrets {
            assert!(
                secret.starts_with(&format!("{name}-")),
                "{name} mounts {secret}"
            );
            let other = owners.insert(secret.clone(), name);
            assert_eq!(other, None, "{secret} is shared");
        }
    }
}

#[test]
fn every_file_that_a_configuration_names_is_mounted() {
    for name in WORKLOADS {
        let files = files(name);
        let config = crate::settings::merged(name);
        let mut paths = Vec::new();
        collect_paths(&config, &mut paths);
        if config.get("nats").is_some() {
            paths.push("/etc/bonesetter/keys/nats.nk".to_owned());
        }
        for path in paths {
            assert!(files.contains_key(&path), "{name} lacks {path}");
        }
    }
}

fn collect_paths(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("/etc/") => paths.push(text.clone()),
        Value::Object(map) => map.values().for_each(|value| collect_paths(value, paths)),
        Value::Array(list) => list.iter().for_each(|value| collect_paths(value, paths)),
        _ => {}
    }
}

#[test]
fn the_script_prints_exactly_the_keys_that_are_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let users: Vec<&str> = bonesetter_chassis::topology::USERS
        .iter()
        .map(|user| user.name)
        .collect();
    let set = bonesetter_keys::init(&keys, &users).unwrap();
    let mut script = Command::new(folder().join("secrets.sh"));
    let printed = run(script.arg(&keys), "");
    let file = dir.path().join("secrets.yaml");
    std::fs::write(&file, printed).unwrap();
    let mut printed = BTreeMap::new();
    for object in bonesetter_deploy::read_file(&file).unwrap() {
        let data = object.at("/data").as_object().unwrap();
        let names: BTreeSet<String> = data.keys().cloned().collect();
        assert_eq!(object.at("/metadata/namespace"), "bonesetter-system");
        if let Some(seed) = data.get("nats.nk") {
            // Each is a user of the bus of its own.
            let user = object.name().strip_suffix("-keys").unwrap();
            let own = std::fs::read(set.nkey_seed(user)).unwrap();
            assert_eq!(seed, &STANDARD.encode(own), "{user}");
        }
        printed.insert(object.name().to_owned(), names);
    }
    let trusted = printed.remove("bonesetter-trusted").unwrap();
    let writers = Writer::ALL.map(|writer| format!("{}.pub", writer.service()));
    assert_eq!(trusted, writers.into());
    for (name, keys) in HOLDERS {
        let found = printed.remove(&format!("{name}-keys"));
        let found = found.unwrap_or_default();
        let expected: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(found, expected, "{name}");
    }
    assert!(printed.is_empty(), "{printed:?}");
}
