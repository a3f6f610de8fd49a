//! The other rules, one row a cause.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Diagnosis, Evidence, FailureClass};
use serde_json::{Value, json};

use crate::case::Case;
use crate::fixture::{Fixture, crash_loop, waiting};
use crate::ground::is_grounded;
use crate::rules::{CAUSES, diagnose, redacted};

fn check(evidence: &Evidence, class: FailureClass) -> Diagnosis {
    let case = Case::over(evidence, class);
    let diagnosis = diagnose(&case);
    assert!(
        diagnosis
            .citations
            .iter()
            .all(|cited| is_grounded(&case, cited)),
        "{diagnosis:?}"
    );
    assert!(
        CAUSES.contains(&diagnosis.cause.as_str()),
        "{}",
        diagnosis.cause
    );
    redacted::check(evidence, class, &diagnosis);
    diagnosis
}

fn app() -> Value {
    json!({ "name": "app", "image": "web:2" })
}

#[test]
fn last_words_name_the_cause() {
    for (line, cause) in [
        (
            "dial tcp 10.0.0.7:5432: connect: connection refused",
            "connection-refused",
        ),
        (
            "curl: (6) Could not resolve host: api.example.com",
            "name-not-resolved",
        ),
        (
            "FATAL:  password authentication failed for user \"orders\"",
            "login-refused",
        ),
        (
            "x509: certificate signed by unknown authority",
            "certificate-refused",
        ),
        (
            "listen tcp :8080: bind: address already in use",
            "port-in-use",
        ),
        ("write /data/wal: no space left on device", "disk-full"),
        (
            "open /etc/app/tls.key: permission denied",
            "permission-denied",
        ),
        (
            "open /etc/app/app.yaml: no such file or directory",
            "missing-file",
        ),
        ("Error: Cannot find module './routes'", "missing-module"),
        (
            "java.lang.OutOfMemoryError: Java heap space",
            "heap-too-small",
        ),
        ("Error: unknown flag: --prot", "unknown-option"),
        (
            "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***",
            "bad-config-file",
        ),
        ("panic: index out of range", "application-error"),
        (
            "pods is forbidden: User \"system:serviceaccount:shop:web\" cannot list resource \"pods\"",
            "service-account-forbidden",
        ),
    ] {
        let evidence = Fixture::deployment("web", &app())
            .pod(&crash_loop("Error", 1))
            .log(true, &["starting", line])
            .build();
        let diagnosis = check(&evidence, FailureClass::CrashLoopBackOff);
        assert_eq!(diagnosis.cause, cause, "{line}");
        assert!(diagnosis.remedy.is_none());
        assert!(
            diagnosis.citations.iter().any(|cited| cited.quote == line),
            "{line}"
        );
    }
}

#[test]
fn a_new_image_that_crashes_is_rolled_back_but_a_database_that_is_away_is_not() {
    let image = [("/spec/containers/0/image", "\"web:1\"", "\"web:2\"")];
    let crash = |line: &str| {
        let evidence = Fixture::deployment("web", &app())
            .pod(&crash_loop("Error", 2))
            .log(true, &[line])
            .rollout(1, 2, true, &image)
            .build();
        check(&evidence, FailureClass::CrashLoopBackOff)
    };
    let own = crash("panic: runtime error: index out of range [3] with length 3");
    assert_eq!(own.cause, "application-error");
    assert!(own.remedy.is_some());
    let away = crash("dial tcp 10.0.0.7:5432: connect: connection refused");
    assert_eq!(away.cause, "connection-refused");
    assert!(away.remedy.is_none());
}

#[test]
fn a_container_that_worked_for_long_is_not_the_rollout_s_fault() {
    let mut status = crash_loop("Error", 1);
    status["lastState"]["terminated"]["startedAt"] = json!("2026-11-25T10:00:00Z");
    status["lastState"]["terminated"]["finishedAt"] = json!("2026-11-25T12:00:00Z");
    let image = [("/spec/containers/0/image", "\"web:1\"", "\"web:2\"")];
    let evidence = Fixture::deployment("web", &app())
        .pod(&status)
        .log(true, &["panic: boom"])
        .rollout(1, 2, true, &image)
        .build();
    assert!(
        check(&evidence, FailureClass::CrashLoopBackOff)
            .remedy
            .is_none()
    );
}

