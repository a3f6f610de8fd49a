//! Secrets planted in every place of evidence, in every encoding. The search for them is made by a session
//! of its own, which knows the secret and nothing of how it was taken out.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Evidence, EvidenceItem, FieldChange, KubernetesEvent, KubernetesObject, LogChunk, LogLine,
    NodeCondition, NodeState, Note, RolloutChange,
};
use bonesetter_redact::{Redactor, Rules, Session};
use prost::Message as _;
use serde_json::{Value, json};
use svc_redactor::redact_evidence;

/// A password with what has to be escaped, a passphrase that is a legal label, an identifier that many tools write
/// in other ways, and a number.
const CANARIES: [&str; 4] = [
    "Kq8-3nf/Pz\"61-tW",
    "correct-horse-battery",
    "3f2b8c1e-77aa-4b0d-9c55-0a1b2c3d4e5f",
    "739184526034",
];

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Rules::builtin().unwrap()).unwrap());

fn object(id: &str, json: &Value) -> EvidenceItem {
    let json = json.to_string().into_bytes();
    item(id, Content::Object(KubernetesObject { r#ref: None, json }))
}

fn item(id: &str, content: Content) -> EvidenceItem {
    EvidenceItem {
        id: id.to_owned(),
        content: Some(content),
    }
}

fn log(text: &str) -> EvidenceItem {
    let lines = text.split('\n').map(|text| LogLine {
        text: text.to_owned(),
        ..LogLine::default()
    });
    let chunk = LogChunk {
        lines: lines.collect(),
        ..LogChunk::default()
    };
    item("log/p/app/current", Content::Log(chunk))
}

fn pod(spec: &Value, metadata: &Value, status: &Value) -> EvidenceItem {
    let mut metadata = metadata.clone();
    metadata["name"] = json!("orders-7f9c-x2b");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status,
    });
    object("object/Pod/orders-7f9c-x2b", &pod)
}

fn container(fields: &Value) -> EvidenceItem {
    let mut container = fields.clone();
    container["name"] = json!("app");
    pod(&json!({"containers": [container]}), &json!({}), &json!({}))
}

fn change(path: &str, before: &Value) -> EvidenceItem {
    let change = FieldChange {
        path: path.to_owned(),
        before: before.to_string(),
        after: json!("other").to_string(),
    };
    let rollout = RolloutChange {
        changes: vec![change],
        ..RolloutChange::default()
    };
    item("change/Deployment/orders", Content::Change(rollout))
}

/// A text made of the canary.
type Written = (&'static str, fn(&str) -> String);

/// An item of evidence with a text in one of the places that texts stand in.
type Place = (&'static str, fn(&str) -> EvidenceItem);

/// Every place, whatever is in it.
const PLACES: &[Place] = &[
    ("env", |s| {
        container(&json!({"env": [{"name": "MODE", "value": s}]}))
    }),
    ("args", |s| container(&json!({"args": ["serve", s]}))),
    ("command", |s| {
        container(&json!({"command": ["sh", "-c", format!("run {s}")]}))
    }),
    ("probe command", |s| {
        container(&json!({"livenessProbe": {"exec": {"command": ["check", s]}}}))
    }),
    ("probe header", |s| {
        let header = json!({"name": "X-Check", "value": s});
        container(&json!({"readinessProbe": {"httpGet": {"httpHeaders": [header]}}}))
    }),
    ("probe path", |s| {
        container(&json!({"startupProbe": {"httpGet": {"path": format!("/ready?x={s}")}}}))
    }),
    ("lifecycle", |s| {
        container(&json!({"lifecycle": {"preStop": {"exec": {"command": [s]}}}}))
    }),
    ("working directory", |s| {
        container(&json!({"workingDir": format!("/srv/{s}")}))
    }),
    ("init container", |s| {
        let init = json!({"name": "init", "args": [s]});
        pod(&json!({"initContainers": [init]}), &json!({}), &json!({}))
    }),
    ("ephemeral container", |s| {
        let debug = json!({"name": "debug", "command": [s]});
        pod(
            &json!({"ephemeralContainers": [debug]}),
            &json!({}),
            &json!({}),
        )
    }),
    ("volume", |s| {
        let volume = json!({"name": "v", "csi": {"driver": "d", "volumeAttributes": {"x": s}}});
        pod(&json!({"volumes": [volume]}), &json!({}), &json!({}))
    }),
    ("annotation", |s| {
        pod(
            &json!({}),
            &json!({"annotations": {"shop.example/x": s}}),
            &json!({}),
        )
    }),
    ("last-applied-configuration", |s| {
        let applied = json!({"spec": {"containers": [{"args": [s]}]}}).to_string();
        let name = "kubectl.kubernetes.io/last-applied-configuration";
        pod(
            &json!({}),
            &json!({"annotations": {name: applied}}),
            &json!({}),
        )
    }),
    ("label", |s| {
        pod(&json!({}), &json!({"labels": {"x": s}}), &json!({}))
    }),
    ("status message", |s| {
        pod(
            &json!({}),
            &json!({}),
            &json!({"message": format!("bad {s}")}),
        )
    }),
    ("terminated message", |s| {
        let state = json!({"terminated": {"message": format!("panic: {s}")}});
        let status = json!({"containerStatuses": [{"name": "app", "lastState": state}]});
        pod(&json!({}), &json!({}), &status)
    }),
    ("condition", |s| {
        pod(
            &json!({}),
            &json!({}),
            &json!({"conditions": [{"type": "Ready", "message": s}]}),
        )
    }),
    ("unknown field", |s| {
        pod(&json!({"neverSeen": {"x": [s]}}), &json!({}), &json!({}))
    }),
    ("ConfigMap", |s| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"app.conf": format!("x {s}")}});
        object("object/ConfigMap/c", &map)
    }),
    ("Secret", |s| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"x": s}});
        object("object/Secret/s", &secret)
    }),
    ("unknown kind", |s| {
        object(
            "object/Thing/t",
            &json!({"kind": "Thing", "spec": {"x": s}}),
        )
    }),
    ("event", |s| {
        let event = KubernetesEvent {
            message: format!("failed: {s}"),
            ..KubernetesEvent::default()
        };
        item("event/e", Content::Event(event))
    }),
    ("log", |s| log(&format!("starting\nconfig dump {s} end"))),
    ("change", |s| change("/spec/containers/0/args/1", &json!(s))),
    ("changed object", |s| {
        change(
            "/spec/containers/0/env/0",
            &json!({"name": "MODE", "value": s}),
        )
    }),
    ("node condition", |s| {
        let condition = NodeCondition {
            message: format!("kubelet: {s}"),
            ..NodeCondition::default()
        };
        let node = NodeState {
            conditions: vec![condition],
            ..NodeState::default()
        };
        item("node/n", Content::Node(node))
    }),
    ("node taint", |s| {
        let node = NodeState {
            taints: vec![format!("x={s}:NoSchedule")],
            ..NodeState::default()
        };
        item("node/n", Content::Node(node))
    }),
    ("note", |s| {
        let note = Note {
            text: format!("cannot read {s}"),
            ..Note::default()
        };
        item("note/kubernetes", Content::Note(note))
    }),
];

