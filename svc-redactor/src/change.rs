//! What a rollout changed: values without the object that they stand in.
//!
//! A value alone says nothing about itself, so the object around it is built again from its path,
//! and goes through the same schema as a whole pod. Where the path leaves out what tells whether a
//! value is secret (the name of an env variable, the flag before an argument), it counts as secret.

use bonesetter_proto::v1::FieldChange;
use bonesetter_proto::{pointer_name, pointer_token};
use bonesetter_redact::Session;
use serde_json::{Map, Value, json};

use crate::removals::Tally;

/// Lists whose entries are told apart by a member that is not in the path of another member.
const NAMED_LISTS: [&str; 4] = ["env", "envFrom", "httpHeaders", "volumeMounts"];
/// Lists whose entries mean nothing without the ones before them.
const SEQUENCES: [&str; 2] = ["args", "command"];
/// Mappings whose keys people choose; a number there is a key and no place in a list.
const MAPPINGS: [&str; 5] = [
    "labels",
    "annotations",
    "nodeSelector",
    "limits",
    "requests",
];

/// Remembers the secrets of a change, so that they are found elsewhere.
pub(crate) fn learn(session: &mut Session, change: &FieldChange, volumes: Option<&Value>) {
    for side in [&change.before, &change.after] {
        if let Some((pod, _)) = whole(&change.path, side, volumes) {
            session.learn_object(&pod);
        }
    }
}

/// Redacts both sides of a change. `volumes` are those of the workload's pods: a mount is secret
/// when its volume is.
pub(crate) fn redact(
    session: &mut Session,
    tally: &mut Tally,
    id: &str,
    change: &FieldChange,
    volumes: Option<&Value>,
) -> FieldChange {
    let before = redact_side(session, tally, id, &change.path, &change.before, volumes);
    let after = redact_side(session, tally, id, &change.path, &change.after, volumes);
    let path = session.redact_text(&change.path);
    tally.text(id, &path.findings);
    FieldChange {
        path: path.text,
        before,
        after,
    }
}

fn redact_side(
    session: &mut Session,
    tally: &mut Tally,
    id: &str,
    path: &str,
    side: &str,
    volumes: Option<&Value>,
) -> String {
    if side.is_empty() {
        return String::new();
    }
    let redacted = whole(path, side, volumes).and_then(|(pod, pointer)| {
        let (mut redacted, findings) = session.redact_object(pod);
        let value = redacted.pointer_mut(&pointer).map(Value::take)?;
        let of_value = findings.into_iter().filter_map(|mut finding| {
            finding.pointer = finding.pointer.strip_prefix(&pointer)?.to_owned();
            Some(finding)
        });
        tally.object(id, path, &of_value.collect::<Vec<_>>());
        Some(value.to_string())
    });
    redacted.unwrap_or_else(|| {
        tally.withheld(&format!("{id}#{path}"), "without-context");
        Value::from("<withheld:without-context>").to_string()
    })
}

/// A pod with nothing but this value, and where in it the value stands; `None` where the path does
/// not say enough.
fn whole(path: &str, value: &str, volumes: Option<&Value>) -> Option<(Value, String)> {
    let mut value: Value = serde_json::from_str(value).ok()?;
    let tokens: Vec<String> = path
        .strip_prefix('/')?
        .split('/')
        .map(|token| pointer_name(token).into_owned())
        .collect();
    if !matches!(
        tokens.first().map(String::as_str),
        Some("metadata" | "spec")
    ) {
        return None;
    }
    let is_place = |index: usize| {
        let parent = index.checked_sub(1).and_then(|parent| tokens.get(parent));
        tokens[index].parse::<usize>().is_ok()
            && parent.is_some_and(|parent| !MAPPINGS.contains(&parent.as_str()))
    };
    let mut pointer = String::new();
    for (index, token) in tokens.iter().enumerate() {
        let is_inside = |lists: &[&str], more: usize| {
            lists.contains(&token.as_str()) && tokens.len() > index + more
        };
        if is_inside(&NAMED_LISTS, 2) || is_inside(&SEQUENCES, 1) {
            return None;
        }
        pointer.push('/');
        let token = if is_place(index) { "0" } else { token };
        pointer.push_str(&pointer_token(token));
    }
    for index in (0..tokens.len()).rev() {
        value = if is_place(index) {
            Value::Array(vec![value])
        } else {
            Value::Object(Map::from_iter([(tokens[index].clone(), value)]))
        };
    }
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
    merge(&mut pod, value);
    if let (Some(volumes), Some(spec)) =
        (volumes, pod.get_mut("spec").and_then(Value::as_object_mut))
    {
        spec.entry("volumes").or_insert_with(|| volumes.clone());
    }
    Some((pod, pointer))
}