#[test]
fn exit_codes_speak_where_nothing_else_does() {
    for (reason, code, message, cause) in [
        ("Error", 139, "", "segmentation-fault"),
        ("Error", 137, "", "killed-not-for-memory"),
        ("Error", 143, "", "terminated"),
        ("Completed", 0, "", "main-process-ends"),
        (
            "StartError",
            128,
            "exec: \"wge\": executable file not found in $PATH: unknown",
            "command-not-found",
        ),
        (
            "StartError",
            128,
            "exec /app: exec format error",
            "wrong-architecture",
        ),
        (
            "ContainerCannotRun",
            126,
            "exec: \"/app/run.sh\": permission denied: unknown",
            "command-not-executable",
        ),
    ] {
        let mut status = crash_loop(reason, code);
        status["lastState"]["terminated"]["message"] = json!(message);
        let evidence = Fixture::deployment("web", &app()).pod(&status).build();
        let diagnosis = check(&evidence, FailureClass::CrashLoopBackOff);
        assert_eq!(diagnosis.cause, cause, "{reason} {code} {message}");
        assert!(!diagnosis.citations.is_empty());
    }
}

#[test]
fn probes_are_told_apart() {
    let probe = |field: &str| json!({ "name": "app", "image": "web:2", "ports": [{ "containerPort": 8080 }], (field): { "httpGet": { "path": "/health", "port": 8080 } } });
    let killed = json!({ "ready": false, "restartCount": 3, "state": { "running": {} }, "lastState": { "terminated": { "exitCode": 137, "reason": "Error" } } });
    let unready = json!({ "ready": false, "restartCount": 0, "state": { "running": {} } });
    let refused = "dial tcp 10.1.0.3:8080: connect: connection refused";
    for (field, status, failure, kill, cause) in [
        (
            "livenessProbe",
            &killed,
            "Liveness probe failed: HTTP probe failed with statuscode: 404",
            "Container app failed liveness probe, will be restarted",
            "liveness-probe-wrong-path",
        ),
        (
            "livenessProbe",
            &killed,
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "Container app failed liveness probe, will be restarted",
            "liveness-probe-failing",
        ),
        (
            "livenessProbe",
            &killed,
            &format!("Liveness probe failed: Get \"http://10.1.0.3:8080/health\": {refused}"),
            "Container app failed liveness probe, will be restarted",
            "liveness-probe-refused",
        ),
        (
            "livenessProbe",
            &killed,
            "Liveness probe failed: Get \"http://10.1.0.3:8080/health\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            "Container app failed liveness probe, will be restarted",
            "liveness-probe-failing",
        ),
        (
            "startupProbe",
            &killed,
            &format!("Startup probe failed: {refused}"),
            "Container app failed startup probe, will be restarted",
            "startup-probe-too-short",
        ),
        (
            "readinessProbe",
            &unready,
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "",
            "readiness-probe-failing",
        ),
    ] {
        let fixture = Fixture::deployment("web", &probe(field))
            .pod(status)
            .event("Unhealthy", failure);
        let fixture = if kill.is_empty() {
            fixture
        } else {
            fixture.event("Killing", kill)
        };
        let diagnosis = check(&fixture.build(), FailureClass::Unspecified);
        assert_eq!(diagnosis.cause, cause, "{failure}");
        assert!(
            diagnosis.confidence > 0.5,
            "{cause} {}",
            diagnosis.confidence
        );
    }
}

#[test]
fn the_scheduler_s_reasons_are_told_apart() {
    for (text, cause) in [
        (
            "0/3 nodes are available: 3 node(s) had untolerated taint(s). preemption: none",
            "untolerated-taint",
        ),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
            "node-selector-unsatisfiable",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
            "anti-affinity-unsatisfiable",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "unbound-volume-claim",
        ),
        (
            "0/1 nodes are available: persistentvolumeclaim \"data\" not found.",
            "unbound-volume-claim",
        ),
        (
            "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 Insufficient cpu, 1 node(s) had untolerated taint(s).",
            "insufficient-cpu",
        ),
        (
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
            "untolerated-taint",
        ),
        (
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            "insufficient-extended-resource",
        ),
        (
            "0/3 nodes are available: 3 Insufficient memory.",
            "insufficient-memory",
        ),
        (
            "0/1 nodes are available: 1 Too many pods.",
            "nodes-full-of-pods",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            "host-port-taken",
        ),
    ] {
        let evidence = Fixture::deployment("web", &app())
            .pod_with(&json!({ "phase": "Pending" }))
            .event("FailedScheduling", text)
            .node("n1", &[("cpu", "2")], &["maintenance=scheduled:NoSchedule"])
            .build();
        let diagnosis = check(&evidence, FailureClass::Unschedulable);
        assert_eq!(diagnosis.cause, cause, "{text}");
        assert!(
            cause != "untolerated-taint" || diagnosis.summary.contains("maintenance=scheduled")
        );
    }
}