/// How a value is written down. Of these the value is taken out and what is around it stays.
const COMMON: &[Written] = &[
    ("raw", str::to_owned),
    ("JSON", |s| escaped(s)),
    ("percent", |s| percent(s)),
    ("base64", |s| STANDARD.encode(s)),
    ("base64, one on", |s| STANDARD.encode(format!("a{s}b"))),
    ("base64, two on", |s| STANDARD.encode(format!("ab{s}bc"))),
    ("base64 for URLs", |s| {
        URL_SAFE_NO_PAD.encode(format!("abc{s}"))
    }),
    ("hex", |s| hex(s.as_bytes())),
    ("HEX", |s| hex(s.as_bytes()).to_uppercase()),
    ("upper case", str::to_uppercase),
    ("bytes in Go", |s| format!("[{}]", numbers(s).join(" "))),
];

/// Where one of these is found, its item may be withheld.
const RARE: &[Written] = &[
    ("bytes in JSON", |s| format!("[{}]", numbers(s).join(","))),
    ("bytes in Rust", |s| format!("[{}]", numbers(s).join(", "))),
    ("JSON in JSON", |s| escaped(&escaped(s))),
    ("JSON, every unit", |s| {
        let units: Vec<_> = s
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect();
        units.concat()
    }),
    ("percent, twice", |s| percent(&percent(s))),
    ("base64 of base64", |s| STANDARD.encode(STANDARD.encode(s))),
    ("base64 of UTF-16", |s| {
        let bytes: Vec<u8> = s.encode_utf16().flat_map(u16::to_le_bytes).collect();
        STANDARD.encode(bytes)
    }),
    ("UTF-16", |s| s.chars().flat_map(|c| [c, '\0']).collect()),
    ("HTML", |s| s.replace('"', "&quot;").replace('-', "&#45;")),
    ("two lines", |s| format!("{}\n{}", &s[..6], &s[6..])),
    ("two indented lines", |s| {
        format!("{}\\\n    {}", &s[..6], &s[6..])
    }),
];

