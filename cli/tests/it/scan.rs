use std::fs;

use bonesetter_testbed::State;
use serde_json::Value;

use crate::{bonesetter, stderr, stdout};

#[test]
fn a_bad_kubeconfig_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    fs::write(&path, "not: [a kubeconfig").unwrap();
    for path in [path.to_str().unwrap(), "/nonexistent/kubeconfig"] {
        let output = bonesetter(&["scan", "--kubeconfig", path], "");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(path), "{}", stderr(&output));
    }
}

#[test]
fn a_cluster_that_is_away_is_an_error_and_not_a_clean_bill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}]}"#;
    fs::write(&path, text).unwrap();
    let output = bonesetter(&["scan", "--kubeconfig", path.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot reach the cluster"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_namespace_without_failures_is_clean() {
    let state = State::load().expect("a testbed");
    let kubeconfig = state
        .kubeconfig()
        .expect("a cluster")
        .to_str()
        .unwrap()
        .to_owned();
    let arguments = [
        "scan",
        "--kubeconfig",
        &kubeconfig,
        "--namespace",
        "kube-public",
        "-o",
        "json",
    ];
    let output = bonesetter(&arguments, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        serde_json::from_str::<Value>(&stdout(&output)).unwrap(),
        Value::Array(Vec::new())
    );
}
