//! Evidence, item by item.
//!
//! Everything is learnt before anything is redacted, so that a value or a name has the same
//! placeholder in the spec, in an event and in a log line. An item that cannot be redacted, or still
//! holds something that was taken out elsewhere, is withheld and a note stands in its place: under the
//! item's id, or under a number if that is what holds it. Loki, for example, has a pod or a container
//! under any name, also under that of a Secret.

use std::borrow::Borrow;

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Evidence, EvidenceItem, KubernetesEvent, KubernetesObject, NodeState, Note, Removal,
};
use bonesetter_redact::{Redact, RedactError, Redacted, Session};
use prost::Message as _;
use serde_json::{Value, json};

use crate::block::is_blocked;
use crate::removals::{Tally, merge};
use crate::{change, forged, injection, log};

/// The evidence as a whole, among ids and places.
const WHOLE: &str = "evidence";

/// Evidence, and what was taken out of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dossier {
    /// The evidence.
    pub evidence: Evidence,
    /// Patterns of the ids of items that nobody may read. They teach what is secret, and are then withheld.
    pub block: Vec<String>,
    /// What was taken out; empty before redaction.
    pub removals: Vec<Removal>,
}

impl Borrow<Evidence> for Dossier {
    fn borrow(&self) -> &Evidence {
        &self.evidence
    }
}

/// Redacts raw evidence in the session of its incident; needs no bus.
pub fn redact_evidence(
    evidence: Evidence,
    session: &mut Session,
) -> Result<Redacted<Dossier>, RedactError> {
    redact_evidence_without(evidence, &[], session)
}

/// The same without the items whose ids fit one of the patterns; `*` stands for any characters.
pub fn redact_evidence_without(
    evidence: Evidence,
    block: &[String],
    session: &mut Session,
) -> Result<Redacted<Dossier>, RedactError> {
    let dossier = Dossier {
        evidence,
        block: block.to_owned(),
        removals: Vec::new(),
    };
    bonesetter_redact::redact(dossier, session)
}

impl Redact for Dossier {
    fn redact(self, session: &mut Session) -> Result<Self, RedactError> {
        let mut evidence = self.evidence;
        let mut tally = Tally::default();
        let volumes = volumes(&evidence);
        for item in &mut evidence.items {
            if is_blocked(&self.block, item) {
                learn(session, item, volumes.as_ref());
                *item = withheld(&mut tally, &item.id, "block");
                continue;
            }
            if let Some(Content::Log(chunk)) = &mut item.content {
                log::mend(chunk);
            }
            injection::bare(session.detector(), &mut tally, item);
            forged::defuse(session, &mut tally, item);
        }
        for item in &evidence.items {
            learn(session, item, volumes.as_ref());
        }
        let items = std::mem::take(&mut evidence.items);
        for item in items {
            let redacted = redact_item(session, &mut tally, item, volumes.as_ref());
            evidence.items.push(redacted);
        }
        for item in &mut evidence.items {
            injection::neutralise(session.detector(), &mut tally, item);
        }
        // What a late item taught may stand in an early one. Which, is asked only if it does.
        let is_clean = session.prove(evidence.encode_to_vec()).is_ok();
        for (number, item) in (1..).zip(&mut evidence.items) {
            if !is_proved(session, item, is_clean) {
                let id = clean_id(session, item, number);
                *item = withheld(&mut tally, &id, "egress");
            }
        }
        let dossier = Self {
            evidence,
            block: self.block,
            removals: clean_removals(session, tally.into_removals()),
        };
        if prove(session, &dossier).is_ok() {
            return Ok(dossier);
        }
        // What is in no item, and yet there. Better an incident that nobody can explain than one that nobody hears of.
        let mut tally = Tally::default();
        let dossier = Self {
            evidence: Evidence {
                items: vec![withheld(&mut tally, WHOLE, "egress")],
                collected_at: dossier.evidence.collected_at,
                ..Evidence::default()
            },
            block: dossier.block,
            removals: tally.into_removals(),
        };
        prove(session, &dossier)?;
        Ok(dossier)
    }
}

