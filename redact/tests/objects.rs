//! Kubernetes objects: a secret or a name in every place must be gone, and what explains must stay.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use std::time::Instant;

use bonesetter_redact::{Redact, RedactError, Redactor, Rules, Session, redact};
use serde_json::{Value, json};

const CANARY: &str = "zQ7canary-Xk29-value";

fn session() -> Session {
    Redactor::new(Rules::builtin().unwrap())
        .unwrap()
        .session(b"a test")
}

/// A pod template with the canary in every place that can hold a secret.
fn pod_spec() -> Value {
    json!({
        "serviceAccountName": "orders",
        "imagePullSecrets": [{"name": "regcred-77"}],
        "volumes": [
            {"name": "tls-vol", "secret": {"secretName": "orders-tls-55", "items": [{"key": "tls-key-41", "path": "p/a"}]}},
            {"name": "conf-vol", "configMap": {"name": "orders-config-31"}},
            {"name": "proj-vol", "projected": {"sources": [{"secret": {"name": "proj-secret-9"}}, {"configMap": {"name": "proj-config-9"}}]}},
            {"name": "csi-vol", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret-9"}, "volumeAttributes": {"a": CANARY}}},
            {"name": "scratch", "emptyDir": {}}
        ],
        "initContainers": [{"name": "init", "command": ["sh", "-c", format!("export DB_PASSWORD={CANARY}; run")]}],
        "ephemeralContainers": [{"name": "debug", "env": [{"name": "API_KEY", "value": CANARY}]}],
        "containers": [{
            "name": "orders",
            "image": "registry.example.com/shop/orders:1.2.3",
            "args": ["--db-password", CANARY, "--verbose", format!("--api-token={CANARY}"), format!("--url=https://u:{CANARY}@db/x")],
            "env": [
                {"name": "LOG_LEVEL", "value": "debug"},
                {"name": "MONKEY_NAME", "value": "george-31x"},
                {"name": "DB_PASSWORD", "value": CANARY},
                {"name": "DATABASE_URL", "value": format!("postgres://app:{CANARY}@db:5432/orders")},
                {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "db-cred-12", "key": "password-key-12", "optional": true}}},
                {"name": "FROM_CONFIG", "valueFrom": {"configMapKeyRef": {"name": "flags-12", "key": "flag-key-12"}}},
                {"name": "FROM_FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
            ],
            "envFrom": [{"secretRef": {"name": "env-secret-3"}}, {"configMapRef": {"name": "env-config-3"}}],
            "volumeMounts": [{"name": "tls-vol", "mountPath": "/etc/private/tls"}, {"name": "scratch", "mountPath": "/scratch"}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "httpHeaders": [{"name": "Authorization", "value": format!("Bearer {CANARY}")}]}},
            "lifecycle": {"preStop": {"exec": {"command": ["stop", "--token", CANARY]}}},
            "unknownField": {"nested": [{"password": CANARY}]},
            "resources": {"limits": {"memory": "64Mi"}}
        }]
    })
}

fn deployment() -> Value {
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"}, "spec": {"template": {"spec": pod_spec()}}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "05cb8b41-c444-40d8-b595-c9a2b88534d9",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
                "note": format!("the token: {CANARY}"),
                "deployment.kubernetes.io/revision": "7"
            },
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:x": CANARY}}]
        },
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "orders"}}, "spec": pod_spec()}},
        "status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": format!("failed with password={CANARY}")}]}
    })
}

const NAMES: &[&str] = &[
    "regcred-77",
    "orders-tls-55",
    "tls-key-41",
    "orders-config-31",
    "proj-secret-9",
    "proj-config-9",
    "csi-secret-9",
    "db-cred-12",
    "password-key-12",
    "flags-12",
    "flag-key-12",
    "env-secret-3",
    "env-config-3",
    "tls-vol",
    "conf-vol",
    "proj-vol",
    "csi-vol",
    "/etc/private/tls",
    "george-31x",
    "metadata.uid",
    "managedFields",
];

