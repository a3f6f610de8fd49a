//! What the manifests grant and forbid, whatever else changes in them.

use std::collections::BTreeSet;

use bonesetter_deploy::{Object, read_folder};
use serde_json::{Value, json};

use crate::workloads::{API_CLIENTS, WORKLOADS, find, folder, items, objects, strings};

#[test]
fn every_workload_has_one_of_each() {
    for kind in ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Deployment"] {
        for name in WORKLOADS {
            find(kind, name);
        }
    }
    let named = |kind: &str| -> BTreeSet<String> {
        let objects = objects();
        let found = objects.iter().filter(|object| object.kind() == kind);
        found.map(|object| object.name().to_owned()).collect()
    };
    let workloads: BTreeSet<String> = WORKLOADS.map(str::to_owned).into();
    assert_eq!(named("ServiceAccount"), workloads);
    assert_eq!(named("Deployment"), workloads);
}

#[test]
fn the_kustomization_holds_every_file_but_the_actuators_right_to_change() {
    let text = std::fs::read_to_string(folder().join("kustomization.yaml")).unwrap();
    let objects = objects();
    let files: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object.file.file_name()?.to_str())
        .collect();
    for file in files {
        let is_listed = text.contains(&format!("  - {file}\n"));
        assert_eq!(is_listed, file != "actuator-namespace.yaml", "{file}");
    }
}

#[test]
fn no_role_grants_secrets_wildcards_or_more_than_it_must() {
    let mut patches = Vec::new();
    for object in objects() {
        for rule in items(object.at("/rules")) {
            for list in ["apiGroups", "resources", "verbs"] {
                let granted = strings(&rule[list]);
                assert!(!granted.is_empty() && !granted.contains(&"*"), "{rule}");
            }
            for resource in strings(&rule["resources"]) {
                let is_secret = ["secrets", "configmaps", "serviceaccounts"]
                    .iter()
                    .any(|it| resource.starts_with(it));
                assert!(!is_secret, "{}: {rule}", object.name());
            }
            for verb in strings(&rule["verbs"]) {
                let is_lease = rule["resources"] == json!(["leases"]);
                let is_known = ["get", "list", "watch", "patch"].contains(&verb);
                let is_sharing = is_lease && ["create", "update"].contains(&verb);
                assert!(is_known || is_sharing, "{}: {rule}", object.name());
                if verb == "patch" {
                    patches.push((object.kind().to_owned(), rule["resources"].clone()));
                }
            }
        }
        let is_about_leases =
            items(object.at("/rules")).any(|it| it["resources"] == json!(["leases"]));
        assert!(
            !is_about_leases || object.kind() == "Role",
            "{}",
            object.name()
        );
        if object.kind().ends_with("RoleBinding") {
            for subject in items(object.at("/subjects")) {
                let name = subject["name"].as_str().unwrap();
                assert!(API_CLIENTS.contains(&name), "{subject}");
                assert_eq!(subject["kind"], "ServiceAccount");
                assert_eq!(subject["namespace"], "bonesetter-system");
            }
        }
    }
    // In the per-namespace Role alone.
    assert_eq!(patches, [("Role".to_owned(), json!(["deployments"]))]);
}

#[test]
fn the_namespace_enforces_the_restricted_pod_security_standard() {
    let namespace = find("Namespace", "bonesetter-system");
    let labels = namespace.at("/metadata/labels");
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn pods_are_confined_and_only_api_clients_get_a_token() {
    for name in WORKLOADS {
        let deployment = find("Deployment", name);
        let pod = deployment.at("/spec/template/spec");
        assert_eq!(pod["serviceAccountName"], name);
        let has_token = API_CLIENTS.contains(&name);
        assert_eq!(
            pod["automountServiceAccountToken"],
            json!(has_token),
            "{name}"
        );
        let account = find("ServiceAccount", name);
        assert_eq!(account.at("/automountServiceAccountToken"), &json!(false));
        assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        for host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
            assert_eq!(pod[host], Value::Null, "{name}");
        }
        let containers = pod["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1, "{name}");
        assert_eq!(pod["initContainers"], Value::Null, "{name}");
        check_container(name, &containers[0]);
    }
}

fn check_container(name: &str, container: &Value) {
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        }),
        "{name}"
    );
    assert!(
        container["resources"]["limits"]["memory"].is_string(),
        "{name}"
    );
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container["ports"][0]["containerPort"], 9464);
}