#[test]
fn refusals_of_pods_are_told_apart() {
    for (text, cause) in [
        (
            "Error creating: pods \"web-6d9f-\" is forbidden: exceeded quota: mem, requested: limits.memory=256Mi, used: limits.memory=512Mi, limited: limits.memory=512Mi",
            "quota-exceeded",
        ),
        (
            "Error creating: pods \"web-\" is forbidden: error looking up service account shop/app: serviceaccount \"app\" not found",
            "service-account-missing",
        ),
        (
            "Error creating: pods \"web-\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
            "pod-security-violated",
        ),
        (
            "Error creating: pods \"web-\" is forbidden: maximum memory usage per Container is 128Mi, but limit is 256Mi",
            "limit-range-violated",
        ),
        (
            "Error creating: Internal error occurred: failed calling webhook \"x.example.com\": connection refused",
            "admission-webhook-unavailable",
        ),
        (
            "Error creating: admission webhook \"policy\" denied the request: no latest tag",
            "admission-denied",
        ),
        (
            "Error creating: Pod \"web-\" is invalid: spec.containers[0].image: Invalid value: \"web:2 \": must not have leading or trailing whitespace",
            "pod-invalid",
        ),
        (
            "Error creating: pods \"web-\" is forbidden: no PriorityClass with name high was found",
            "priority-class-missing",
        ),
    ] {
        let evidence = Fixture::deployment("web", &app())
            .event("FailedCreate", text)
            .build();
        let diagnosis = check(&evidence, FailureClass::ReplicaFailure);
        assert_eq!(diagnosis.cause, cause, "{text}");
        assert!(diagnosis.remedy.is_none() && diagnosis.confidence > 0.8);
    }
}

#[test]
fn the_rest_of_the_platform_s_causes() {
    let evicted = |message: &str| {
        let status = json!({ "phase": "Failed", "reason": "Evicted", "message": message });
        Fixture::deployment("web", &app()).pod_with(&status).build()
    };
    let with_event = |reason: &str, message: &str| {
        Fixture::deployment("web", &app())
            .pod(&waiting("ContainerCreating", ""))
            .event(reason, message)
            .build()
    };
    let root = "container has runAsNonRoot and image will run as root";
    let by_user = "container's runAsUser breaks non-root policy (pod: \"web\", container: app)";
    for (evidence, class, cause) in [
        (
            evicted("The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi"),
            FailureClass::Evicted,
            "evicted-for-disk",
        ),
        (
            evicted(
                "The node was low on resource: memory. Container app was using 1Gi, request is 0",
            ),
            FailureClass::Evicted,
            "evicted-for-memory",
        ),
        (
            evicted(
                "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi.",
            ),
            FailureClass::Evicted,
            "ephemeral-storage-limit-exceeded",
        ),
        (
            with_event(
                "FailedMount",
                "MountVolume.SetUp failed for volume \"cfg\" : configmap \"<configmap:abcdef>\" not found",
            ),
            FailureClass::ProgressDeadlineExceeded,
            "missing-config-map",
        ),
        (
            with_event(
                "FailedAttachVolume",
                "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) web-1",
            ),
            FailureClass::ProgressDeadlineExceeded,
            "volume-not-mounted",
        ),
        (
            Fixture::deployment("web", &app())
                .pod(&waiting("CreateContainerConfigError", root))
                .build(),
            FailureClass::CreateContainerConfigError,
            "run-as-root-refused",
        ),
        (
            Fixture::deployment("web", &app())
                .pod(&waiting("CreateContainerConfigError", by_user))
                .build(),
            FailureClass::CreateContainerConfigError,
            "run-as-root-refused",
        ),
    ] {
        assert_eq!(check(&evidence, class).cause, cause);
    }
}

#[test]
fn a_job_that_ran_too_long_is_explained_by_its_deadline() {
    let condition = json!([{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }]);
    let job =
        json!({ "spec": { "activeDeadlineSeconds": 10 }, "status": { "conditions": condition } });
    let mut evidence = Fixture::job("report", &app())
        .object("Job", "report", &job)
        .build();
    evidence.items.remove(0);
    let diagnosis = check(&evidence, FailureClass::JobFailed);
    assert_eq!(diagnosis.cause, "job-deadline-exceeded");
    assert!(diagnosis.summary.contains("10 s"));
}

