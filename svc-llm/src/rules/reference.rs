//! References to things that do not exist: ConfigMaps, Secrets, their keys, volumes.

use std::sync::LazyLock;

use bonesetter_proto::v1::Citation;
use regex::Regex;
use serde_json::Value;

use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, Container, cite_text};

/// Fields through which a container refers to ConfigMaps and Secrets.
const REFERENCES: [&str; 5] = [
    "/env",
    "/envFrom",
    "/volumeMounts",
    "/spec/volumes",
    "/spec/imagePullSecrets",
];

/// `configmap "x" not found`, as the kubelet says it.
static OBJECT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?P<kind>configmap|secret) "(?P<name>[^"]*)" not found"#).ok()
});
/// `couldn't find key k in ConfigMap ns/x`, and the form for volumes.
static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)couldn't find key (?P<key>\S+) in (?P<kind>configmap|secret) (?:[^\s/]+/)?(?P<name>\S+)|references non-existent (?P<kind2>config|secret) key: (?P<key2>\S+)").ok()
});

struct Missing<'a> {
    is_secret: bool,
    name: Option<&'a str>,
    key: Option<&'a str>,
}

fn missing_in(text: &str) -> Option<Missing<'_>> {
    if let Some(found) = OBJECT.as_ref()?.captures(text) {
        let kind = found.name("kind")?.as_str();
        let name = found.name("name").map(|name| name.as_str());
        return Some(Missing {
            is_secret: kind.eq_ignore_ascii_case("secret"),
            name,
            key: None,
        });
    }
    let found = KEY.as_ref()?.captures(text)?;
    let group = |name: &str| {
        found
            .name(name)
            .map(|group| group.as_str().trim_end_matches([',', '.']))
    };
    let kind = group("kind").or_else(|| group("kind2"))?;
    Some(Missing {
        is_secret: kind.eq_ignore_ascii_case("secret"),
        name: group("name"),
        key: group("key").or_else(|| group("key2")),
    })
}

/// A ConfigMap or Secret, or a key of one, does not exist. Names are placeholders after redaction;
/// the path of the field that refers to it is cited instead.
pub(crate) fn missing_reference(case: &Case<'_>) -> Option<Finding> {
    let (container, citation, text) = told(case)?;
    let missing = missing_in(&text)?;
    let (kind, cause) = match (missing.is_secret, missing.key.is_some()) {
        (false, false) => ("ConfigMap", "missing-config-map"),
        (true, false) => ("Secret", "missing-secret"),
        (false, true) => ("ConfigMap", "missing-config-map-key"),
        (true, true) => ("Secret", "missing-secret-key"),
    };
    let what = match (missing.key, missing.name) {
        (Some(key), Some(name)) => format!("key {key} of {kind} {name} does not exist"),
        (Some(key), None) => format!("key {key} of a {kind} does not exist"),
        (None, name) => format!("{kind} {} does not exist", name.unwrap_or_default()),
    };
    let place = container
        .as_ref()
        .and_then(|container| referring_field(container, &missing));
    let at = place.as_ref().map_or_else(String::new, |place| {
        format!(" It is referred to at {place}.")
    });
    let who = container
        .as_ref()
        .map_or("a container", |container| container.name);
    let finding = Finding::new(
        cause,
        Group::Platform,
        format!(
            "{}: container {who} cannot be created because {what}.",
            case.subject()
        ),
    )
    .because(format!(
        "The kubelet cannot create container {who}: {what}.{at}"
    ))
    .advise(format!(
        "Create the {kind}{}, correct the reference, or mark it optional.",
        if missing.key.is_some() { "'s key" } else { "" }
    ))
    .fits(0.92)
    .cite(citation);
    let Some(container) = container else {
        return Some(finding);
    };
    let finding = finding.cite(place.and_then(|place| container.object.cite(&place)));
    Some(finding.blaming(case, &container, &REFERENCES))
}

