use std::fs;

use bonesetter_chassis::config::NatsSettings;
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::service::{About, Service};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_away_is_waited_for() {
    let mut bed = Bed::start().await;
    bed.nats.kill();
    let readiness = Readiness::default();
    let starting = Service::start(
        About {
            name: "svc-watcher",
            version: "0",
            modes: &[],
        },
        bed.common("svc-watcher"),
        "test",
        CancellationToken::new(),
        readiness.clone(),
        Metrics::default(),
    );
    let starting = tokio::spawn(starting);
    while readiness.missing() != ["nats"] {
        tokio::task::yield_now().await;
    }
    bed.nats.restart().await.unwrap();
    starting
        .await
        .unwrap()
        .expect("connected after the server came back");
    assert!(readiness.missing().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_refuses_us_is_an_error_that_says_what_to_do() {
    let bed = Bed::start().await;
    let stranger = tempfile::tempdir().unwrap();
    let keys = bonesetter_keys::init(stranger.path(), &["svc-watcher"]).unwrap();
    let mut common = bed.common("svc-watcher");
    common.nats = NatsSettings {
        nkey_file: keys.nkey_seed("svc-watcher"),
        ..common.nats
    };
    let error = format!("{:#}", start("svc-watcher", common).await.unwrap_err());
    assert!(error.contains("check nats.url"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_cannot_be_read_names_its_file() {
    let bed = Bed::start_bare().await;
    let mut common = bed.common("svc-watcher");
    common.nats.nkey_file = "/nonexistent/seed".into();
    let error = format!("{:#}", start("svc-watcher", common).await.unwrap_err());
    assert!(
        error.contains("nats.nkey_file") && error.contains("/nonexistent/seed"),
        "{error}"
    );
    let dir = tempfile::tempdir().unwrap();
    let mut common = bed.common("svc-watcher");
    common.nats.nkey_file = dir.path().join("seed");
    fs::write(dir.path().join("seed"), "not a seed").unwrap();
    let error = format!("{:#}", start("svc-watcher", common).await.unwrap_err());
    assert!(
        error.contains("nats.nkey_file") && !error.contains("not a seed"),
        "{error}"
    );
    let mut common = bed.common("svc-llm");
    common.keys.signing_file = Some(dir.path().join("k"));
    fs::write(dir.path().join("k"), "not a key").unwrap();
    let error = format!("{:#}", start("svc-llm", common).await.unwrap_err());
    assert!(
        error.contains("keys.signing_file") && !error.contains("not a key"),
        "{error}"
    );
}
