//! Documents that repeat what the code says, held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bonesetter_chassis::config::{Alias, Common, Settings};
use bonesetter_chassis::topology::{BUCKETS, CONSUMERS, STREAMS, USERS, permissions};
use serde_json::{Value, json};

use crate::workloads::root;

/// The rows of the tables under a heading: the cells, without the back-ticks of the first ones.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            is_inside = title == heading;
        }
        if !is_inside || !line.starts_with("| `") {
            continue;
        }
        let cells = line.trim_matches('|').split('|');
        rows.push(
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect(),
        );
    }
    rows
}

/// Every setting with its default, as it is written in the document.
fn defaults(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                defaults(value, &path, found);
            }
            return;
        }
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "empty".to_owned(),
        Value::Array(list) => {
            let items: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        other => other.to_string(),
    };
    found.insert(path.to_owned(), text);
}

fn check_settings(text: &str, heading: &str, value: &Value, aliases: &[Alias]) {
    let mut expected = BTreeMap::new();
    defaults(value, "", &mut expected);
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for alias in aliases {
        names.entry(alias.key).or_default().push(alias.variable);
    }
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(key, default)| {
            let alias = names.remove(key.as_str()).unwrap_or_default().join(", ");
            (key, default, alias)
        })
        .collect();
    assert!(names.is_empty(), "{heading}: aliases of nothing: {names:?}");
    let written: BTreeSet<_> = rows(text, heading)
        .into_iter()
        .map(|row| {
            let [key, default, alias, what] = &row[..] else {
                panic!("{heading}: {row:?} does not have four cells");
            };
            assert!(!what.is_empty(), "{heading}: {key} is not explained");
            (key.clone(), default.clone(), alias.clone())
        })
        .collect();
    let missing: Vec<_> = expected.difference(&written).collect();
    let wrong: Vec<_> = written.difference(&expected).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "docs/settings.md, {heading}: lacks {missing:?}, has {wrong:?}"
    );
}

fn check_service<S: Settings>(text: &str, heading: &str, given: Value) {
    let settings: S = serde_json::from_value(given).unwrap();
    let value = serde_json::to_value(&settings).unwrap();
    check_settings(text, heading, &value, S::ALIASES);
}

#[test]
fn every_setting_is_in_the_document_with_its_default_and_other_names() {
    let text = fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let common: Common = serde_json::from_value(json!({"cluster": "required"})).unwrap();
    let common = serde_json::to_value(common).unwrap();
    check_settings(&text, "Every service", &common, &[]);
    check_service::<svc_watcher::Config>(&text, "svc-watcher", json!({}));
    check_service::<svc_enricher::config::Config>(&text, "svc-enricher", json!({}));
    check_service::<svc_redactor::config::Config>(&text, "svc-redactor", json!({}));
    check_service::<svc_llm::config::Config>(&text, "svc-llm", json!({}));
    check_service::<svc_actuator::Config>(&text, "svc-actuator", json!({}));
    check_service::<svc_notifier::Config>(&text, "svc-notifier", json!({}));
    let required = "required";
    let export = json!({"endpoint": required, "bucket": required, "credential_file": required});
    let serve =
        json!({"certificate_file": required, "key_file": required, "client_ca_file": required});
    let audit = json!({"export": export, "serve": serve});
    check_service::<svc_audit::Config>(&text, "svc-audit", audit);
}

/// Name and help text of every metric that a source file registers.
fn registered(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for call in text.split("registry.register(").skip(1) {
        let mut literals = call.split('"');
        if let (Some(name), Some(help)) = (literals.nth(1), literals.nth(1)) {
            found.push((format!("bonesetter_{name}"), help.to_owned()));
        }
    }
    found
}

#[test]
fn every_metric_is_in_the_document_with_its_help_text() {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let crates = [
        ("Every service", "chassis"),
        ("svc-watcher", "svc-watcher"),
        ("svc-enricher", "svc-enricher"),
        ("svc-redactor", "svc-redactor"),
        ("svc-llm", "svc-llm"),
        ("svc-actuator", "svc-actuator"),
        ("svc-notifier", "svc-notifier"),
        ("svc-audit", "svc-audit"),
    ];
    for (heading, folder) in crates {
        let file = root().join(folder).join("src/metrics.rs");
        let expected: BTreeSet<_> = registered(&file).into_iter().collect();
        assert!(!expected.is_empty(), "{folder} registers nothing");
        let written: BTreeSet<_> = rows(&text, heading)
            .into_iter()
            .map(|row| {
                let name = row[0].strip_suffix("_total").unwrap_or(&row[0]);
                (name.to_owned(), row.last().unwrap().clone())
            })
            .collect();
        assert_eq!(written, expected, "docs/metrics.md, {heading}");
    }
}

#[test]
fn streams_consumers_and_buckets_are_in_the_document_as_they_are() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let streams: Vec<Vec<String>> = STREAMS
        .iter()
        .map(|stream| {
            let filter = stream.filter();
            let writers: Vec<_> = USERS
                .iter()
                .filter(|user| permissions(user).publish.contains(&filter))
                .map(|user| user.name)
                .collect();
            vec![
                stream.name.to_owned(),
                filter,
                match writers[..] {
                    [] if stream.stage.is_none() => "nats-server".to_owned(),
                    [] => "every runner".to_owned(),
                    _ => writers.join(", "),
                },
                format!("{} d", stream.max_age.as_secs() / 86_400),
                format!("{} MiB", stream.max_bytes >> 20),
            ]
        })
        .collect();
    assert_eq!(rows(&text, "Streams"), streams);
    let consumers: Vec<Vec<String>> = CONSUMERS
        .iter()
        .map(|consumer| {
            let limit = match consumer.max_deliver {
                0 => "no limit".to_owned(),
                limit => limit.to_string(),
            };
            let step = consumer.step.unwrap_or_default();
            [consumer.name, consumer.stream.name, step, consumer.user]
                .map(str::to_owned)
                .into_iter()
                .chain([limit])
                .collect()
        })
        .collect();
    assert_eq!(rows(&text, "Consumers"), consumers);
    for bucket in BUCKETS {
        let sentence = format!("`{}` ({})", bucket.name, bucket.user);
        assert!(text.contains(&sentence), "{sentence}");
    }
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            documents(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut files = Vec::new();
    documents(&root(), &mut files);
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let is_ours = !target.is_empty() && !target.contains("://");
            if is_ours && !file.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
