//! `docs/subjects.md` shows the examples, letter by letter. `BLESS=1` writes them into it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use bonesetter_chassis::bus::header;
use bonesetter_chassis::topology::{
    COPIES, ExternalUser, MAX_MESSAGE_BYTES, MAX_NAMESPACES, PULL_EXPIRES, authorization_with,
    external_permissions,
};
use bonesetter_proto::{Stage, Writer};

use crate::bed::TOOL;
use crate::example::folder;

fn page() -> String {
    fs::read_to_string(folder().join("../subjects.md")).unwrap()
}

/// The lines of the page between a heading and the next one.
pub(crate) fn section(heading: &str) -> String {
    let page = page();
    let (_, from) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let inside = from.lines().take_while(|line| !line.starts_with('#'));
    inside.collect::<Vec<_>>().join("\n")
}

/// What stands between back-ticks in the first cell of each row of a table.
pub(crate) fn first_cells(section: &str) -> Vec<BTreeSet<String>> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cell = row.split('|').nth(1).unwrap();
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    })
    .collect()
}

/// Every file that is an example, by its path under `docs/examples`.
fn sources(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && !name.starts_with('_') {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|it| it == "rs" || it == "go" || it == "py" || it == "sh")
        {
            let relative = path.strip_prefix(folder()).unwrap();
            found.insert(relative.to_string_lossy().into_owned());
        }
    }
}

/// The text with what follows each link to an example replaced by the example, and their paths.
fn with_examples(text: &str) -> (String, BTreeSet<String>) {
    let mut written = String::new();
    let mut shown = BTreeSet::new();
    let mut lines = text.lines();
    let mut awaited: Option<String> = None;
    while let Some(line) = lines.next() {
        written.push_str(line);
        written.push('\n');
        if let Some(path) = line
            .strip_suffix("):")
            .and_then(|it| it.rsplit_once("](examples/"))
        {
            awaited = Some(path.1.to_owned());
        } else if line.starts_with("```")
            && let Some(path) = awaited.take()
        {
            written.push_str(&fs::read_to_string(folder().join(&path)).unwrap());
            written.push_str("```\n");
            assert!(
                lines.any(|line| line == "```"),
                "{path}: the block does not end"
            );
            shown.insert(path);
        }
    }
    assert_eq!(awaited, None, "is not followed by a block");
    (written, shown)
}

#[test]
fn the_page_shows_every_example_as_it_is() {
    let text = page();
    let (expected, shown) = with_examples(&text);
    if env::var("BLESS").is_ok() {
        fs::write(folder().join("../subjects.md"), &expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/subjects.md differs from docs/examples; BLESS=1 writes it"
        );
    }
    let mut all = BTreeSet::new();
    sources(folder(), &mut all);
    assert_eq!(shown, all, "shown, and there");
}

#[test]
fn the_page_shows_what_an_example_in_rust_needs() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let (_, from) = manifest.split_once("[dependencies]\n").unwrap();
    let (needed, _) = from.split_once("\n\n").unwrap();
    assert!(
        page().contains(&format!("[dependencies]\n{needed}\n```")),
        "{needed}"
    );
}

/// What a tool rests on, and what the page therefore has to name.
#[test]
fn the_page_names_every_copy_stage_key_and_header() {
    let text = page();
    let mut names: Vec<String> = Stage::ALL.iter().map(|it| format!("| `{it}` |")).collect();
    names.extend(COPIES.iter().map(|copy| format!("`{}`", copy.name)));
    names.extend([Writer::Llm, Writer::Publisher].map(|it| format!("`{}.pub`", it.service())));
    names.extend([header::KEY_ID, header::SIGNATURE, header::SCHEMA].map(|it| format!("`{it}`")));
    names.extend([header::TRACEPARENT, header::CONTENT_TYPE].map(|it| format!("`{it}`")));
    names.extend(header::CE.map(|it| format!("`{it}`")));
    let missing: Vec<_> = names.iter().filter(|it| !text.contains(*it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_lists_what_a_tool_may_do() {
    let tool = ExternalUser::new(TOOL, ["shop"]).unwrap();
    let permissions = external_permissions(&tool);
    let text = page();
    let all = permissions.publish.iter().chain(&permissions.subscribe);
    let missing: Vec<_> = all
        .filter(|it| !text.contains(&format!("    {it}\n")))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn what_is_shown_in_go_is_formatted_and_vetted() {
    let output = Command::new("go")
        .args(["vet", "./..."])
        .current_dir(folder().join("go"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = Command::new("gofmt")
        .arg("-l")
        .arg(folder().join("go"))
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
}

#[test]
fn the_page_names_the_limits_as_they_are() {
    let text = page();
    let tool = ExternalUser::new(TOOL, ["shop"]).unwrap();
    let connections = authorization_with(&[tool], |_| Vec::new());
    let (_, connections) = connections.split_once("max_connections: ").unwrap();
    let connections = connections.split(' ').next().unwrap();
    let mut limits = vec![
        format!("{} KiB a message", MAX_MESSAGE_BYTES >> 10),
        format!("{MAX_NAMESPACES} namespaces a tool"),
        format!("{connections} connections a tool"),
        format!("{} s that a pull waits", PULL_EXPIRES.as_secs()),
    ];
    for copy in COPIES {
        limits.push(format!("{} days", copy.max_age.as_secs() / 86_400));
        limits.push(format!("{} MiB", copy.max_bytes >> 20));
    }
    let missing: Vec<_> = limits.iter().filter(|it| !text.contains(*it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_fields_that_the_page_names_are_there() {
    let protos = folder().join("../../proto/protos/bonesetter/v1");
    let contract: String = ["common.proto", "diagnosed.proto"]
        .map(|file| fs::read_to_string(protos.join(file)).unwrap())
        .concat();
    let fields = first_cells(&section("### What to look at"));
    assert!(fields.len() >= 8, "{fields:?}");
    for name in fields.iter().flatten().filter(|it| *it != "Diagnosed") {
        for part in name.split('.').filter(|it| !it.is_empty()) {
            let is_field = contract.contains(&format!(" {part} = "));
            assert!(is_field, "{name}: no field is called {part}");
        }
    }
}