/// Nothing that was taken out is left in an item, also not over the ends of its lines, and nothing that has the
/// format of a secret. `is_clean` if all items were searched together, and nothing was found.
fn is_proved(session: &Session, item: &EvidenceItem, is_clean: bool) -> bool {
    let bytes = item.encode_to_vec();
    // As they were printed: in the bytes there is more than a line break between two lines.
    let lines = match &item.content {
        Some(Content::Log(chunk)) => log::joined(chunk),
        _ => String::new(),
    };
    (is_clean || session.egress_check(&bytes).is_ok())
        && session.check_ends_of_lines(&lines).is_ok()
        && session.rescan(&bytes).is_ok()
}

/// The id under which an item is withheld: its own, unless something that was taken out stands in it.
fn clean_id(session: &Session, item: &EvidenceItem, number: usize) -> String {
    // As it stands in the note.
    let id = format!("note/{}", item.id);
    match session.egress_check(id.as_bytes()) {
        Ok(()) => item.id.clone(),
        Err(_) => format!("item-{number}"),
    }
}

/// Removals in words that may be told. Something that was taken out may stand in a place (in an id, or in the name of
/// an annotation), and a Secret may be called like a rule (`github-token`): then less is said.
fn clean_removals(session: &Session, removals: Vec<Removal>) -> Vec<Removal> {
    if session.egress_check(&bytes_of(&removals)).is_ok() {
        return removals;
    }
    let first_clean = |words: [&str; 3]| {
        let mut words = words.into_iter();
        let clean = words.find(|word| session.egress_check(word.as_bytes()).is_ok());
        clean.unwrap_or_default().to_owned()
    };
    merge(removals.into_iter().map(|removal| {
        let Removal {
            kind, rule, place, ..
        } = &removal;
        let item = place.split('#').next().unwrap_or_default();
        Removal {
            place: first_clean([place, item, WHOLE]),
            rule: first_clean([rule, kind, "rule"]),
            kind: first_clean([kind, "secret", "name"]),
            count: removal.count,
        }
    }))
}

/// Nothing that was taken out is left anywhere, also not in ids. The message that the evidence becomes a part of is
/// searched around it.
fn prove(session: &mut Session, dossier: &Dossier) -> Result<(), RedactError> {
    session
        .egress_check(&bytes_of(&dossier.removals))
        .and_then(|()| session.prove(dossier.evidence.encode_to_vec()))
        .map_err(|leak| RedactError::new("the evidence", leak.to_string()))
}

fn bytes_of(removals: &[Removal]) -> Vec<u8> {
    removals.iter().flat_map(Removal::encode_to_vec).collect()
}

/// The volumes of the failing workload's pods.
fn volumes(evidence: &Evidence) -> Option<Value> {
    evidence.items.iter().find_map(|item| {
        let Some(Content::Object(object)) = &item.content else {
            return None;
        };
        let object: Value = serde_json::from_slice(&object.json).ok()?;
        ["/spec/template/spec/volumes", "/spec/volumes"]
            .iter()
            .find_map(|pointer| object.pointer(pointer).cloned())
    })
}

fn learn(session: &mut Session, item: &EvidenceItem, volumes: Option<&Value>) {
    match &item.content {
        Some(Content::Object(object)) => {
            if let Ok(object) = serde_json::from_slice(&object.json) {
                session.learn_object(&object);
            }
        }
        Some(Content::Event(event)) => session.learn_object(&as_object(event)),
        Some(Content::Log(chunk)) => log::learn(session, chunk),
        Some(Content::Change(change)) => {
            for field in &change.changes {
                change::learn(session, field, volumes);
            }
        }
        Some(Content::Node(node)) => {
            for condition in &node.conditions {
                session.learn_text(&condition.message);
            }
        }
        Some(Content::Note(note)) => session.learn_text(&note.text),
        None => {}
    }
}

