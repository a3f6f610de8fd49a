//! What the last rollout changed, and whether it can be to blame.

use std::collections::BTreeSet;

use bonesetter_proto::v1::{FieldChange, RolloutChange};
use serde_json::Value;

use super::{Case, Cited, Container};

/// What happened to one environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvChangeKind {
    Added,
    Removed,
    Changed,
}

/// One environment variable that a rollout touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvChange<'r> {
    pub(crate) name: String,
    pub(crate) kind: EnvChangeKind,
    pub(crate) path: &'r str,
}

/// The last rollout of the workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rollout<'r, 'a> {
    case: &'r Case<'a>,
    pub(crate) id: &'a str,
    pub(crate) change: &'a RolloutChange,
}

impl<'r, 'a> Rollout<'r, 'a> {
    pub(crate) const fn new(case: &'r Case<'a>, change: Cited<'a, RolloutChange>) -> Self {
        Self {
            case,
            id: change.id,
            change: change.item,
        }
    }

    /// Changes of one container whose field, below the container, begins with one of these.
    pub(crate) fn touching(&self, container: &str, fields: &[&str]) -> Vec<&'a FieldChange> {
        let touches = |change: &&FieldChange| {
            let Some((owner, field)) = self.container_field(&change.path) else {
                return false;
            };
            owner.is_none_or(|owner| owner == container)
                && fields.iter().any(|wanted| begins_with(field, wanted))
        };
        self.change.changes.iter().filter(touches).collect()
    }

    /// The first change outside containers whose path begins with one of these.
    pub(crate) fn pod_change(&self, paths: &[&str]) -> Option<&'a FieldChange> {
        self.change
            .changes
            .iter()
            .find(|change| paths.iter().any(|path| begins_with(&change.path, path)))
    }

    /// Whether it changed nothing but what these fields of containers hold.
    pub(crate) fn touches_only(&self, fields: &[&str]) -> bool {
        self.change.changes.iter().all(|change| {
            self.container_field(&change.path)
                .is_some_and(|(_, field)| fields.iter().any(|wanted| begins_with(field, wanted)))
        })
    }

    /// The environment variables of one container that it touched. A variable that only moved to
    /// another place of the list is none of them.
    pub(crate) fn env_changes(&self, container: &str) -> Vec<EnvChange<'a>> {
        let live = self.live_env(container);
        let sides: Vec<_> = self
            .touching(container, &["/env"])
            .into_iter()
            .filter_map(|change| {
                Some(EnvSides::read(
                    change,
                    self.container_field(&change.path)?.1,
                ))
            })
            .collect();
        let before: BTreeSet<_> = sides.iter().flat_map(|side| &side.before).collect();
        let after: BTreeSet<_> = sides.iter().flat_map(|side| &side.after).collect();
        let mut found: Vec<EnvChange<'a>> = Vec::new();
        let mut push = |name: &str, kind, path| {
            if !found.iter().any(|known| known.name == name) {
                found.push(EnvChange {
                    name: name.to_owned(),
                    kind,
                    path,
                });
            }
        };
        for side in &sides {
            let path = side.change.path.as_str();
            for name in side.before.iter().filter(|name| !after.contains(name)) {
                if !live.contains(name) {
                    push(name, EnvChangeKind::Removed, path);
                }
            }
            for name in side.after.iter().filter(|name| !before.contains(name)) {
                push(name, EnvChangeKind::Added, path);
            }
            let same = side
                .before
                .intersection(&side.after)
                .filter(|_| side.key.is_some());
            for name in same {
                push(name, EnvChangeKind::Changed, path);
            }
            if let Some(name) = self.changed_value(container, side, &sides) {
                let gone = side.change.after.is_empty() && !live.contains(&name);
                let kind = if gone {
                    EnvChangeKind::Removed
                } else {
                    EnvChangeKind::Changed
                };
                push(&name, kind, path);
            }
        }
        found
    }

    /// The variable whose value this side changes, unless the place holds another variable now.
    fn changed_value(
        &self,
        container: &str,
        side: &EnvSides<'_>,
        all: &[EnvSides<'_>],
    ) -> Option<String> {
        let key = side
            .key
            .filter(|_| side.leaf.is_some_and(|leaf| leaf != "name"))?;
        let moved = |other: &EnvSides<'_>| other.key == Some(key) && other.leaf == Some("name");
        if key.parse::<usize>().is_ok() && all.iter().any(moved) {
            return None;
        }
        self.env_name(container, key)
    }

    /// The variables that the present template gives to a container.
    fn live_env(&self, container: &str) -> BTreeSet<String> {
        let containers = self.case.template_containers();
        let env = containers
            .iter()
            .find(|live| live.name == container)
            .map(|live| live.get("/env"));
        env.flatten().map(names_in).unwrap_or_default()
    }

    fn env_name(&self, container: &str, key: &str) -> Option<String> {
        let Ok(index) = key.parse::<usize>() else {
            return Some(key.to_owned());
        };
        let containers = self.case.template_containers();
        let live = containers.iter().find(|live| live.name == container)?;
        live.text(&format!("/env/{index}/name")).map(str::to_owned)
    }

    /// The container (where it can be told) and the field below it that a path names.
    fn container_field<'p>(&self, path: &'p str) -> Option<(Option<String>, &'p str)> {
        let below = ["/spec/containers/", "/spec/initContainers/"]
            .iter()
            .find_map(|list| Some((*list, path.strip_prefix(list)?)));
        let (list, rest) = below?;
        let (key, field) = rest
            .find('/')
            .map_or((rest, ""), |slash| rest.split_at(slash));
        let Ok(index) = key.parse::<usize>() else {
            return Some((Some(key.to_owned()), field));
        };
        let workload = self.case.workload();
        let name = workload.and_then(|workload| {
            workload
                .text(&format!("/spec/template{list}{index}/name"))
                .map(str::to_owned)
        });
        Some((name, field))
    }
}

