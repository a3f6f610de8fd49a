//! The eight failures of the demo, and their neighbours that must not be taken for them.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Diagnosis, Evidence, FailureClass, RollBack, SetMemory};
use serde_json::{Value, json};

use crate::case::Case;
use crate::fixture::{Fixture, crash_loop, waiting};
use crate::ground::{excerpts, ground, is_grounded};
use crate::rules::{CAUSES, diagnose, redacted};

const MIB: u64 = 1 << 20;

/// Diagnoses, and checks what holds for every diagnosis.
fn check(evidence: &Evidence, class: FailureClass) -> Diagnosis {
    let case = Case::over(evidence, class);
    let diagnosis = diagnose(&case);
    for citation in &diagnosis.citations {
        assert!(
            is_grounded(&case, citation),
            "not in the evidence: {citation:?}"
        );
    }
    assert!(!diagnosis.citations.is_empty(), "{diagnosis:?}");
    assert!(
        CAUSES.contains(&diagnosis.cause.as_str()),
        "{}",
        diagnosis.cause
    );
    assert_eq!(ground(&case, diagnosis.clone()), diagnosis);
    assert_eq!(diagnose(&case), diagnosis);
    redacted::check(evidence, class, &diagnosis);
    let shown = excerpts(evidence, &diagnosis.citations);
    assert!(
        diagnosis
            .citations
            .iter()
            .all(|cited| shown.iter().any(|item| item.id == cited.evidence_id))
    );
    for text in [
        &diagnosis.summary,
        &diagnosis.root_cause,
        &diagnosis.recommendation,
    ] {
        assert!(!text.is_empty() && !text.contains('{'), "{text}");
    }
    diagnosis
}

fn fix(diagnosis: &Diagnosis) -> Option<Fix> {
    diagnosis
        .remedy
        .as_ref()
        .and_then(|remedy| remedy.fix.clone())
}

fn roll_back(to_revision: i64) -> Fix {
    Fix::RollBack(RollBack { to_revision })
}

fn app(extra: &Value) -> Value {
    let mut container = json!({ "name": "app", "image": "localhost/faultbox:1" });
    if let (Some(container), Some(extra)) = (container.as_object_mut(), extra.as_object()) {
        container.extend(extra.clone());
    }
    container
}

const BAD_VALUE: &str = r#"2026-11-25T10:00:00.000Z FATAL config: key "pool_size": invalid value "ten": expected an integer"#;

fn bad_config_value() -> Fixture {
    let container = app(&json!({ "args": ["check-config", "--set", "pool_size=ten"] }));
    Fixture::deployment("orders", &container)
        .pod(&crash_loop("Error", 1))
        .replica_set(2)
        .event(
            "BackOff",
            "Back-off restarting failed container app in pod orders-6d9f-x1",
        )
        .log(
            true,
            &[
                "2026-11-25T10:00:00.000Z INFO  config: 1 settings given",
                BAD_VALUE,
            ],
        )
}

#[test]
fn a_bad_configuration_value_in_a_new_revision_is_rolled_back() {
    let fields = [(
        "/spec/containers/0/args/2",
        "\"pool_size=10\"",
        "\"pool_size=ten\"",
    )];
    let evidence = bad_config_value().rollout(1, 2, true, &fields).build();
    let diagnosis = check(&evidence, FailureClass::CrashLoopBackOff);
    assert_eq!(diagnosis.cause, "bad-config-value");
    let said = BAD_VALUE.trim_start_matches("2026-11-25T10:00:00.000Z ");
    assert!(diagnosis.summary.contains("pool_size"));
    assert!(
        diagnosis
            .root_cause
            .contains(&format!("{said}. The last rollout (revision 1 to 2)")),
        "{}",
        diagnosis.root_cause
    );
    assert_eq!(fix(&diagnosis), Some(roll_back(1)));
    assert!(diagnosis.confidence > 0.85, "{}", diagnosis.confidence);
    assert!(
        diagnosis
            .citations
            .iter()
            .any(|cited| cited.quote == BAD_VALUE)
    );
    assert!(
        diagnosis
            .citations
            .iter()
            .any(|cited| cited.quote == fields[0].0)
    );
}