#[test]
fn nothing_secret_is_left_in_a_deployment_and_what_explains_stays() {
    for object in [
        deployment(),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders"}, "spec": pod_spec()}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "orders"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod_spec()}}}}}),
    ] {
        let mut session = session();
        let (redacted, findings) = session.redact_object(object.clone());
        let text = redacted.to_string();
        assert!(!text.contains(CANARY), "{text}");
        for name in NAMES {
            assert!(!text.contains(name), "{name} in {text}");
        }
        for kept in [
            "registry.example.com/shop/orders:1.2.3",
            "LOG_LEVEL",
            "debug",
            "DB_PASSWORD",
            "db:5432/orders",
            "secretKeyRef",
            "configMapKeyRef",
            "--verbose",
            "/healthz",
            "/scratch",
            "64Mi",
            "emptyDir",
        ] {
            assert!(text.contains(kept), "{kept} not in {text}");
        }
        for finding in &findings {
            assert!(
                finding.pointer.is_empty()
                    || object.pointer(&finding.pointer).is_some()
                    || finding.rule == "learnt-value",
                "{finding:?}"
            );
        }
        assert_eq!(session.egress_check(text.as_bytes()), Ok(()));
        assert!(
            session
                .egress_check(format!("x{CANARY}").as_bytes())
                .is_err()
        );
        let (again, _) = session.redact_object(redacted.clone());
        assert_eq!(again, redacted);
    }
}

#[test]
fn names_and_values_are_found_again_whatever_the_order_of_texts() {
    let mut session = session();
    session.learn_object(&deployment());
    let event = "Error: configmap \"orders-config-31\" not found; MountVolume.SetUp failed for volume \"tls-vol\"";
    let text = session.redact_text(event).text;
    assert!(
        !text.contains("orders-config-31") && !text.contains("tls-vol"),
        "{text}"
    );
    let (redacted, _) = session.redact_object(deployment());
    let placeholder = redacted["spec"]["template"]["spec"]["volumes"][1]["configMap"]["name"]
        .as_str()
        .unwrap();
    assert!(text.contains(placeholder), "{placeholder} not in {text}");
    let log = session
        .redact_text(&format!("got {CANARY} from orders"))
        .text;
    assert!(
        log.ends_with("from orders") && !log.contains(CANARY),
        "{log}"
    );
}

#[test]
fn data_of_secrets_and_config_maps_is_withheld() {
    let mut session = session();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-cred-12", "annotations": {"a": CANARY}}, "data": {"user": "YWRtaW4=", "n": "MQ=="}, "stringData": {"p": CANARY}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf-12"}, "data": {"app.yaml": CANARY}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [secret, config]});
    let (redacted, _) = session.redact_object(list);
    let text = redacted.to_string();
    for gone in ["db-cred-12", "YWRtaW4=", "MQ==", CANARY, "conf-12"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    assert_eq!(
        redacted["items"][1]["data"]["app.yaml"],
        "<withheld:configmap-data>"
    );
}

/// As the API server answers a list: the items do not say what they are.
#[test]
fn items_of_a_list_are_of_its_kind() {
    let metadata = json!({"name": "db-cred-12", "namespace": "shop"});
    let lists = [
        json!({"kind": "SecretList", "items": [{"metadata": metadata, "data": {"username": "YWRtaW4="}}]}),
        json!({"kind": "ConfigMapList", "items": [{"metadata": metadata, "data": {"greeting": "YWRtaW4="}}]}),
        json!({"kind": "PodList", "items": [{"metadata": {"name": "orders-1"}, "spec": {
            "imagePullSecrets": [{"name": "db-cred-12"}],
            "containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": "YWRtaW4="}]}]}}]}),
    ];
    for mut list in lists {
        list["apiVersion"] = json!("v1");
        let mut session = session();
        let (redacted, _) = session.redact_object(list);
        let text = redacted.to_string();
        for gone in ["db-cred-12", "YWRtaW4="] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        let log = session.redact_text("db-cred-12 is not there").text;
        assert!(!log.contains("db-cred-12"), "{log}");
    }
}

#[test]
fn a_label_does_not_make_a_secret_public() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "orders-1", "labels": {"app": "orders", "x": "hunter22xyz"}},
        "spec": {"containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": "hunter22xyz"}]}]}});
    let mut session = session();
    session.learn_object(&pod);
    let log = session.redact_text("orders: pw hunter22xyz bad").text;
    assert!(
        log.starts_with("orders: pw <") && log.ends_with("> bad"),
        "{log}"
    );
}