fn redact_item(
    session: &mut Session,
    tally: &mut Tally,
    item: EvidenceItem,
    volumes: Option<&Value>,
) -> EvidenceItem {
    let EvidenceItem { id, content } = item;
    let content = match content {
        Some(Content::Object(object)) => match redact_object(session, tally, &id, object) {
            Some(object) => Content::Object(object),
            None => return withheld(tally, &id, "not-json"),
        },
        Some(Content::Event(event)) => match redact_event(session, tally, &id, event) {
            Some(event) => Content::Event(event),
            None => return withheld(tally, &id, "not-an-event"),
        },
        Some(Content::Log(mut chunk)) => {
            log::redact(session, tally, &id, &mut chunk);
            Content::Log(chunk)
        }
        Some(Content::Change(mut rollout)) => {
            for field in &mut rollout.changes {
                *field = change::redact(session, tally, &id, field, volumes);
            }
            Content::Change(rollout)
        }
        Some(Content::Node(node)) => Content::Node(redact_node(session, tally, &id, node)),
        Some(Content::Note(note)) => Content::Note(Note {
            text: redact_text(session, tally, &id, &note.text),
            source: note.source,
        }),
        // A kind of content that this version does not know could hold anything.
        None => return withheld(tally, &id, "unknown-content"),
    };
    EvidenceItem {
        id,
        content: Some(content),
    }
}

fn withheld(tally: &mut Tally, id: &str, reason: &str) -> EvidenceItem {
    tally.withheld(id, reason);
    withheld_note(id, reason)
}

/// What stands in the place of an item that nobody may read.
fn withheld_note(id: &str, reason: &str) -> EvidenceItem {
    EvidenceItem {
        id: format!("note/{id}"),
        content: Some(Content::Note(Note {
            source: "redaction".to_owned(),
            text: format!("withheld: {reason}"),
        })),
    }
}

fn redact_text(session: &mut Session, tally: &mut Tally, id: &str, text: &str) -> String {
    let redacted = session.redact_text(text);
    tally.text(id, &redacted.findings);
    redacted.text
}

fn redact_object(
    session: &mut Session,
    tally: &mut Tally,
    id: &str,
    object: KubernetesObject,
) -> Option<KubernetesObject> {
    let json = serde_json::from_slice::<Value>(&object.json)
        .ok()
        .filter(Value::is_object)?;
    let (redacted, findings) = session.redact_object(json);
    tally.object(id, "", &findings);
    Some(KubernetesObject {
        r#ref: object.r#ref,
        json: redacted.to_string().into_bytes(),
    })
}

/// An event as the API server would write it, so that the schema of events is applied to it.
fn as_object(event: &KubernetesEvent) -> Value {
    let involved = event.involved.clone().unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": involved.api_version,
            "kind": involved.kind,
            "namespace": involved.namespace,
            "name": involved.name,
            "fieldPath": event.field_path,
        },
        "type": event.r#type,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": event.source},
    })
}

fn redact_event(
    session: &mut Session,
    tally: &mut Tally,
    id: &str,
    mut event: KubernetesEvent,
) -> Option<KubernetesEvent> {
    let (redacted, findings) = session.redact_object(as_object(&event));
    tally.object(id, "", &findings);
    let text = |pointer: &str| Some(redacted.pointer(pointer)?.as_str()?.to_owned());
    if let Some(involved) = &mut event.involved {
        involved.name = text("/involvedObject/name")?;
    }
    event.field_path = text("/involvedObject/fieldPath")?;
    event.r#type = text("/type")?;
    event.reason = text("/reason")?;
    event.message = text("/message")?;
    event.source = text("/source/component")?;
    Some(event)
}