#[test]
fn no_secret_is_in_the_environment() {
    for name in WORKLOADS {
        let deployment = find("Deployment", name);
        let container = deployment.at("/spec/template/spec/containers/0");
        assert_eq!(container["envFrom"], Value::Null, "{name}");
        for variable in items(&container["env"]) {
            let source = variable["valueFrom"].as_object().unwrap();
            let kinds: Vec<_> = source.keys().map(String::as_str).collect();
            assert_eq!(kinds, ["configMapKeyRef"], "{name}: {variable}");
            assert_eq!(source["configMapKeyRef"]["name"], "bonesetter");
        }
        for mount in items(&container["volumeMounts"]) {
            assert_eq!(mount["readOnly"], json!(true), "{name}: {mount}");
            assert_eq!(mount["subPath"], Value::Null, "rotation would not be seen");
        }
    }
}

/// The label of namespaces that may ask svc-audit serve.
const READERS: &str = "bonesetter.dev/reads-incidents";

/// Places that may be reached: a namespace or "any", and a port.
type Places = &'static [(&'static str, u64)];

/// Where a policy lets its pods go.
fn reach(policy: &Object) -> BTreeSet<(String, u64)> {
    let mut reach = BTreeSet::new();
    for rule in items(policy.at("/spec/egress")) {
        let peers: Vec<String> = match rule.get("to") {
            None => vec!["any".to_owned()],
            Some(peers) => items(peers)
                .map(|peer| {
                    assert!(peer["podSelector"]["matchLabels"].is_object(), "{peer}");
                    let labels = &peer["namespaceSelector"]["matchLabels"];
                    labels["kubernetes.io/metadata.name"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
                .collect(),
        };
        for port in items(&rule["ports"]) {
            let port = port["port"].as_u64().unwrap();
            reach.extend(peers.iter().map(|peer| (peer.clone(), port)));
        }
    }
    reach
}

#[test]
fn every_workload_reaches_what_it_needs_and_no_more() {
    let nats: Places = &[("nats", 4222)];
    let api: Places = &[("any", 443), ("any", 6443)];
    let cases: [(&str, &[Places]); 12] = [
        ("svc-watcher", &[nats, api]),
        ("svc-enricher", &[nats, api, &[("monitoring", 3100)]]),
        ("svc-redactor", &[nats]),
        ("svc-llm", &[nats]),
        ("svc-actuator", &[nats, api]),
        ("svc-notifier", &[nats, &[("any", 443)]]),
        ("svc-notifier-publish", &[nats]),
        ("svc-audit", &[nats, &[("postgresql", 5432)]]),
        (
            "svc-audit-export",
            &[nats, &[("postgresql", 5432), ("minio", 9000)]],
        ),
        ("svc-audit-sweep", &[nats, &[("postgresql", 5432)]]),
        ("keeper", &[nats, &[("postgresql", 5432)]]),
        ("svc-audit-serve", &[&[("postgresql", 5432)]]),
    ];
    for (name, expected) in cases {
        let policy = find("NetworkPolicy", name);
        let expected: BTreeSet<_> = expected
            .concat()
            .into_iter()
            .map(|(peer, port)| (peer.to_owned(), port))
            .collect();
        assert_eq!(reach(&policy), expected, "{name}");
        let selected = policy.at("/spec/podSelector/matchLabels/app.kubernetes.io~1name");
        assert_eq!(selected, name);
        assert_eq!(
            policy.at("/spec/policyTypes"),
            &json!(["Ingress", "Egress"])
        );
        for rule in items(policy.at("/spec/ingress")) {
            let readers = &rule["from"][0]["namespaceSelector"]["matchLabels"][READERS];
            let port = if name == "svc-audit-serve" && readers == "true" {
                9470
            } else {
                9464
            };
            assert_eq!(rule["ports"], json!([{"protocol": "TCP", "port": port}]));
            assert!(rule["from"].is_array(), "{name}");
        }
    }
    let deny = find("NetworkPolicy", "default-deny");
    assert_eq!(
        deny.at("/spec"),
        &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    );
}

#[test]
fn the_optional_files_open_nothing_but_the_way_to_a_provider() {
    let objects = read_folder(&folder().join("optional")).unwrap();
    let is_policy = |object: &Object| object.kind() == "NetworkPolicy";
    let (objects, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_policy);
    assert!(others.iter().all(|it| it.kind() == "ScaledObject"));
    assert_eq!(objects.len(), 1);
    assert_eq!(
        reach(&objects[0]),
        BTreeSet::from([("any".to_owned(), 443)])
    );
    let selected = objects[0].at("/spec/podSelector/matchLabels/app.kubernetes.io~1name");
    assert_eq!(selected, "svc-llm");
}