#[test]
fn a_passphrase_of_ordinary_words_is_found_again() {
    let mut session = session();
    session.learn_text("login with password=correct-horse-battery");
    for again in [
        "retry as correct-horse-battery",
        "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5",
    ] {
        let text = session.redact_text(again).text;
        assert!(
            text.contains("<secret:") && !text.contains("horse"),
            "{text}"
        );
    }
}

/// What a secret value holds is secret by itself.
#[test]
fn a_secret_within_a_secret_is_found_again() {
    let basic = "YWRhOmh1bnRlcjIyeHl6";
    for (name, value) in [
        ("APP_SECRET", r#"{"password":"hunter22xyz","user":"ada"}"#),
        ("BASIC_AUTH_SECRET", basic),
        ("ENV_SECRET", "REGION=eu\nDB_PASSWORD=hunter22xyz\n"),
    ] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders-1"},
            "spec": {"containers": [{"name": "app", "env": [{"name": name, "value": value}]}]}});
        let mut session = session();
        session.learn_object(&pod);
        let log = session.redact_text("orders: hunter22xyz is wrong").text;
        assert!(!log.contains("hunter22xyz"), "{name}: {log}");
    }
    for (text, secret) in [
        (format!("Authorization: Basic {basic}"), "hunter22xyz"),
        (
            "DATABASE_URL=postgres://u:hunter22%2Fxyz@h/d".to_owned(),
            "hunter22/xyz",
        ),
    ] {
        let mut session = session();
        session.learn_text(&text);
        let log = session.redact_text(&format!("tried {secret} once")).text;
        assert!(!log.contains(secret), "{text}: {log}");
    }
}

#[test]
fn what_stands_behind_a_colon_in_a_secret_is_none_by_itself() {
    for value in [
        "vault:secret/data/orders",
        "mode:staging-cluster",
        "nginx:stable-alpine",
    ] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders-1"},
            "spec": {"containers": [{"name": "app", "env": [{"name": "APP_SECRET", "value": value}]}]}});
        let mut session = session();
        session.learn_object(&pod);
        let (_, word) = value.split_once(':').unwrap();
        let log = format!("cannot read {word} of orders");
        assert_eq!(session.redact_text(&log).text, log);
    }
}

#[test]
fn numbers_are_secrets_and_cards_too() {
    let object = json!({"apiVersion": "v1", "kind": "Setting",
        "spec": {"adminPassword": 12_345_678, "card": 4_111_111_111_111_111_u64, "port": 8080,
            "generation": 4_111_111_111_111_112_u64}});
    let (redacted, _) = session().redact_object(object.clone());
    for text in [
        redacted.to_string(),
        session().redact_text(&format!("got {object}!")).text,
    ] {
        for gone in ["12345678", "4111111111111111"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        assert!(
            text.contains("8080") && text.contains("4111111111111112"),
            "{text}"
        );
    }
    for text in [
        r#"{"paid_with":4111111111111111}"#,
        r#"{"paid_with": 4111111111111111, "ok": true}"#,
    ] {
        let redacted = session().redact_text(text).text;
        assert!(!redacted.contains("4111111111111111"), "{redacted}");
        assert!(
            serde_json::from_str::<Value>(&redacted).is_ok(),
            "{redacted}"
        );
    }
    let cut = session()
        .redact_text(r#"{"paid_with":4111111111111111,"shop":"#)
        .text;
    assert!(!cut.contains("4111111111111111"), "{cut}");
}

#[test]
fn an_escape_before_an_address_stays_whole() {
    let text = r#"["to whom it concerns:\nada@example.com"]"#;
    let redacted = session().redact_text(text).text;
    assert!(redacted.contains(r"concerns:\n<email:"), "{redacted}");
    assert!(
        serde_json::from_str::<Value>(&redacted).is_ok(),
        "{redacted}"
    );
}

#[test]
fn a_secret_object_within_a_text_is_one() {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db-login", "namespace": "shop"},
        "data": {"user": "YWRtaW4="}, "stringData": {"note": "tulipmorning", "pin": 4711}});
    let other = json!({"kind": "ConfigMap", "metadata": {"name": "db-login"}, "data": {"greeting": "tulipmorning"}});
    for text in [
        format!("got {object} for orders"),
        format!("{object}\n{other}\n"),
        format!("\u{feff}{object}"),
        json!({"msg": "updated", "obj": object}).to_string(),
        json!([object, other]).to_string(),
        json!({"msg": "updated", "raw": object.to_string()}).to_string(),
        object.to_string().replace("\"kind\"", "\"\\u006bind\""),
    ] {
        let redacted = session().redact_text(&text).text;
        for gone in ["db-login", "YWRtaW4=", "tulipmorning", "4711"] {
            assert!(!redacted.contains(gone), "{gone} in {redacted}");
        }
        assert!(redacted.contains("metadata"), "{redacted}");
    }
    for text in [
        "kind: 'Secret'\nmetadata:\n  name: db-login\n  namespace: shop\ndata:\n  user: YWRtaW4=\n",
        "synced map[apiVersion:v1 data:map[user:YWRtaW4=] kind:Secret metadata:map[namespace:shop] stringData:map[note:tulipmorning]] at 1",
        "metadata &Secret{Data:map[string][]byte{user: [97 100],},StringData:map[string]string{note: tulipmorning,},}",
    ] {
        let redacted = session().redact_text(text).text;
        for gone in ["db-login", "YWRtaW4=", "tulipmorning", "97 100"] {
            assert!(!redacted.contains(gone), "{gone} in {redacted}");
        }
        assert!(redacted.contains("metadata"), "{redacted}");
    }
    let event = r#"{"kind":"Secret","name":"db","reason":"FailedMount"}"#;
    assert!(session().redact_text(event).text.contains("FailedMount"));
}