#[test]
fn not_knowing_is_said_with_what_would_tell() {
    for evidence in [
        Evidence::default(),
        Fixture::deployment("web", &app()).build(),
        Fixture::deployment("web", &app())
            .pod(&json!({ "ready": true, "state": { "running": {} } }))
            .build(),
        Fixture::deployment("web", &app())
            .pod(&waiting("SomethingNew", "never seen before"))
            .build(),
        Fixture::deployment("web", &app())
            .pod(&crash_loop("Error", 1))
            .build(),
    ] {
        let diagnosis = check(&evidence, FailureClass::CrashLoopBackOff);
        assert_eq!(diagnosis.cause, "unknown");
        assert!(diagnosis.confidence < 0.2 && diagnosis.remedy.is_none());
        assert!(diagnosis.recommendation.starts_with("What would tell: "));
    }
}

#[test]
fn memory_kills_explain_what_the_application_said() {
    let container =
        json!({ "name": "app", "image": "web:2", "resources": { "limits": { "memory": "64Mi" } } });
    let evidence = Fixture::deployment("web", &container)
        .pod(&crash_loop("OOMKilled", 137))
        .log(
            true,
            &["dial tcp 10.0.0.7:5432: connect: connection refused"],
        )
        .build();
    assert_eq!(
        check(&evidence, FailureClass::CrashLoopBackOff).cause,
        "memory-limit-too-low"
    );
}

#[test]
fn a_limit_that_was_not_there_before_is_rolled_back_and_a_lowered_one_is_put_back() {
    const LIMIT: &str = "/spec/containers/0/resources/limits/memory";
    let container =
        json!({ "name": "app", "image": "web:2", "resources": { "limits": { "memory": "64Mi" } } });
    let args = ("/spec/containers/0/args", "[\"a\"]", "[\"b\"]");
    let cpu = ("/spec/containers/0/resources/limits/cpu", "\"2\"", "\"1\"");
    let whole = r#"{"limits":{"memory":"64Mi"}}"#;
    for (what, healthy, fields, rolls_back, limit) in [
        (
            "first limit",
            true,
            vec![args, (LIMIT, "", "\"64Mi\"")],
            true,
            None,
        ),
        (
            "first resources",
            true,
            vec![("/spec/containers/0/resources", "{}", whole)],
            true,
            None,
        ),
        (
            "lowered only",
            true,
            vec![cpu, (LIMIT, "\"128Mi\"", "\"64Mi\"")],
            true,
            None,
        ),
        (
            "lowered beside others",
            true,
            vec![args, (LIMIT, "\"96Mi\"", "\"64Mi\"")],
            false,
            Some(96),
        ),
        (
            "first limit, nothing known good",
            false,
            vec![(LIMIT, "", "\"64Mi\"")],
            false,
            Some(128),
        ),
        (
            "raised",
            true,
            vec![(LIMIT, "\"32Mi\"", "\"64Mi\"")],
            false,
            Some(128),
        ),
        ("another limit", true, vec![cpu], false, Some(128)),
        (
            "far too low",
            true,
            vec![args, (LIMIT, "\"1Gi\"", "\"64Mi\"")],
            true,
            None,
        ),
    ] {
        let evidence = Fixture::deployment("web", &container)
            .pod(&crash_loop("OOMKilled", 137))
            .replica_set(2)
            .rollout(1, 2, healthy, &fields)
            .build();
        let diagnosis = check(&evidence, FailureClass::OomKilled);
        let fix = diagnosis.remedy.and_then(|remedy| remedy.fix);
        let is_back = matches!(&fix, Some(Fix::RollBack(fix)) if fix.to_revision == 1);
        let raised = match &fix {
            Some(Fix::SetMemory(fix)) => Some(fix.limit >> 20),
            _ => None,
        };
        assert_eq!((is_back, raised), (rolls_back, limit), "{what}");
    }
}

#[test]
fn a_pod_that_is_never_set_up_is_explained_by_its_events() {
    const SANDBOX: &str = "Failed to create pod sandbox: runc create failed: container init was OOM-killed (memory limit too low?): unknown";
    const MOUNT: &str =
        "MountVolume.SetUp failed for volume \"c\" : configmap \"<configmap-name:ab>\" not found";
    const KEY: &str = "MountVolume.SetUp failed for volume \"c\" : configmap references non-existent config key: zz";
    let container =
        json!({ "name": "app", "image": "web:2", "resources": { "limits": { "memory": "1Mi" } } });
    for (reason, message, cause) in [
        ("FailedCreatePodSandBox", SANDBOX, "memory-limit-too-low"),
        ("FailedMount", MOUNT, "missing-config-map"),
        ("FailedMount", KEY, "missing-config-map-key"),
    ] {
        let evidence = Fixture::deployment("web", &container)
            .pod(&waiting("ContainerCreating", ""))
            .event(reason, message)
            .build();
        let diagnosis = check(&evidence, FailureClass::ProgressDeadlineExceeded);
        assert_eq!(diagnosis.cause, cause);
        assert_eq!(diagnosis.remedy, None);
    }
}