/// The container that waits, and the text that says for what.
fn told<'c>(case: &'c Case<'_>) -> Option<(Option<Container<'c>>, Option<Citation>, String)> {
    let failing = case.failing();
    for container in &failing {
        if let Some((_, message)) = container
            .waiting()
            .filter(|(_, text)| missing_in(text).is_some())
        {
            let citation = container.cite_status("/state/waiting/message");
            return Some((Some(container.clone()), citation, message.to_owned()));
        }
    }
    let reasons = ["Failed", "FailedMount", "FailedCreatePodSandBox"];
    let event = case.event(&reasons, |text| missing_in(text).is_some())?;
    let citation = cite_text(event.id, &event.item.message);
    let owner = event
        .item
        .field_path
        .split(['{', '}'])
        .nth(1)
        .unwrap_or_default();
    let container = failing.iter().find(|container| container.name == owner);
    let container = container.or_else(|| failing.first()).cloned();
    Some((container, Some(citation), event.item.message.clone()))
}

/// Where the pod refers to what is missing: by its name, or else by the kind of reference.
fn referring_field(container: &Container<'_>, missing: &Missing<'_>) -> Option<String> {
    let marks: &[&str] = if missing.is_secret {
        &["secretKeyRef", "secretRef", "secret"]
    } else {
        &["configMapKeyRef", "configMapRef", "configMap"]
    };
    let spec = container.object.json.pointer("/spec")?;
    let mut places = Vec::new();
    walk(spec, "/spec".to_owned(), &mut places);
    let of_container = |place: &str| {
        place.starts_with(&format!("{}/", container.spec_pointer))
            || place.starts_with("/spec/volumes/")
    };
    let is_marked = |place: &str| place.split('/').any(|segment| marks.contains(&segment));
    let by_name = places.iter().find(|(place, text)| {
        missing
            .name
            .is_some_and(|name| !name.is_empty() && *text == name)
            && of_container(place)
            && is_marked(place)
    });
    let mut marked = places
        .iter()
        .filter(|(place, _)| of_container(place) && is_marked(place));
    by_name
        .or_else(|| marked.next())
        .map(|(place, _)| place.clone())
}

/// Every text below a value, with its pointer.
fn walk<'v>(value: &'v Value, pointer: String, found: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => found.push((pointer, text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = bonesetter_proto::pointer_token(name);
                walk(field, format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// A volume cannot be attached or mounted for another reason than a missing reference.
pub(crate) fn volume_not_mounted(case: &Case<'_>) -> Option<Finding> {
    let reasons = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"];
    let event = case
        .event(&reasons, |text| {
            missing_in(text).is_none() && !text.starts_with("Unable to attach or mount")
        })
        .or_else(|| case.event(&reasons, |text| missing_in(text).is_none()))?;
    let text = event.item.message.as_str();
    let (says, advice) = if text.contains("Multi-Attach") {
        (
            "the volume is still attached to another node",
            "Wait until the old pod is gone, or use a strategy that stops the old pod first (Recreate) or a volume that several nodes may mount.",
        )
    } else if text.contains("permission denied") || text.contains("access denied") {
        (
            "the storage denies access",
            "Check the export or the credentials of the storage.",
        )
    } else if text.contains("timed out") || text.contains("timeout") || text.contains("deadline") {
        (
            "the storage does not answer in time",
            "Check the storage and its driver on the node.",
        )
    } else {
        (
            "the node cannot set it up",
            "The cited event says what the storage driver answered.",
        )
    };
    let finding = Finding::new(
        "volume-not-mounted",
        Group::Platform,
        format!("{}: a volume cannot be mounted: {says}.", case.subject()),
    )
    .because(format!(
        "A volume of the pod cannot be mounted, {says}: {}",
        quote(text)
    ))
    .advise(advice)
    .fits(0.8)
    .cite(cite_text(event.id, text));
    Some(finding)
}

/// The image wants to run as root and the pod forbids it.
pub(crate) fn run_as_root_refused(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let (_, message) = container.waiting()?;
    if !message.contains("runAsNonRoot") && !message.contains("breaks non-root policy") {
        return None;
    }
    let name = container.name;
    let finding = Finding::new(
        "run-as-root-refused",
        Group::Platform,
        format!("{}: container {name} would run as root, which its pod forbids.", case.subject()),
    )
    .because(format!("The kubelet refuses to start container {name}: {}", quote(message)))
    .advise("Set runAsUser to a user other than 0 that the image can run as, or build the image with a numeric USER.")
    .fits(0.92)
    .cite(container.cite_status("/state/waiting/message"))
    .cite(container.cite("/securityContext"));
    Some(finding.blaming(
        case,
        container,
        &["/securityContext", "/spec/securityContext", "/image"],
    ))
}
