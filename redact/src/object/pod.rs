//! The parts of a pod that need more than a table: environment, volumes, annotations.

use serde_json::Value;

use crate::finding::ObjectFinding;
use crate::lexicon::{Naming, classify, is_secret_env};
use crate::object::schema::{self, Shape};
use crate::object::{Walk, classify_field, public_names};

impl Walk<'_> {
    pub(crate) fn env_var(&mut self, value: &mut Value) {
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        self.members(value, |walk, key, value| match key {
            "value" if is_secret_env(&name) => {
                if value.as_str().is_some_and(str::is_empty) {
                    return;
                }
                walk.secret(value, "secret", "env");
            }
            "value" => walk.free(value, classify(&name), "env"),
            "valueFrom" => walk.value_from(value),
            _ => walk.free(value, Naming::Ordinary, "env"),
        });
    }

    /// Which kind of source it is stays; everything else goes.
    fn value_from(&mut self, value: &mut Value) {
        if !value.is_object() {
            return self.withhold_all(value, "value-from", "valueFrom");
        }
        self.members(value, |walk, key, value| {
            if matches!(key, "secretKeyRef" | "configMapKeyRef") && value.is_object() {
                let Shape::Fields(_, table) = &schema::VALUE_FROM else {
                    return;
                };
                if let Some((_, shape)) = table.iter().find(|(name, _)| *name == key) {
                    return walk.shape(value, shape, "valueFrom");
                }
            }
            walk.session.count("withheld", "value-from", "valueFrom");
            let pointer = walk.pointer.clone();
            walk.findings.push(ObjectFinding {
                rule: "value-from".into(),
                kind: "withheld".into(),
                pointer,
            });
            *value = serde_json::json!({ "redacted": walk.session.withheld("value-from") });
        });
    }

    pub(crate) fn header(&mut self, value: &mut Value) {
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        self.members(value, |walk, key, value| {
            let naming = if key == "value" {
                classify(&name)
            } else {
                Naming::Ordinary
            };
            walk.free(value, naming, "header");
        });
    }

    pub(crate) fn annotations(&mut self, value: &mut Value) {
        self.members(value, |walk, key, value| {
            let parsed = match value.as_str() {
                Some(text) if key.ends_with("last-applied-configuration") => {
                    serde_json::from_str::<Value>(text).ok()
                }
                _ => None,
            };
            let Some(mut object) = parsed else {
                return walk.free(value, classify(key), "annotations");
            };
            for name in public_names(&object) {
                walk.session.learn_public(&name);
            }
            let first = walk.findings.len();
            walk.shape(&mut object, &Shape::Object, "annotations");
            // A pointer ends at the string that holds the object.
            let pointer = walk.pointer.clone();
            walk.findings[first..]
                .iter_mut()
                .for_each(|finding| finding.pointer.clone_from(&pointer));
            *value = Value::String(object.to_string());
        });
    }

    pub(crate) fn reference(&mut self, value: &mut Value) {
        let kind = match value["kind"].as_str() {
            Some("Secret") => Some("secret-name"),
            Some("ConfigMap") => Some("configmap-name"),
            _ => None,
        };
        self.members(value, |walk, key, value| match kind {
            Some(kind) if key == "name" => walk.name(value, kind, "reference"),
            _ => walk.free(value, classify_field(key), "reference"),
        });
    }

    pub(crate) fn pod_spec(&mut self, value: &mut Value) {
        let volumes = value["volumes"].as_array().into_iter().flatten();
        let secret = volumes.filter(|volume| {
            schema::SECRET_SOURCES
                .iter()
                .any(|(source, _)| volume.get(source).is_some())
        });
        let names = secret
            .filter_map(|volume| volume["name"].as_str())
            .map(str::to_owned)
            .collect();
        let outer = std::mem::replace(&mut self.volumes, names);
        self.shape(value, &schema::POD_SPEC, "spec");
        self.volumes = outer;
    }

    pub(crate) fn volume(&mut self, value: &mut Value) {
        let secret = value["name"]
            .as_str()
            .is_some_and(|name| self.volumes.contains(name));
        self.members(value, |walk, key, value| {
            if key == "name" && secret {
                return walk.name(value, "volume", "volumes");
            }
            let sources = schema::SECRET_SOURCES.iter().chain(schema::OTHER_SOURCES);
            match sources.clone().find(|(source, _)| *source == key) {
                Some((_, shape)) => walk.shape(value, shape, "volumes"),
                None => walk.free(value, Naming::Ordinary, "volumes"),
            }
        });
    }

    pub(crate) fn volume_mount(&mut self, value: &mut Value) {
        let secret = value["name"]
            .as_str()
            .is_some_and(|name| self.volumes.contains(name));
        self.members(value, |walk, key, value| match key {
            "name" if secret => walk.name(value, "volume", "volumeMounts"),
            "mountPath" | "subPath" | "subPathExpr" | "devicePath" if secret => {
                walk.secret(value, "mount-path", "volumeMounts");
            }
            _ => walk.free(value, Naming::Ordinary, "volumeMounts"),
        });
    }
}