#[test]
fn nothing_is_rolled_back_without_proof_that_it_would_help() {
    let fields = [(
        "/spec/containers/0/args/2",
        "\"pool_size=10\"",
        "\"pool_size=ten\"",
    )];
    let rolled_out = || bad_config_value().rollout(1, 2, true, &fields);
    for (why, evidence) in [
        ("no rollout is known", bad_config_value().build()),
        (
            "the earlier revision was not healthy",
            bad_config_value().rollout(1, 2, false, &fields).build(),
        ),
        (
            "another rollout has happened since",
            bad_config_value().rollout(1, 3, true, &fields).build(),
        ),
        (
            "there is no earlier revision",
            bad_config_value().rollout(0, 2, true, &fields).build(),
        ),
        (
            "nothing may be acted on",
            rolled_out().without_target().build(),
        ),
        (
            "the pod belongs to the old revision",
            Fixture::deployment("orders", &app(&json!({})))
                .pod(&crash_loop("Error", 1))
                .replica_set(1)
                .log(true, &[BAD_VALUE])
                .rollout(1, 2, true, &fields)
                .build(),
        ),
    ] {
        let diagnosis = check(&evidence, FailureClass::CrashLoopBackOff);
        assert_eq!(diagnosis.cause, "bad-config-value", "{why}");
        assert_eq!(fix(&diagnosis), None, "{why}");
    }
}

fn out_of_memory(limit: &str, end: &Value) -> Fixture {
    let container = app(&json!({ "resources": { "limits": { "memory": limit } } }));
    Fixture::deployment("cache", &container).pod(end)
}

#[test]
fn a_memory_limit_that_is_too_low_is_doubled_within_bounds() {
    let killed = crash_loop("OOMKilled", 137);
    let evidence = out_of_memory("64Mi", &killed)
        .log(true, &["warmed up 32 of 96 MiB"])
        .build();
    let diagnosis = check(&evidence, FailureClass::OomKilled);
    assert_eq!(diagnosis.cause, "memory-limit-too-low");
    let raised = SetMemory {
        container: "app".to_owned(),
        limit: 128 * MIB,
        request: 0,
    };
    assert_eq!(fix(&diagnosis), Some(Fix::SetMemory(raised)));
    assert!(diagnosis.confidence > 0.85 && diagnosis.summary.contains("64Mi"));
    // A node that is too small for it, or an init container, gets no remedy.
    let small = out_of_memory("64Mi", &killed)
        .node("n1", &[("memory", "100Mi")], &[])
        .build();
    assert_eq!(fix(&check(&small, FailureClass::OomKilled)), None);
}

#[test]
fn killed_for_memory_before_the_start_is_told_from_the_message() {
    let message = "failed to create containerd task: OCI runtime create failed: container init was OOM-killed (memory limit too low?)";
    let mut status = crash_loop("StartError", 128);
    status["lastState"]["terminated"]["message"] = json!(message);
    let evidence = out_of_memory("4Mi", &status).build();
    let diagnosis = check(&evidence, FailureClass::OomKilled);
    assert_eq!(diagnosis.cause, "memory-limit-too-low");
    assert!(
        matches!(fix(&diagnosis), Some(Fix::SetMemory(SetMemory { limit, .. })) if limit == 8 * MIB)
    );
}

#[test]
fn a_lowered_limit_is_put_back_by_rollback_if_that_was_all() {
    let limit = (
        "/spec/containers/0/resources/limits/memory",
        "\"128Mi\"",
        "\"64Mi\"",
    );
    let image = ("/spec/containers/0/image", "\"a:1\"", "\"a:2\"");
    let killed = crash_loop("OOMKilled", 137);
    let alone = out_of_memory("64Mi", &killed)
        .rollout(1, 2, true, &[limit])
        .build();
    assert_eq!(
        fix(&check(&alone, FailureClass::OomKilled)),
        Some(roll_back(1))
    );
    let with_more = out_of_memory("64Mi", &killed)
        .rollout(1, 2, true, &[limit, image])
        .build();
    let diagnosis = check(&with_more, FailureClass::OomKilled);
    assert!(
        matches!(fix(&diagnosis), Some(Fix::SetMemory(SetMemory { limit, .. })) if limit == 128 * MIB)
    );
}

