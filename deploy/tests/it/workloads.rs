//! The twelve processes of an installation, and where things are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bonesetter_deploy::{Object, read_folder};
use serde_json::Value;

/// Every Deployment; the archive job, the sweeper, the keeper and the read side are the program of svc-audit in other
/// modes, who publishes twins that of svc-notifier.
pub(crate) const WORKLOADS: [&str; 12] = [
    "svc-watcher",
    "svc-enricher",
    "svc-redactor",
    "svc-llm",
    "svc-actuator",
    "svc-notifier",
    "svc-notifier-publish",
    "svc-audit",
    "svc-audit-export",
    "svc-audit-sweep",
    "keeper",
    "svc-audit-serve",
];

/// Those that talk to the API server.
pub(crate) const API_CLIENTS: [&str; 3] = ["svc-watcher", "svc-enricher", "svc-actuator"];

/// The checkout.
pub(crate) fn root() -> PathBuf {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR"));
    deploy.parent().unwrap().to_owned()
}

/// The folder of the manifests.
pub(crate) fn folder() -> PathBuf {
    root().join("deploy/kubernetes")
}

/// Every object in it, without what is optional.
pub(crate) fn objects() -> Vec<Object> {
    read_folder(&folder()).unwrap()
}

/// The one object of that kind and name.
pub(crate) fn find(kind: &str, name: &str) -> Object {
    let objects = objects();
    let is_wanted = |object: &&Object| object.kind() == kind && object.name() == name;
    let found: Vec<_> = objects.iter().filter(is_wanted).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0].clone()
}

/// The items of a list.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The strings of a list.
pub(crate) fn strings(value: &Value) -> Vec<&str> {
    items(value).filter_map(Value::as_str).collect()
}

/// Runs a program, with some text for it to read, and returns what it printed.
pub(crate) fn run(command: &mut Command, input: &str) -> String {
    use std::io::Write as _;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    assert!(
        !errors.contains("Warning"),
        "{command:?} was warned: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}