fn merge(pod: &mut Value, value: Value) {
    if let (Value::Object(pod), Value::Object(members)) = (pod, value) {
        pod.extend(members);
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_redact::{Redactor, Rules};

    use super::*;

    fn redacted(path: &str, before: &str, after: &str) -> (String, String) {
        let mut session = Redactor::new(Rules::builtin().unwrap())
            .unwrap()
            .session(b"key");
        let volumes = json!([{"name": "creds", "secret": {"secretName": "db-login"}}]);
        let change = FieldChange {
            path: path.into(),
            before: before.into(),
            after: after.into(),
        };
        learn(&mut session, &change, Some(&volumes));
        let change = redact(
            &mut session,
            &mut Tally::default(),
            "change/x",
            &change,
            Some(&volumes),
        );
        assert_eq!(change.path, path);
        (change.before, change.after)
    }

    #[test]
    fn what_is_no_secret_stays() {
        let cases = [
            ("/spec/containers/0/image", r#""api:1""#, r#""api:2""#),
            (
                "/spec/containers/0/resources/limits/memory",
                r#""64Mi""#,
                "",
            ),
            (
                "/spec/containers/0/env/1",
                r#"{"name":"LOG_LEVEL","value":"info"}"#,
                "",
            ),
            (
                "/spec/containers/0/args",
                r#"["serve","--port","8080"]"#,
                r#"["serve"]"#,
            ),
            ("/spec/terminationGracePeriodSeconds", "30", "60"),
            ("/metadata/labels/0", r#""a""#, r#""b""#),
            (
                "/spec/containers/0/volumeMounts/0",
                r#"{"mountPath":"/cache","name":"cache"}"#,
                "",
            ),
        ];
        for (path, before, after) in cases {
            assert_eq!(
                redacted(path, before, after),
                (before.to_owned(), after.to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn secrets_go_whatever_the_form_of_the_path() {
        let secret = "correct-horse-battery-7";
        let cases = [
            (
                "/spec/containers/0/env/3",
                format!(r#"{{"name":"DB_PASSWORD","value":"{secret}"}}"#),
            ),
            (
                "/spec/initContainers/2/env/3",
                format!(r#"{{"name":"API_TOKEN","value":"{secret}"}}"#),
            ),
            ("/spec/containers/0/env/3/value", format!(r#""{secret}""#)),
            (
                "/spec/containers/0/env",
                format!(r#"[{{"name":"DB_PASSWORD","value":"{secret}"}}]"#),
            ),
            (
                "/spec/containers/1",
                format!(r#"{{"name":"a","args":["--password","{secret}"]}}"#),
            ),
            (
                "/spec/containers/0/args",
                format!(r#"["--password","{secret}"]"#),
            ),
            ("/spec/containers/0/args/1", format!(r#""{secret}""#)),
            ("/spec/containers/0/command/2", format!(r#""{secret}""#)),
            (
                "/spec/volumes/0/secret/secretName",
                format!(r#""{secret}""#),
            ),
            (
                "/spec/imagePullSecrets/0",
                format!(r#"{{"name":"{secret}"}}"#),
            ),
            (
                "/spec/containers/0/envFrom/0",
                format!(r#"{{"secretRef":{{"name":"{secret}"}}}}"#),
            ),
            (
                "/spec/containers/0/volumeMounts/0",
                format!(r#"{{"mountPath":"/run/{secret}","name":"creds"}}"#),
            ),
            (
                "/spec/containers/0/volumeMounts/0/mountPath",
                format!(r#""/run/{secret}""#),
            ),
            (
                "/spec/containers/0/livenessProbe/httpGet/httpHeaders/0",
                format!(r#"{{"name":"Authorization","value":"Bearer {secret}"}}"#),
            ),
            (
                "/metadata/annotations/example.com~1token",
                format!(r#""{secret}""#),
            ),
            ("/elsewhere/0", format!(r#""{secret}""#)),
            ("/spec/containers/0/image", format!("{secret} is not JSON")),
        ];
        for (path, value) in cases {
            let (before, after) = redacted(path, &value, &value);
            assert!(
                !before.contains(secret) && !after.contains(secret),
                "{path}: {before}"
            );
            assert!(
                serde_json::from_str::<Value>(&before).is_ok(),
                "{path}: {before}"
            );
        }
    }

    #[test]
    fn the_name_of_a_variable_stays_and_equal_values_look_equal() {
        let (before, after) = redacted(
            "/spec/containers/0/env/0",
            r#"{"name":"DB_PASSWORD","value":"correct-horse-battery-7"}"#,
            r#"{"name":"DB_PASSWORD","value":"correct-horse-battery-8"}"#,
        );
        assert!(
            before.contains(r#""name":"DB_PASSWORD""#) && before != after,
            "{before} {after}"
        );
    }
}