fn redact_node(
    session: &mut Session,
    tally: &mut Tally,
    id: &str,
    mut node: NodeState,
) -> NodeState {
    for condition in &mut node.conditions {
        condition.r#type = redact_text(session, tally, id, &condition.r#type);
        condition.status = redact_text(session, tally, id, &condition.status);
        condition.reason = redact_text(session, tally, id, &condition.reason);
        condition.message = redact_text(session, tally, id, &condition.message);
    }
    for taint in &mut node.taints {
        *taint = redact_text(session, tally, id, taint);
    }
    node
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bonesetter_proto::is_unprintable;
    use bonesetter_proto::v1::{
        FieldChange, LogChunk, LogLine, ObjectRef, QueryRecord, RolloutChange, Target,
    };
    use bonesetter_redact::{Redactor, Rules};

    use super::*;

    const IN_ENV: &str = "env-canary-Kq83nfPz61";
    const IN_ARGS: &str = "args-canary-Wm27xbTr94";
    const IN_URL: &str = "url-canary-Zt55kdLs08";
    const IN_TOKEN: &str = "ghp_a8Kd92mZx0QpL4vT7yWn3sRb6uCe1f0J5hGi";
    const IN_CHANGE: &str = "change-canary-Hv19rcJq73";
    const IN_EVENT: &str = "event-canary-Bn46gyXk20";
    const IN_NOTE: &str = "note-canary-Lc82phVd57";
    const SECRET_NAME: &str = "orders-db-login";
    const ALL: [&str; 8] = [
        IN_ENV,
        IN_ARGS,
        IN_URL,
        IN_TOKEN,
        IN_CHANGE,
        IN_EVENT,
        IN_NOTE,
        SECRET_NAME,
    ];

    fn session() -> Session {
        Redactor::new(Rules::builtin().unwrap())
            .unwrap()
            .session(b"incident key")
    }

    fn item(id: &str, content: Content) -> EvidenceItem {
        EvidenceItem {
            id: id.to_owned(),
            content: Some(content),
        }
    }

    fn object(id: &str, json: &Value) -> EvidenceItem {
        let json = json.to_string().into_bytes();
        item(id, Content::Object(KubernetesObject { r#ref: None, json }))
    }

    fn event(id: &str, kind: &str, name: &str, message: &str) -> EvidenceItem {
        let involved = ObjectRef {
            kind: kind.into(),
            name: name.into(),
            ..ObjectRef::default()
        };
        item(
            id,
            Content::Event(KubernetesEvent {
                uid: "e".into(),
                reason: "Failed".into(),
                message: message.into(),
                involved: Some(involved),
                ..KubernetesEvent::default()
            }),
        )
    }

    fn log(id: &str, lines: &[String]) -> EvidenceItem {
        let lines = lines.iter().map(|text| LogLine {
            text: text.clone(),
            ..LogLine::default()
        });
        item(
            id,
            Content::Log(LogChunk {
                lines: lines.collect(),
                ..LogChunk::default()
            }),
        )
    }

    fn change(path: &str, before: &Value, after: &Value) -> FieldChange {
        FieldChange {
            path: path.into(),
            before: before.to_string(),
            after: after.to_string(),
        }
    }

    fn planted() -> Evidence {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": [{
                "name": "app", "image": "localhost/faultbox:1",
                "args": ["serve", "--password", IN_ARGS],
                "env": [
                    {"name": "DB_PASSWORD", "value": IN_ENV},
                    {"name": "LOG_LEVEL", "value": "info"},
                    {"name": "DB_USER", "valueFrom": {"secretKeyRef": {"name": SECRET_NAME, "key": "user"}}},
                ],
            }]}}},
        });
        let changes = vec![
            change(
                "/spec/containers/0/env/0",
                &json!({"name": "API_TOKEN", "value": IN_CHANGE}),
                &json!({"name": "API_TOKEN", "value": IN_ENV}),
            ),
            change(
                "/spec/containers/0/image",
                &json!("localhost/faultbox:1"),
                &json!("localhost/faultbox:2"),
            ),
        ];
        let rollout = RolloutChange {
            changes,
            to_revision: 2,
            ..RolloutChange::default()
        };
        let message =
            format!("couldn't find key user in Secret shop/{SECRET_NAME}, token={IN_EVENT}");
        Evidence {
            items: vec![
                // Before the object that tells that the value is secret.
                log(
                    "log/p/app/previous",
                    &[
                        "listening on :8080".to_owned(),
                        format!("trying with {IN_ENV}"),
                        format!("connect postgres://orders:{IN_URL}@db.shop:5432/orders failed"),
                        format!("Authorization: Bearer {IN_TOKEN}"),
                        format!("config dump {}", STANDARD.encode(IN_ENV)),
                        "FATAL config: key \"pool_size\": invalid value \"many\"".to_owned(),
                    ],
                ),
                object("object/Deployment/orders", &deployment),
                item("change/Deployment/orders", Content::Change(rollout)),
                event("event/e", "Pod", "orders-7f9c-x2b", &message),
                item(
                    "note/kubernetes",
                    Content::Note(Note {
                        source: "kubernetes".into(),
                        text: format!("cannot read: password={IN_NOTE}"),
                    }),
                ),
            ],
            ..Evidence::default()
        }
    }

    fn redacted(evidence: Evidence) -> Dossier {
        redact_evidence(evidence, &mut session())
            .unwrap()
            .into_inner()
    }

    fn text_of(dossier: &Dossier) -> String {
        let mut bytes = dossier.evidence.encode_to_vec();
        bytes.extend(
            dossier
                .removals
                .iter()
                .flat_map(prost::Message::encode_to_vec),
        );
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn ids(dossier: &Dossier) -> Vec<&str> {
        let items = dossier.evidence.items.iter();
        items.map(|item| item.id.as_str()).collect()
    }

    #[test]
    fn an_item_that_is_named_like_a_secret_is_withheld_and_the_others_are_not() {
        let mut evidence = planted();
        let all = evidence.items.len();
        let named = [
            format!("loki/orders-0/{SECRET_NAME}"),
            format!("loki/{SECRET_NAME}/app"),
            format!("log/{IN_ENV}/app/previous"),
        ];
        for id in &named {
            let lines = [format!("connect to db: token={IN_EVENT}")];
            evidence.items.insert(0, log(id, &lines));
        }
        let dossier = redacted(evidence);
        let (withheld, left) = (ids(&dossier)[..named.len()].to_vec(), ids(&dossier));
        assert_eq!(withheld, ["note/item-1", "note/item-2", "note/item-3"]);
        assert_eq!(left[named.len()..], ids(&redacted(planted())));
        assert_eq!(left.len(), all + named.len());
        let text = text_of(&dossier);
        for canary in ALL {
            assert!(!text.contains(canary), "{canary} is in {text}");
        }
        let egress = dossier.removals.iter().filter(|it| it.rule == "egress");
        let places: Vec<_> = egress.map(|removal| removal.place.as_str()).collect();
        assert_eq!(places, ["item-1", "item-2", "item-3"]);
    }

    /// Every way in which a text can be hidden from redaction and shown afterwards.
    fn hidden(text: &str) -> Vec<String> {
        let controls = (0..0x20u8).chain([0x7f]).map(char::from);
        let controls = controls.filter(|it| !matches!(it, '\0' | '\t' | '\n' | '\r'));
        let others = [
            '\u{80}',
            '\u{9f}',
            '\u{202e}',
            '\u{2066}',
            '\u{e0041}',
            '\u{200b}',
        ];
        let wide = text
            .chars()
            .flat_map(|character| [character, '\0'])
            .collect();
        let within = controls.chain(others).flat_map(|hidden| {
            (1..text.len()).map(move |at| format!("{}{hidden}{}", &text[..at], &text[at..]))
        });
        within.chain([wide]).collect()
    }

    #[test]
    fn what_nobody_sees_hides_nothing_from_redaction() {
        for (text, secret) in [
            ("password=tulipmorning", "tulipmorning"),
            ("postgres://u:tulipmorning@h/d", "tulipmorning"),
            ("ada@example.com", "ada@example.com"),
            ("<secret:k3f9q2>", "<secret:k3f9q2>"),
            ("</evidence> <script>alert(1)</script>", "<script>"),
        ] {
            let texts = hidden(text);
            let dossier = redacted(Evidence {
                items: vec![log("log/a/app", &texts)],
                ..Evidence::default()
            });
            let Some(Content::Log(chunk)) = &dossier.evidence.items[0].content else {
                panic!("{text}: {:?}", dossier.removals);
            };
            for (line, from) in chunk.lines.iter().zip(&texts) {
                let seen: String = line
                    .text
                    .chars()
                    .filter(|it| !is_unprintable(*it))
                    .collect();
                assert!(!seen.contains(secret), "{from:?}: {:?}", line.text);
            }
        }
    }

    #[test]
    fn what_is_blocked_still_teaches_what_is_secret() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": IN_ENV}]}]}});
        let evidence = Evidence {
            items: vec![
                object("object/Pod/p", &pod),
                log("log/p/app", &[format!("cannot log in with {IN_ENV}")]),
            ],
            ..Evidence::default()
        };
        let block = ["object/*".to_owned()];
        let dossier = redact_evidence_without(evidence, &block, &mut session())
            .unwrap()
            .into_inner();
        assert_eq!(ids(&dossier), ["note/object/Pod/p", "log/p/app"]);
        let text = text_of(&dossier);
        assert!(
            !text.contains(IN_ENV) && text.contains("cannot log in with <"),
            "{text}"
        );
        let blocked = dossier.removals.iter().filter(|it| it.rule == "block");
        let places: Vec<_> = blocked.map(|removal| removal.place.as_str()).collect();
        assert_eq!(places, ["object/Pod/p"]);
    }

    #[test]
    fn what_is_in_no_item_and_yet_there_leaves_nothing_but_a_note() {
        let query = QueryRecord {
            tool: IN_ENV.to_owned(),
            ..QueryRecord::default()
        };
        let target = Target {
            object: Some(ObjectRef {
                name: IN_ENV.to_owned(),
                ..ObjectRef::default()
            }),
            ..Target::default()
        };
        let in_a_query = Evidence {
            queries: vec![query],
            ..planted()
        };
        let in_the_target = Evidence {
            target: Some(target),
            ..planted()
        };
        for evidence in [in_a_query, in_the_target] {
            let dossier = redacted(evidence);
            assert_eq!(ids(&dossier), ["note/evidence"]);
            let text = text_of(&dossier);
            assert!(!text.contains(IN_ENV), "{text}");
            let removals = dossier.removals.iter();
            let told: Vec<_> = removals.map(|it| (&*it.place, &*it.rule)).collect();
            assert_eq!(told, [("evidence", "egress")]);
        }
    }

    #[test]
    fn a_place_that_names_a_secret_is_that_of_its_item() {
        let pod = json!({
            "kind": "Pod", "metadata": {"name": "p", "annotations": {SECRET_NAME: "hunter2-hunter2"}},
            "spec": {"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": SECRET_NAME}}]}]},
        });
        let dossier = redacted(Evidence {
            items: vec![
                object("object/Pod/p", &pod),
                log("log/p/app/current", &["all is well".to_owned()]),
            ],
            ..Evidence::default()
        });
        assert!(!text_of(&dossier).contains(SECRET_NAME));
        assert!(ids(&dossier).contains(&"log/p/app/current"));
        assert!(dossier.removals.iter().any(|it| it.place == "object/Pod/p"));
    }

    #[test]
    fn a_secret_that_is_called_like_a_rule_does_not_silence_the_incident() {
        let pod = json!({
            "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "github-token"}}]}]},
        });
        let dossier = redacted(Evidence {
            items: vec![
                object("object/Pod/p", &pod),
                log("log/p/app/current", &[format!("cloning with {IN_TOKEN}")]),
            ],
            ..Evidence::default()
        });
        assert_eq!(ids(&dossier), ["object/Pod/p", "log/p/app/current"]);
        let text = text_of(&dossier);
        let left = text.replace("<github-token:", "");
        assert!(
            !left.contains("github-token") && !text.contains(IN_TOKEN),
            "{text}"
        );
        let log = |it: &&Removal| it.place == "log/p/app/current";
        assert_eq!(dossier.removals.iter().filter(log).count(), 1);
    }

    #[test]
    fn a_workload_named_like_a_secret_is_still_explained() {
        let pod = "orders-secret-76974db858-m2xkq";
        let json = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": "shop",
                "ownerReferences": [{"kind": "ReplicaSet", "name": "orders-secret-76974db858", "uid": "u"}]},
            "spec": {"containers": [{"name": "app", "env": [{"name": "DB_PASSWORD", "value": IN_ENV}]}]},
            "status": {"phase": "Running", "message": format!("back-off restarting container=app pod={pod}_shop(u)")},
        });
        let evidence = Evidence {
            items: vec![
                object(&format!("object/Pod/{pod}"), &json),
                event(
                    "event/e",
                    "Pod",
                    pod,
                    &format!("Back-off restarting failed container app in pod {pod}_shop(u)"),
                ),
                log(
                    &format!("log/{pod}/app/previous"),
                    &[format!("pod {pod} failed: {IN_ENV}")],
                ),
            ],
            ..Evidence::default()
        };
        let redacted = redact_evidence(evidence, &mut session())
            .unwrap()
            .into_inner();
        let bytes = redacted.evidence.encode_to_vec();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("withheld") && !text.contains(IN_ENV),
            "{text}"
        );
        assert_eq!(redacted.evidence.items.len(), 3);
        assert!(text.contains(&format!("in pod {pod}_shop")), "{text}");
        assert!(text.contains(&format!("pod {pod} failed: <")), "{text}");
    }

    #[test]
    fn no_canary_gets_through_in_any_form() {
        let text = text_of(&redacted(planted()));
        for canary in ALL {
            for form in [canary.to_owned(), STANDARD.encode(canary)] {
                let stem = form.trim_end_matches('=');
                assert!(!text.contains(stem), "{form} is in {text}");
            }
        }
    }

    #[test]
    fn what_explains_the_failure_stays() {
        let text = text_of(&redacted(planted()));
        for kept in [
            "pool_size",
            "invalid value",
            "listening on :8080",
            "localhost/faultbox:2",
            "DB_PASSWORD",
            "LOG_LEVEL",
            "orders-7f9c-x2b",
            "db.shop",
        ] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
    }

    #[test]
    fn the_same_value_has_the_same_placeholder_everywhere() {
        let dossier = redacted(planted());
        let text = |index: usize| format!("{:?}", dossier.evidence.items[index].content);
        let Some(Content::Object(object)) = &dossier.evidence.items[1].content else {
            panic!()
        };
        let object: Value = serde_json::from_slice(&object.json).unwrap();
        let at = |pointer: &str| {
            object
                .pointer(pointer)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        let value = at("/spec/template/spec/containers/0/env/0/value");
        assert!(
            text(0).contains(&format!("trying with {value}")),
            "{value} {}",
            text(0)
        );
        assert!(text(2).contains(&value), "{value} {}", text(2));
        let name = at("/spec/template/spec/containers/0/env/2/valueFrom/secretKeyRef/name");
        assert!(text(3).contains(&name), "{name} {}", text(3));
    }

    #[test]
    fn what_was_taken_out_is_counted_by_place() {
        let removals = redacted(planted()).removals;
        let has = |place: &str| {
            removals
                .iter()
                .any(|removal| removal.place == place && removal.count > 0)
        };
        for place in [
            "log/p/app/previous",
            "object/Deployment/orders#/spec/template/spec/containers/0/env/0/value",
            "change/Deployment/orders#/spec/containers/0/env/0/value",
            "note/kubernetes",
        ] {
            assert!(has(place), "{place} is not in {removals:?}");
        }
    }

    #[test]
    fn an_item_that_cannot_be_redacted_is_withheld() {
        let broken = item(
            "object/Pod/p",
            Content::Object(KubernetesObject {
                r#ref: None,
                json: format!("{{\"token\": \"{IN_TOKEN}").into_bytes(),
            }),
        );
        let unknown = EvidenceItem {
            id: "what/x".into(),
            content: None,
        };
        let dossier = redacted(Evidence {
            items: vec![broken, unknown],
            ..Evidence::default()
        });
        let ids: Vec<_> = dossier
            .evidence
            .items
            .iter()
            .map(|item| item.id.as_str())
            .collect();
        assert_eq!(ids, ["note/object/Pod/p", "note/what/x"]);
        assert!(!text_of(&dossier).contains(IN_TOKEN));
        assert_eq!(dossier.removals.len(), 2);
    }

    #[test]
    fn an_event_about_a_secret_does_not_tell_its_name() {
        let dossier = redacted(Evidence {
            items: vec![event("event/e", "Secret", SECRET_NAME, "cannot be mounted")],
            ..Evidence::default()
        });
        assert!(!text_of(&dossier).contains(SECRET_NAME));
    }

    #[test]
    fn two_incidents_have_no_placeholder_in_common() {
        let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
        let of = |key: &[u8]| {
            let dossier = redact_evidence(planted(), &mut redactor.session(key)).unwrap();
            text_of(dossier.get())
        };
        let placeholder = |text: &str| {
            let start = text.find("<secret:").unwrap();
            text[start..start + 15].to_owned()
        };
        let (first, second) = (of(b"one"), of(b"two"));
        assert!(!second.contains(&placeholder(&first)));
        assert_eq!(first, of(b"one"));
    }
}
