//! Rules of the whole workspace that no lint knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::workloads::root;

/// What services are made of; they know no service.
const SHARED: [&str; 4] = [
    "bonesetter-proto",
    "bonesetter-keys",
    "bonesetter-chassis",
    "bonesetter-redact",
];
/// A file is one job.
const MAX_LINES: usize = 400;

/// Every crate of the workspace with those that it is built from; what only its tests use is left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let of = |package: &Value| -> BTreeSet<String> {
        let all = package["dependencies"].as_array().unwrap();
        let built = all.iter().filter(|one| one["kind"] != "dev");
        built.map(name).collect()
    };
    packages
        .iter()
        .map(|package| (name(package), of(package)))
        .collect()
}

#[test]
fn no_service_uses_another_and_what_is_shared_uses_none() {
    let all = dependencies();
    let is_service = |name: &String| name.starts_with("svc-");
    assert_eq!(all.keys().filter(|name| is_service(name)).count(), 7);
    for name in SHARED {
        assert!(all.contains_key(name), "{name} is not in the workspace");
    }
    let inner = |name: &String| is_service(name) || SHARED.contains(&name.as_str());
    for (name, uses) in all.iter().filter(|(name, _)| inner(name)) {
        let wrong: Vec<_> = uses.iter().filter(|used| is_service(used)).collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}");
        let outer = ["bonesetter", "bonesetter-demo", "bonesetter-testbed"];
        let wrong: Vec<_> = outer.iter().filter(|it| uses.contains(**it)).collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}");
    }
}

#[test]
fn remote_systems_are_known_where_they_are_used_and_nowhere_else() {
    let owners: [(&str, &[&str]); 5] = [
        ("kube", &["svc-watcher", "svc-enricher", "svc-actuator"]),
        (
            "k8s-openapi",
            &["svc-watcher", "svc-enricher", "svc-actuator"],
        ),
        ("async-nats", &["bonesetter-chassis"]),
        ("sqlx", &["svc-audit"]),
        ("object_store", &["svc-audit"]),
    ];
    let all = dependencies();
    for (client, owners) in owners {
        for (name, _) in all.iter().filter(|(_, uses)| uses.contains(client)) {
            let is_part = name.starts_with("svc-") || SHARED.contains(&name.as_str());
            assert!(
                !is_part || owners.contains(&name.as_str()),
                "{name} uses {client}"
            );
        }
    }
}

/// The files that git would commit, with their text.
fn texts() -> Vec<(PathBuf, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let mut found = Vec::new();
    if output.status.success() {
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            // What is not text, or is being removed, has nothing to say here.
            if let Ok(text) = fs::read_to_string(root().join(line)) {
                found.push((PathBuf::from(line), text));
            }
        }
    }
    assert!(found.len() > 100, "{}: not a checkout", root().display());
    found
}

fn is_code(path: &Path) -> bool {
    let is_test = path.components().any(|part| part.as_os_str() == "tests");
    let is_generated = path.components().any(|it| it.as_os_str() == "generated");
    path.extension().is_some_and(|it| it == "rs") && !is_test && !is_generated
}

/// The modules that a file has for its tests only.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "main.rs") => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    };
    text.split("#[cfg(test)]\nmod ")
        .skip(1)
        .filter_map(|rest| rest.split_once(';'))
        .map(|(name, _)| folder.join(format!("{name}.rs")))
        .collect()
}

#[test]
fn no_file_does_more_than_one_job() {
    let texts = texts();
    let tests: BTreeSet<_> = texts
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let long: Vec<_> = texts
        .into_iter()
        .filter(|(path, _)| is_code(path) && !tests.contains(path))
        .map(|(path, text)| {
            let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
            (path, lines.count())
        })
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines: {long:?}");
}

#[test]
fn nothing_names_a_machine_or_a_package_registry() {
    // In pieces, or this file would be found.
    let forbidden = [
        ["/ro", "ot/"],
        ["/wo", "rk/"],
        ["/ho", "me/"],
        ["crates", ".io"],
        ["pypi", ".org"],
        ["proxy.gol", "ang.org"],
        ["deb.deb", "ian.org"],
        ["npm", "js."],
    ]
    .map(|pieces| pieces.concat());
    let mut found = Vec::new();
    for (path, text) in texts() {
        // The lock file is cargo's; the redactor knows whose tokens it looks for.
        if path.ends_with("Cargo.lock") || path.starts_with("redact") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