#[test]
fn nothing_in_a_name_hides_what_it_says() {
    for name in [r"pass\u0077ord", "pass\u{200b}word", "pass\u{202e}word"] {
        let text = format!("got {{\"{name}\":\"tulipmorning\"}}");
        let text = session().redact_text(&text).text;
        assert!(!text.contains("tulipmorning"), "{text}");
    }
}

#[test]
fn secrets_are_named_in_kinds_that_nobody_knows() {
    for spec in [
        json!({"passwordSecret": {"name": "db-login-12"}}),
        json!({"credentialsSecretRef": {"name": "db-login-12"}}),
        json!({"auth": {"secret": {"name": "db-login-12"}}}),
        json!({"basicAuth": {"password": {"name": "db-login-12", "key": "p"}}}),
        json!({"authSecretRef": "db-login-12"}),
        json!({"imagePullSecrets": [{"name": "db-login-12"}]}),
        json!({"listeners": [{"tls": {"certificateRefs": [{"name": "db-login-12"}]}}]}),
        json!({"parameters": {"csi.storage.k8s.io/provisioner-secret-name": "db-login-12"}}),
        json!({"parameters": {"userSecretName": "db-login-12"}}),
    ] {
        let object = json!({"apiVersion": "example.org/v1", "kind": "Thing",
            "metadata": {"name": "orders"}, "spec": spec});
        let (redacted, _) = session().redact_object(object);
        assert!(!redacted.to_string().contains("db-login-12"), "{redacted}");
    }
    let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": {"name": "orders"}, "spec": {"target": {"name": "db-login-12"}}});
    let (redacted, _) = session().redact_object(object);
    assert!(!redacted.to_string().contains("db-login-12"), "{redacted}");
    let object = json!({"apiVersion": "example.org/v1", "kind": "VaultSecret",
        "metadata": {"name": "orders"}, "data": {"a": "tulipmorning"}, "stringData": {"b": "tulipmorning"}});
    let (redacted, _) = session().redact_object(object);
    assert!(!redacted.to_string().contains("tulipmorning"), "{redacted}");
}

#[test]
fn what_is_late_is_withheld() {
    let mut session = session();
    session.end_by(Instant::now());
    session.learn_text("password=hunter22xyz");
    let text = session.redact_text("all is well").text;
    assert_eq!(text, "<withheld:too-slow>");
    let (object, findings) = session.redact_object(deployment());
    assert_eq!(object, "<withheld:too-slow>");
    assert_eq!(
        (&*findings[0].rule, &*findings[0].kind),
        ("too-slow", "withheld")
    );
}

