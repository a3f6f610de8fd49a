//! The ConfigMaps, read by the services' own code.

use std::path::Path;

use bonesetter_chassis::config::{Settings, load};
use serde_json::{Map, Value, json};
use svc_watcher::shards::lease_name;

use crate::workloads::{find, strings};

/// The configuration of a workload with what all of them share, as its process reads it.
pub(crate) fn merged(name: &str) -> Value {
    let map = find("ConfigMap", name);
    let text = map.at("/data/config.yaml").as_str().unwrap();
    let mut config: Map<String, Value> = serde_saphyr::from_str(text).unwrap();
    let common = find("ConfigMap", "bonesetter");
    config.insert("cluster".to_owned(), common.at("/data/cluster").clone());
    if let Some(nats) = config.get_mut("nats") {
        nats["url"] = common.at("/data/nats-url").clone();
    }
    config.insert(
        "telemetry".to_owned(),
        json!({"log": common.at("/data/log")}),
    );
    Value::Object(config)
}

/// Loads it, and says so if it is not valid.
fn check<S: Settings>(name: &str) -> S {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, merged(name).to_string()).unwrap();
    let (common, own) = load::<S>(Some(&file)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(common.health.listen.to_string(), "0.0.0.0:9464", "{name}");
    assert_eq!(
        common.nats.nkey_file,
        Path::new("/etc/bonesetter/keys/nats.nk")
    );
    own
}

#[test]
fn every_service_accepts_its_configuration() {
    let watcher = check::<svc_watcher::Config>("svc-watcher");
    let shards = watcher.sharding.shards;
    let replicas = find("Deployment", "svc-watcher");
    let replicas = replicas.at("/spec/replicas").as_u64().unwrap();
    assert!(
        (2..=u64::from(shards)).contains(&replicas),
        "each has a shard"
    );
    let role = find("Role", "bonesetter-watcher-leases");
    let named = strings(role.at("/rules/1/resourceNames"));
    let leases: Vec<_> = (0..shards).map(|it| lease_name(it, shards)).collect();
    assert_eq!(named, leases);
    check::<svc_enricher::config::Config>("svc-enricher");
    check::<svc_redactor::config::Config>("svc-redactor");
    let notifier = check::<svc_notifier::Config>("svc-notifier");
    assert!(notifier.has_channel());
    let publisher = check::<svc_notifier::Config>("svc-notifier-publish");
    assert!(!publisher.has_channel());
    let ledger = check::<svc_audit::Config>("svc-audit");
    assert_eq!(ledger.export, None);
    let archive = check::<svc_audit::Config>("svc-audit-export");
    assert!(archive.export.is_some());
    let sweeper = check::<svc_audit::Config>("svc-audit-sweep");
    assert_eq!(sweeper.export, None);
    let keeper = check::<svc_audit::Config>("keeper");
    assert_eq!(keeper.export, None);
    let serve = check::<svc_audit::Config>("svc-audit-serve").serve.unwrap();
    assert!(
        serve.readers.is_empty(),
        "nobody reads unless somebody says so"
    );
}

#[test]
fn nothing_is_changed_and_no_model_is_asked_unless_somebody_says_so() {
    let actuator = check::<svc_actuator::Config>("svc-actuator");
    assert_eq!(actuator.mode, svc_actuator::policy::Mode::Suggest);
    assert!(actuator.auto_apply_namespaces.is_empty());
    let llm = check::<svc_llm::config::Config>("svc-llm");
    assert_eq!(llm.provider, svc_llm::config::Provider::Rules);
}

#[test]
fn some_workloads_are_the_program_of_another_in_a_mode() {
    let arguments = |name: &str| {
        let deployment = find("Deployment", name);
        let container = deployment.at("/spec/template/spec/containers/0");
        (container["image"].clone(), container["args"].clone())
    };
    let config = ["--config", "/etc/bonesetter/config/config.yaml"];
    let image = json!("bonesetter/svc-audit:0.1.0");
    assert_eq!(arguments("svc-audit"), (image.clone(), json!(config)));
    let export = json!([svc_audit::EXPORT, config[0], config[1]]);
    assert_eq!(arguments("svc-audit-export"), (image.clone(), export));
    let sweep = json!([svc_audit::SWEEP, config[0], config[1]]);
    assert_eq!(arguments("svc-audit-sweep"), (image.clone(), sweep));
    let keep = json!([svc_audit::KEEP, config[0], config[1]]);
    assert_eq!(arguments("keeper"), (image.clone(), keep));
    let serve = json!([svc_audit::SERVE, config[0], config[1]]);
    assert_eq!(arguments("svc-audit-serve"), (image, serve));
    let image = json!("bonesetter/svc-notifier:0.1.0");
    assert_eq!(arguments("svc-notifier"), (image.clone(), json!(config)));
    let publish = json!([svc_notifier::PUBLISH, config[0], config[1]]);
    assert_eq!(arguments("svc-notifier-publish"), (image, publish));
}
