//! What is said when the cluster cannot be reached.

use std::path::Path;

use crate::bus::{TestBus, config};

#[tokio::test]
async fn a_missing_or_broken_kubeconfig_is_named() {
    let bus = TestBus::start().await;
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "clusters: [").unwrap();
    for path in [Path::new("/nonexistent/kubeconfig"), &broken] {
        let watcher = bus.watcher(config(path.to_owned(), "shop")).await;
        let error = format!("{:#}", watcher.ended().await.unwrap_err());
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("check `kubeconfig`"), "{error}");
    }
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for() {
    let bus = TestBus::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    // A port of the reserved range, on which nothing listens.
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {"token": "x"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}"#;
    std::fs::write(&path, text).unwrap();
    let watcher = bus.watcher(config(path, "shop")).await;
    crate::cluster::eventually("the watcher to wait", async || {
        (watcher.readiness.missing() == ["kubernetes"]).then_some(())
    })
    .await;
    watcher.stop().await;
}
