//! What KEDA is told, held to the table of consumers. KEDA itself is not on the test cluster.

use std::collections::BTreeSet;

use bonesetter_chassis::topology::{ACTUATOR_VERIFY, CONSUMERS, ConsumerSpec, PIPELINE_ACCOUNT};
use bonesetter_deploy::read_file;

use crate::workloads::{WORKLOADS, find, folder, items};

#[test]
fn every_consumer_that_waits_for_a_replica_scales_its_own_service() {
    let mut scaled = BTreeSet::new();
    for object in read_file(&folder().join("optional/keda.yaml")).unwrap() {
        assert_eq!(object.kind(), "ScaledObject");
        let target = object.at("/spec/scaleTargetRef/name").as_str().unwrap();
        assert!(WORKLOADS.contains(&target), "{target}");
        let strategy = find("Deployment", target);
        let strategy = strategy.at("/spec/strategy/type").as_str();
        assert_ne!(strategy, Some("Recreate"), "{target} cannot have two");
        assert!(object.at("/spec/minReplicaCount").as_u64() >= Some(1));
        assert!(object.at("/spec/fallback/replicas").as_u64() >= Some(1));
        for trigger in items(object.at("/spec/triggers")) {
            assert_eq!(trigger["type"], "nats-jetstream");
            let metadata = &trigger["metadata"];
            assert_eq!(metadata["account"], PIPELINE_ACCOUNT);
            // The scaler reads every value as a string.
            let threshold: Result<u32, _> = metadata["lagThreshold"].as_str().unwrap().parse();
            assert!(threshold.is_ok_and(|it| it > 0), "{trigger}");
            let consumer = CONSUMERS
                .iter()
                .find(|consumer| metadata["consumer"] == consumer.name)
                .unwrap_or_else(|| panic!("{trigger}"));
            assert_eq!(metadata["stream"], consumer.stream.name);
            assert_eq!(consumer.user, target);
            assert!(scaled.insert(consumer.name), "{trigger} twice");
        }
    }
    // A message that is given back until a workload, a receiver or the database is ready counts as lag.
    let waits_for_others = |it: &ConsumerSpec| {
        *it == ACTUATOR_VERIFY || ["svc-notifier", "svc-audit"].contains(&it.user)
    };
    let expected: BTreeSet<_> = CONSUMERS
        .iter()
        .filter(|it| !waits_for_others(it))
        .map(|consumer| consumer.name)
        .collect();
    assert_eq!(scaled, expected);
}
