use std::fs;

use bonesetter_demo::scenario::{Ending, SCENARIOS};
use bonesetter_keys::WebhookKeys;
use serde_json::Value;

use crate::Outcome;

/// Every incident was told once, with cause and suggestion, and followed up where something was done.
pub(crate) fn every_incident_was_told(outcome: &Outcome) {
    let webhook = outcome.receiver.received("/webhook");
    let bodies: Vec<Value> = webhook
        .iter()
        .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
        .filter(|body: &Value| body["resolution"]["reason"] != "GONE")
        .collect();
    for scenario in SCENARIOS {
        let own: Vec<&Value> = bodies
            .iter()
            .filter(|body| body["incident"]["name"] == scenario.workload)
            .collect();
        let first = own.iter().filter(|body| body["first"] == true).count();
        if scenario.ending == Ending::Silence {
            assert!(own.is_empty(), "{}: {own:?}", scenario.workload);
            continue;
        }
        assert_eq!(first, 1, "{}: told {first} times", scenario.workload);
        let told = own
            .iter()
            .find(|body| body["first"] == true)
            .expect("counted");
        let cause = told["diagnosis"]["root_cause"]
            .as_str()
            .unwrap_or_default()
            .to_lowercase();
        for word in scenario.cause_mentions {
            assert!(
                cause.contains(&word.to_lowercase()),
                "{}: {cause}",
                scenario.workload
            );
        }
        let kinds: Vec<&str> = own
            .iter()
            .filter_map(|body| body["kind"].as_str())
            .collect();
        if scenario.ending.is_mended() {
            for kind in ["applied", "verified", "resolved"] {
                assert!(kinds.contains(&kind), "{}: {kinds:?}", scenario.workload);
            }
        } else {
            assert_eq!(kinds, ["incident"], "{}", scenario.workload);
        }
    }
    let slack = outcome.receiver.received("/slack");
    assert_eq!(
        slack.len(),
        webhook.len(),
        "both channels are told the same"
    );
    for request in slack {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert!(
            body["blocks"]
                .as_array()
                .is_some_and(|blocks| !blocks.is_empty()),
            "{body}"
        );
    }
    deliveries_are_signed_and_can_be_told_apart(outcome);
}

fn deliveries_are_signed_and_can_be_told_apart(outcome: &Outcome) {
    let keys = WebhookKeys::read(&outcome.environment.keys.webhook()).expect("the webhook's key");
    let mut seen = std::collections::BTreeSet::new();
    for request in outcome.receiver.received("/webhook") {
        let signature = request.headers.get("bonesetter-signature").expect("signed");
        let now = bonesetter_chassis::clock::Clock::system().now();
        let tolerance = std::time::Duration::from_mins(10);
        keys.verify(signature, &request.body, now, tolerance)
            .expect("a signature that fits");
        let key = request
            .headers
            .get("idempotency-key")
            .expect("a key")
            .clone();
        assert!(seen.insert(key.clone()), "{key} was used twice");
    }
    assert!(fs::exists(outcome.environment.keys.webhook()).expect("readable"));
}