#[test]
fn a_limit_that_something_rewrites_is_not_raised() {
    let container = app(&json!({ "resources": { "limits": { "memory": "128Mi" } } }));
    let pod = json!({
        "kind": "Pod",
        "spec": { "containers": [app(&json!({ "resources": { "limits": { "memory": "16Mi" } } }))] },
        "status": { "containerStatuses": [{ "name": "app", "restartCount": 2, "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }] },
    });
    let evidence = Fixture::deployment("cache", &container)
        .object("Pod", "p", &pod)
        .build();
    let diagnosis = check(&evidence, FailureClass::OomKilled);
    assert_eq!(
        (diagnosis.cause.as_str(), fix(&diagnosis)),
        ("memory-limit-too-low", None)
    );
    assert!(diagnosis.root_cause.contains("webhook"));
}

#[test]
fn an_image_that_cannot_be_pulled_after_a_rollout_is_rolled_back() {
    let image = "localhost/faultbox:does-not-exist";
    let fields = [(
        "/spec/containers/0/image",
        "\"localhost/faultbox:1\"",
        "\"localhost/faultbox:does-not-exist\"",
    )];
    for (reason, message, event, says) in [
        (
            "ErrImageNeverPull",
            "Container image \"localhost/faultbox:does-not-exist\" is not present with pull policy of Never",
            "",
            "pull policy is Never",
        ),
        (
            "ImagePullBackOff",
            "Back-off pulling image \"localhost/faultbox:does-not-exist\"",
            "Failed to pull image \"localhost/faultbox:does-not-exist\": rpc error: code = NotFound desc = failed to pull and unpack image: not found",
            "no such image or tag",
        ),
        (
            "ErrImagePull",
            "failed to pull and unpack image: pull access denied, repository does not exist or may require authorization: insufficient_scope: authorization failed",
            "",
            "refuses access",
        ),
        (
            "ImagePullBackOff",
            "Back-off pulling image \"localhost/faultbox:does-not-exist\": ErrImagePull: dial tcp 127.0.0.1:443: connect: connection refused",
            "",
            "cannot be reached",
        ),
        (
            "InvalidImageName",
            "Failed to apply default image tag \"FaultBox:V1\": couldn't parse image name: invalid reference format: repository name must be lowercase",
            "",
            "not a valid image reference",
        ),
    ] {
        let fixture = Fixture::deployment("web", &app(&json!({ "image": image })))
            .pod(&waiting(reason, message));
        let fixture = if event.is_empty() {
            fixture
        } else {
            fixture.event("Failed", event)
        };
        let since = check(
            &fixture.clone().rollout(1, 2, true, &fields).build(),
            FailureClass::ImagePull,
        );
        assert_eq!(since.cause, "image-pull-after-rollout", "{message}");
        assert_eq!(fix(&since), Some(roll_back(1)));
        assert!(
            since.summary.contains(says) && since.summary.contains(image),
            "{}",
            since.summary
        );
        let first = check(&fixture.build(), FailureClass::ImagePull);
        assert_eq!(
            (first.cause.as_str(), fix(&first)),
            ("image-cannot-be-pulled", None)
        );
    }
}

#[test]
fn a_config_map_that_does_not_exist_is_named_by_the_field_that_refers_to_it() {
    let message = "configmap \"<configmap:k3f9q2>\" not found";
    let env_from = json!({ "envFrom": [{ "configMapRef": { "name": "<configmap:k3f9q2>" } }] });
    let fixture = Fixture::deployment("web", &app(&env_from))
        .pod(&waiting("CreateContainerConfigError", message))
        .event(
            "Failed",
            "Error: configmap \"<configmap:k3f9q2>\" not found",
        );
    let diagnosis = check(
        &fixture.clone().build(),
        FailureClass::CreateContainerConfigError,
    );
    assert_eq!(
        (diagnosis.cause.as_str(), fix(&diagnosis)),
        ("missing-config-map", None)
    );
    let pointer = "/spec/containers/0/envFrom/0/configMapRef/name";
    assert!(
        diagnosis
            .citations
            .iter()
            .any(|cited| cited.quote == pointer),
        "{:?}",
        diagnosis.citations
    );
    assert!(diagnosis.confidence > 0.85);
    let fields = [(
        "/spec/containers/0/envFrom/0/configMapRef/name",
        "",
        "\"<configmap:k3f9q2>\"",
    )];
    let since = check(
        &fixture.rollout(1, 2, true, &fields).build(),
        FailureClass::CreateContainerConfigError,
    );
    assert_eq!(
        (since.cause.as_str(), fix(&since)),
        ("missing-config-map", Some(roll_back(1)))
    );
}

#[test]
fn secrets_and_keys_are_told_from_config_maps() {
    for (message, cause) in [
        (
            "secret \"<secret-name:abcdef>\" not found",
            "missing-secret",
        ),
        (
            "couldn't find key level in ConfigMap shop/<configmap:abcdef>",
            "missing-config-map-key",
        ),
        (
            "couldn't find key level in Secret shop/<secret-name:abcdef>",
            "missing-secret-key",
        ),
    ] {
        let fixture = Fixture::deployment("web", &app(&json!({})))
            .pod(&waiting("CreateContainerConfigError", message));
        let diagnosis = check(&fixture.build(), FailureClass::CreateContainerConfigError);
        assert_eq!(diagnosis.cause, cause);
    }
}

fn wrong_port() -> Fixture {
    let probe = json!({
        "ports": [{ "containerPort": 8080 }],
        "livenessProbe": { "httpGet": { "path": "/healthz", "port": 9999 }, "periodSeconds": 2 },
    });
    let status = json!({
        "ready": false,
        "restartCount": 3,
        "state": { "running": { "startedAt": "2026-11-25T10:00:00Z" } },
        "lastState": { "terminated": { "reason": "Error", "exitCode": 143 } },
    });
    let listening = "2026-11-25T10:00:00.000Z INFO  server: listening on 0.0.0.0:8080";
    Fixture::deployment("api", &app(&probe))
        .pod(&status)
        .event("Unhealthy", "Liveness probe failed: Get \"http://10.244.0.9:9999/healthz\": dial tcp 10.244.0.9:9999: connect: connection refused")
        .event("Killing", "Container app failed liveness probe, will be restarted")
        .log(true, &[listening])
}

#[test]
fn a_liveness_probe_on_the_wrong_port_is_seen_from_port_log_and_kills() {
    let diagnosis = check(&wrong_port().build(), FailureClass::ProbeKill);
    assert_eq!(
        (diagnosis.cause.as_str(), fix(&diagnosis)),
        ("liveness-probe-wrong-port", None)
    );
    assert!(diagnosis.summary.contains("9999") && diagnosis.summary.contains("8080"));
    assert!(diagnosis.confidence > 0.9, "{}", diagnosis.confidence);
    let pointer = "/spec/containers/0/livenessProbe/httpGet/port";
    assert!(
        diagnosis
            .citations
            .iter()
            .any(|cited| cited.quote == pointer)
    );
    let fields = [(pointer, "8080", "9999")];
    let since = check(
        &wrong_port().rollout(1, 2, true, &fields).build(),
        FailureClass::ProbeKill,
    );
    assert_eq!(fix(&since), Some(roll_back(1)));
}

fn unschedulable(request: &str, node: &str) -> Fixture {
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    let status = json!({
        "phase": "Pending",
        "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text }],
    });
    Fixture::deployment(
        "batch",
        &app(&json!({ "resources": { "requests": { "cpu": request } } })),
    )
    .pod_with(&status)
    .event("FailedScheduling", text)
    .node("n1", &[("cpu", node), ("memory", "8Gi")], &[])
}

#[test]
fn a_cpu_request_that_no_node_can_meet_is_told_from_full_nodes() {
    let never = check(
        &unschedulable("64", "2").build(),
        FailureClass::Unschedulable,
    );
    assert_eq!(
        (never.cause.as_str(), fix(&never)),
        ("insufficient-cpu", None)
    );
    assert!(
        never.root_cause.contains("no node could ever take it"),
        "{}",
        never.root_cause
    );
    assert!(
        never
            .citations
            .iter()
            .any(|cited| cited.quote == "allocatable cpu: 2")
    );
    assert!(
        never
            .citations
            .iter()
            .any(|cited| cited.quote == "/spec/containers/0/resources/requests/cpu")
    );
    let full = check(
        &unschedulable("1500m", "2").build(),
        FailureClass::Unschedulable,
    );
    assert_eq!(full.cause, "insufficient-cpu");
    assert!(full.root_cause.contains("so much left") && full.confidence < never.confidence);
    let fields = [(
        "/spec/containers/0/resources/requests/cpu",
        "\"100m\"",
        "\"64\"",
    )];
    let since = check(
        &unschedulable("64", "2")
            .rollout(1, 2, true, &fields)
            .build(),
        FailureClass::Unschedulable,
    );
    assert_eq!(fix(&since), Some(roll_back(1)));
}

#[test]
fn a_job_over_its_backoff_limit_is_explained_by_its_own_words() {
    let own = "2026-11-25T10:00:00.000Z FATAL import: row 17 has no customer number";
    let job = json!({
        "kind": "Job",
        "spec": { "backoffLimit": 2, "template": { "spec": { "containers": [app(&json!({}))] } } },
        "status": { "conditions": [{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit" }] },
    });
    let ended = json!({ "ready": false, "restartCount": 0, "state": { "terminated": { "reason": "Error", "exitCode": 1 } } });
    let evidence = Fixture::job("import", &app(&json!({})))
        .pod(&ended)
        .object("Job", "import", &job)
        .log(
            false,
            &["2026-11-25T10:00:00.000Z INFO  import: started", own],
        )
        .build();
    let mut evidence = evidence;
    // The fixture's own object of the Job has no status; the evidence holds one.
    evidence.items.remove(0);
    let diagnosis = check(&evidence, FailureClass::JobFailed);
    assert_eq!(
        (diagnosis.cause.as_str(), fix(&diagnosis)),
        ("job-backoff-limit-exceeded", None)
    );
    let said = own.trim_start_matches("2026-11-25T10:00:00.000Z ");
    assert!(diagnosis.root_cause.ends_with(&format!(": {said}.")) && diagnosis.confidence > 0.85);
    assert_eq!(diagnosis.citations[0].quote, own);
}

#[test]
fn a_required_variable_that_the_new_revision_lost_is_rolled_back() {
    let line = "2026-11-25T10:00:00.000Z FATAL config: environment variable DATABASE_HOST is required but not set";
    let fixture = Fixture::deployment(
        "web",
        &app(&json!({ "env": [{ "name": "LOG", "value": "info" }] })),
    )
    .pod(&crash_loop("Error", 1))
    .log(true, &[line]);
    let lost = r#"{"name":"DATABASE_HOST","value":"db"}"#;
    let fields = [("/spec/containers/0/env/0", lost, "")];
    let since = check(
        &fixture.clone().rollout(1, 2, true, &fields).build(),
        FailureClass::CrashLoopBackOff,
    );
    assert_eq!(
        (since.cause.as_str(), fix(&since)),
        ("missing-env-variable", Some(roll_back(1)))
    );
    assert!(since.summary.contains("DATABASE_HOST") && since.confidence > 0.9);
    assert!(
        since
            .citations
            .iter()
            .any(|cited| cited.quote == fields[0].0)
    );
    let first = check(&fixture.build(), FailureClass::CrashLoopBackOff);
    assert_eq!(
        (first.cause.as_str(), fix(&first)),
        ("missing-env-variable", None)
    );
}