/// Whether a path is, or lies below, another.
fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One change below `/env`, with the names of variables that each side of it speaks of.
struct EnvSides<'a> {
    change: &'a FieldChange,
    /// Place in the list, or name of the variable.
    key: Option<&'a str>,
    /// Field of the variable.
    leaf: Option<&'a str>,
    before: BTreeSet<String>,
    after: BTreeSet<String>,
}

impl<'a> EnvSides<'a> {
    fn read(change: &'a FieldChange, field: &'a str) -> Self {
        let mut segments = field.trim_start_matches("/env").split('/').skip(1);
        let (key, leaf) = (segments.next(), segments.next());
        let before = names(&change.before, key, leaf);
        let after = names(&change.after, key, leaf);
        Self {
            change,
            key,
            leaf,
            before,
            after,
        }
    }
}

fn names(side: &str, key: Option<&str>, leaf: Option<&str>) -> BTreeSet<String> {
    if side.is_empty() {
        return BTreeSet::new();
    }
    let value = serde_json::from_str(side).unwrap_or_else(|_| Value::String(side.to_owned()));
    match (key, leaf, &value) {
        (None, _, list) => names_in(list),
        (Some(key), None, _) if key.parse::<usize>().is_err() => BTreeSet::from([key.to_owned()]),
        (Some(_), None, variable) => variable["name"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect(),
        (Some(_), Some("name"), Value::String(name)) => BTreeSet::from([name.clone()]),
        _ => BTreeSet::new(),
    }
}

fn names_in(list: &Value) -> BTreeSet<String> {
    let variables = list.as_array().into_iter().flatten();
    variables
        .filter_map(|variable| variable["name"].as_str().map(str::to_owned))
        .collect()
}

impl Case<'_> {
    /// The revision that a pod belongs to, where its ReplicaSet is part of the evidence.
    pub(crate) fn revision_of(&self, container: &Container<'_>) -> Option<i64> {
        let owner = container
            .object
            .json
            .pointer("/metadata/ownerReferences/0/name")?
            .as_str()?;
        let owner = self
            .of_kind("ReplicaSet")
            .find(|object| object.reference.name == owner)?;
        owner
            .text("/metadata/annotations/deployment.kubernetes.io~1revision")?
            .parse()
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::FailureClass;
    use serde_json::json;

    use super::*;
    use crate::fixture::Fixture;

    fn changes(live: &Value, fields: &[(&str, &str, &str)]) -> Vec<(String, EnvChangeKind)> {
        let evidence = Fixture::deployment("web", &json!({ "name": "app", "env": live }))
            .rollout(1, 2, true, fields)
            .build();
        let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
        let found = case.rollout().unwrap().env_changes("app");
        found
            .into_iter()
            .map(|change| (change.name, change.kind))
            .collect()
    }

    #[test]
    fn a_removed_variable_is_told_from_a_moved_one_whatever_the_form_of_the_path() {
        let live = json!([{ "name": "A", "value": "1" }, { "name": "C", "value": "3" }]);
        let removed = vec![("B".to_owned(), EnvChangeKind::Removed)];
        for fields in [
            vec![
                ("/spec/containers/0/env/1/name", "\"B\"", "\"C\""),
                ("/spec/containers/0/env/1/value", "\"2\"", "\"3\""),
                ("/spec/containers/0/env/2/name", "\"C\"", ""),
                ("/spec/containers/0/env/2/value", "\"3\"", ""),
            ],
            vec![(
                "/spec/containers/0/env/2",
                r#"{"name":"B","value":"2"}"#,
                "",
            )],
            vec![("/spec/containers/app/env/B/value", "\"2\"", "")],
            vec![("/spec/containers/app/env/B", r#"{"value":"2"}"#, "")],
            vec![(
                "/spec/containers/0/env",
                r#"[{"name":"A"},{"name":"B"},{"name":"C"}]"#,
                r#"[{"name":"A"},{"name":"C"}]"#,
            )],
        ] {
            assert_eq!(changes(&live, &fields), removed, "{fields:?}");
        }
    }

    #[test]
    fn changed_and_added_variables_are_named() {
        let live = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "3" }]);
        assert_eq!(
            changes(
                &live,
                &[("/spec/containers/0/env/1/value", "\"2\"", "\"3\"")]
            ),
            [("B".to_owned(), EnvChangeKind::Changed)]
        );
        let pair = |value: &str| format!(r#"{{"name":"B","value":"{value}"}}"#);
        assert_eq!(
            changes(
                &live,
                &[("/spec/containers/0/env/1", &pair("2"), &pair("3"))]
            ),
            [("B".to_owned(), EnvChangeKind::Changed)]
        );
        assert_eq!(
            changes(
                &live,
                &[
                    ("/spec/containers/0/env/1/name", "", "\"B\""),
                    ("/spec/containers/0/env/1/value", "", "\"3\""),
                ]
            ),
            [("B".to_owned(), EnvChangeKind::Added)]
        );
    }

    #[test]
    fn fields_are_told_apart_by_container_and_whole_segments() {
        let live = json!([]);
        let evidence = Fixture::deployment("web", &json!({ "name": "app", "env": live }))
            .rollout(
                1,
                2,
                true,
                &[(
                    "/spec/containers/0/imagePullPolicy",
                    "\"Always\"",
                    "\"Never\"",
                )],
            )
            .build();
        let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
        let rollout = case.rollout().unwrap();
        assert!(rollout.touching("app", &["/image"]).is_empty());
        assert!(rollout.touching("other", &["/imagePullPolicy"]).is_empty());
        assert_eq!(rollout.touching("app", &["/imagePullPolicy"]).len(), 1);
        assert!(rollout.touches_only(&["/imagePullPolicy"]) && !rollout.touches_only(&["/image"]));
    }
}