#[test]
fn a_failing_start_hook_is_not_the_command() {
    let container = json!({ "name": "app", "image": "web:2", "lifecycle": { "postStart": { "exec": { "command": ["/nope"] } } } });
    let message = "Exec lifecycle hook ([/nope]) failed: exec: \"/nope\": stat /nope: no such file or directory";
    for (reason, cause) in [
        ("PostStartHookError", "post-start-hook-failed"),
        ("RunContainerError", "command-not-found"),
    ] {
        let evidence = Fixture::deployment("web", &container)
            .pod(&waiting(reason, message))
            .build();
        let diagnosis = check(&evidence, FailureClass::CreateContainerError);
        assert_eq!(diagnosis.cause, cause);
    }
    let between = Fixture::deployment("web", &container)
        .pod(&crash_loop("Error", 143))
        .event("FailedPostStartHook", "PostStartHook failed")
        .build();
    let diagnosis = check(&between, FailureClass::CrashLoopBackOff);
    assert_eq!(diagnosis.cause, "post-start-hook-failed");
}

#[test]
fn a_new_probe_is_blamed_for_what_is_wrong_with_it() {
    let container = json!({ "name": "app", "image": "web:2", "livenessProbe": { "httpGet": { "path": "/up", "port": 8081 } } });
    let field = |name: &str| format!("/spec/containers/0/livenessProbe/{name}");
    let (threshold, path, port) = (
        field("failureThreshold"),
        field("httpGet/path"),
        field("httpGet/port"),
    );
    let fields = [
        (threshold.as_str(), "", "2"),
        (path.as_str(), "", "\"/up\""),
        (port.as_str(), "", "8081"),
    ];
    let refused = "Liveness probe failed: Get \"http://10.0.0.1:8081/up\": dial tcp 10.0.0.1:8081: connect: connection refused";
    let no_page = "Liveness probe failed: HTTP probe failed with statuscode: 404";
    for (message, blamed) in [(refused, &port), (no_page, &path)] {
        let evidence = Fixture::deployment("web", &container)
            .pod(&crash_loop("Error", 137))
            .replica_set(2)
            .event("Unhealthy", message)
            .event(
                "Killing",
                "Container app failed liveness probe, will be restarted",
            )
            .log(true, &["listening on 0.0.0.0:8080"])
            .rollout(1, 2, true, &fields)
            .build();
        let diagnosis = check(&evidence, FailureClass::ProbeKill);
        assert!(
            diagnosis.root_cause.contains(&format!("changed {blamed}.")),
            "{}",
            diagnosis.root_cause
        );
    }
}

#[test]
fn the_labels_that_no_node_has_are_named() {
    let body = json!({ "kind": "Deployment", "spec": { "template": { "spec": {
        "nodeSelector": { "disk": "nvme", "zone": "b" }, "containers": [app()] } } } });
    let text = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    let evidence = Fixture::deployment("web", &app()).object("Deployment", "web", &body);
    let mut evidence = evidence.event("FailedScheduling", text).build();
    evidence.items.remove(0);
    let diagnosis = check(&evidence, FailureClass::Unschedulable);
    assert_eq!(diagnosis.cause, "node-selector-unsatisfiable");
    assert!(
        diagnosis.summary.contains("(disk=nvme, zone=b)"),
        "{}",
        diagnosis.summary
    );
}

#[test]
fn a_deadline_that_ends_failing_attempts_names_their_failure() {
    let job = json!({
        "kind": "Job",
        "spec": { "activeDeadlineSeconds": 15, "template": { "spec": { "containers": [app()] } } },
        "status": { "conditions": [{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }] },
    });
    for (exit_code, said) in [
        (1, " Its attempts had failed before: FATAL no such bucket."),
        (137, " Its last line was: FATAL no such bucket."),
    ] {
        let end = json!({ "ready": false, "restartCount": 0, "state": { "terminated": { "reason": "Error", "exitCode": exit_code } } });
        let mut evidence = Fixture::job("import", &app())
            .pod(&end)
            .object("Job", "import", &job)
            .log(false, &["2026-11-25T10:00:00Z FATAL no such bucket"])
            .build();
        // The fixture's own object of the Job has no status; the evidence holds one.
        evidence.items.remove(0);
        let diagnosis = check(&evidence, FailureClass::JobFailed);
        assert_eq!(diagnosis.cause, "job-deadline-exceeded");
        assert!(
            diagnosis.root_cause.contains(said),
            "{}",
            diagnosis.root_cause
        );
    }
}