fn escaped(text: &str) -> String {
    let quoted = json!(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() || b == b'-' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect::<Vec<_>>().concat()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn numbers(text: &str) -> Vec<String> {
    text.bytes().map(|byte| byte.to_string()).collect()
}

/// Where the value is known to be one.
fn known(canary: &str) -> EvidenceItem {
    let env = json!([{"name": "DB_PASSWORD", "value": canary}]);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "env": env}]}}},
    });
    object("object/Deployment/orders", &deployment)
}

struct Seen {
    bytes: Vec<u8>,
    withheld: bool,
}

fn redacted(items: Vec<EvidenceItem>) -> Seen {
    let mut session: Session = REDACTOR.session(b"incident");
    let evidence = Evidence {
        items,
        ..Evidence::default()
    };
    let dossier = redact_evidence(evidence, &mut session)
        .unwrap()
        .into_inner();
    let mut bytes = dossier.evidence.encode_to_vec();
    for removal in &dossier.removals {
        bytes.extend(removal.encode_to_vec());
    }
    let withheld = dossier.removals.iter().any(|it| it.rule == "egress");
    Seen { bytes, withheld }
}

/// Somebody who knows the canary and looks for it.
fn finder(canary: &str) -> Session {
    let mut finder = REDACTOR.session(b"another key");
    finder.learn_value(canary);
    assert!(finder.egress_check(canary.as_bytes()).is_err());
    finder
}

#[test]
fn a_known_secret_is_seen_nowhere_in_no_encoding() {
    for canary in CANARIES {
        let finder = finder(canary);
        for (encoding, encode) in COMMON.iter().chain(RARE) {
            let text = encode(canary);
            for (place, plant) in PLACES {
                let seen = redacted(vec![plant(&text), known(canary)]);
                let leak = finder.egress_check(&seen.bytes);
                assert_eq!(leak, Ok(()), "{canary}, {encoding} in {place}");
                let is_common = COMMON.iter().any(|common| common.0 == *encoding);
                assert!(
                    !(is_common && seen.withheld),
                    "withheld: {canary}, {encoding} in {place}"
                );
            }
        }
    }
}

/// What says that a value is secret, where nothing else in the evidence does.
const TELLING: &[Written] = &[
    ("key=value", |s| format!("password={s}")),
    ("header", |s| format!("Authorization: Bearer {s}")),
    ("flag", |s| format!("--api-key={s}")),
    ("URL", |s| {
        format!("amqp://orders:{}@mq.shop:5672/", percent(s))
    }),
    ("JSON", |s| json!({"clientSecret": s}).to_string()),
    ("JSON in JSON", |s| {
        json!({"msg": json!({"token": s}).to_string()}).to_string()
    }),
    ("base64", |s| {
        STANDARD.encode(format!("export DB_PASSWORD={s}"))
    }),
    ("DSN", |s| format!("Server=db;User Id=orders;Password={s};")),
];

#[test]
fn a_secret_that_its_surroundings_tell_is_seen_nowhere() {
    const PLAIN: &str = "Kq83nfPz61tW-x9Lc";
    let finder = finder(PLAIN);
    for (telling, tell) in TELLING {
        let text = tell(PLAIN);
        for (place, plant) in PLACES {
            let seen = redacted(vec![plant(&text)]);
            assert_eq!(
                finder.egress_check(&seen.bytes),
                Ok(()),
                "{telling} in {place}"
            );
        }
    }
}
