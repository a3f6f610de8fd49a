//! Names of an object that stay readable.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kind_of_items;

/// Names that explanations need: of the object, its namespace, owners and containers. Not its labels: anybody may write
/// a secret into one, which must not make it public.
pub(crate) fn public_names(object: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect_public(object, "", &mut names);
    names
}

/// `listed` is the kind of an object that does not say one.
fn collect_public(object: &Value, listed: &str, names: &mut BTreeSet<String>) {
    let kind = object["kind"].as_str().unwrap_or(listed);
    if matches!(kind, "Secret" | "ConfigMap") {
        return;
    }
    for item in object["items"].as_array().into_iter().flatten() {
        collect_public(item, kind_of_items(kind), names);
    }
    collect_names(object, names, 0);
}

fn collect_names(value: &Value, names: &mut BTreeSet<String>, depth: usize) {
    if depth > 12 {
        return;
    }
    let Value::Object(members) = value else {
        return;
    };
    let metadata = &value["metadata"];
    let singles = [
        &metadata["name"],
        &metadata["namespace"],
        &value["serviceAccountName"],
        &value["nodeName"],
    ];
    names.extend(
        singles
            .into_iter()
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    for list in [
        "containers",
        "initContainers",
        "ephemeralContainers",
        "ownerReferences",
    ] {
        let items = value[list]
            .as_array()
            .into_iter()
            .chain(metadata[list].as_array())
            .flatten();
        names.extend(
            items
                .filter_map(|item| item["name"].as_str())
                .map(str::to_owned),
        );
    }
    for key in ["spec", "template", "jobTemplate"] {
        if let Some(inner) = members.get(key) {
            collect_names(inner, names, depth + 1);
        }
    }
}