#[test]
fn a_manifest_in_a_text_keeps_its_form() {
    let pretty = serde_json::to_string_pretty(&deployment()).unwrap();
    let redacted = session().redact_text(&pretty);
    assert!(!redacted.text.contains(CANARY));
    assert!(redacted.text.contains("\n  \"kind\": \"Deployment\",\n"));
    assert!(serde_json::from_str::<Value>(&redacted.text).is_ok());
    let twins = r#"{"apiVersion":"v1","kind":"Secret","data":{"a":"Rmlyc3RWYWx1ZTE="},"data":{"a":"eA=="}}"#;
    let redacted = session().redact_text(twins);
    assert!(
        !redacted.text.contains("Rmlyc3RWYWx1ZTE="),
        "{}",
        redacted.text
    );
}

#[test]
fn places_outside_of_pods_are_walked_too() {
    let bundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";
    for (object, gone) in [
        (
            json!({"kind": "MutatingWebhookConfiguration", "webhooks": [{"clientConfig": {"caBundle": bundle}}]}),
            vec![bundle],
        ),
        (
            json!({"kind": "APIService", "spec": {"caBundle": bundle, "group": "g"}}),
            vec![bundle],
        ),
        (
            json!({"kind": "CustomResourceDefinition", "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}}}),
            vec![bundle],
        ),
        (
            json!({"kind": "PersistentVolume", "spec": {"csi": {"driver": "d", "volumeHandle": "handle-77", "nodeStageSecretRef": {"name": "stage-secret-77"}, "volumeAttributes": {"a": CANARY}}}}),
            vec!["handle-77", "stage-secret-77", CANARY],
        ),
        (
            json!({"kind": "Gateway", "spec": {"listeners": [{"tls": {"certificateRefs": [{"kind": "Secret", "name": "gateway-cert-77"}]}}]}}),
            vec!["gateway-cert-77"],
        ),
        (
            json!({"kind": "Widget", "spec": {"secretName": "widget-secret-77", "auth": {"secretRef": {"name": "auth-secret-77"}}, "login": {"password": CANARY}}}),
            vec!["widget-secret-77", "auth-secret-77", CANARY],
        ),
        (
            json!({"kind": "Pod", "metadata": {"annotations": {"vault.hashicorp.com/agent-inject-secret-db": "secret/data/shop-77/db", "helm.sh/values": format!("auth:\n  password: {CANARY}\n")}}, "status": {"containerStatuses": [{"state": {"waiting": {"message": format!("cannot log in with token={CANARY}")}}}]}}),
            vec!["secret/data/shop-77/db", CANARY],
        ),
        (
            json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "readinessProbe": {"httpGet": {"path": format!("/ready?token={CANARY}"), "httpHeaders": [{"name": "X-Api-Key", "value": CANARY}]}}, "startupProbe": {"exec": {"command": ["psql", format!("postgres://a:{CANARY}@db/x")]}}}]}}),
            vec![CANARY],
        ),
    ] {
        let (redacted, findings) = session().redact_object(object.clone());
        let text = redacted.to_string();
        for value in gone {
            assert!(!text.contains(value), "{value} in {text}");
        }
        assert!(!findings.is_empty());
        assert_eq!(redacted["kind"], object["kind"]);
    }
}

#[test]
fn too_deep_is_withheld() {
    let mut value = json!({"password": CANARY});
    for _ in 0..100 {
        value = json!({"a": value});
    }
    let (redacted, _) = session().redact_object(value);
    let text = redacted.to_string();
    assert!(
        text.contains("<withheld:too-deep>") && !text.contains(CANARY),
        "{text}"
    );
}

struct Message(String);

impl Redact for Message {
    fn redact(self, session: &mut Session) -> Result<Self, RedactError> {
        Ok(Self(session.redact_text(&self.0).text))
    }
}

#[test]
fn a_redacted_value_comes_from_a_session() {
    let sealed = redact(Message(format!("password={CANARY}")), &mut session()).unwrap();
    assert!(sealed.get().0.starts_with("password=<secret:"));
}

#[test]
fn the_report_counts_without_values() {
    let mut session = session();
    session.redact_object(deployment());
    let entries: Vec<_> = session.report().entries().collect();
    assert!(
        entries
            .iter()
            .any(|entry| entry.place == "env" && entry.count >= 1),
        "{entries:?}"
    );
    assert!(!format!("{entries:?}").contains(CANARY));
}
