//! Whether the offline rules say the same about evidence with and without redaction, over documents made of recorded
//! cases: `usefulness FILE`, one document a line, each with the name of its `case` and its `manifests`.

#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::fs;

use anyhow::Context as _;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_redact::{Redactor, Rules};
use serde_json::{Value, json};
use svc_llm::evidence_json::Document;

mod answers;

use answers::Answers;

/// How many of the cases in which something was seen of a Pod have to be explained. Below that, equal answers
/// would say little.
const EXPLAINED_PERCENT: usize = 60;

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("usage: usefulness FILE")?;
    let redactor = Redactor::new(Rules::builtin()?)?;
    let (mut cases, mut seen, mut explained, mut different) = (0, 0, 0, 0);
    for line in fs::read_to_string(&file)?.lines() {
        let (case, message) = read(line)?;
        let class = message.failure_class();
        let raw = message.evidence.unwrap_or_default();
        let has_state = raw
            .items
            .iter()
            .any(|item| has_state(item.content.as_ref()));
        let Answers { raw, redacted } = Answers::about(raw, class, &redactor, line.as_bytes())?;
        let is_explained = raw[0] != "unknown";
        cases += 1;
        seen += usize::from(has_state);
        explained += usize::from(has_state && is_explained);
        let sight = if has_state {
            ""
        } else {
            " (no state of a Pod)"
        };
        println!("{case}: {}{sight}", raw[0]);
        if raw != redacted {
            different += 1;
            for (raw, redacted) in raw.iter().zip(&redacted).filter(|(a, b)| a != b) {
                println!("  raw      {raw}\n  redacted {redacted}");
            }
        }
    }
    println!(
        "result: bench-usefulness cases={cases} with_state={seen} explained={explained} different={different}"
    );
    anyhow::ensure!(different == 0, "redaction has changed answers");
    anyhow::ensure!(
        seen > 0 && explained * 100 >= seen * EXPLAINED_PERCENT,
        "less than {EXPLAINED_PERCENT} % of the cases with the state of a Pod are explained"
    );
    Ok(())
}

/// The name of a case and its evidence, with the objects of its manifests.
fn read(line: &str) -> anyhow::Result<(String, bonesetter_proto::v1::Redacted)> {
    let mut document: Value = serde_json::from_str(line)?;
    let fields = document.as_object_mut().context("not an object")?;
    let case = fields.remove("case").unwrap_or_default();
    let case = case.as_str().unwrap_or_default().to_owned();
    let manifests = fields.remove("manifests").unwrap_or_default();
    let items = document
        .pointer_mut("/evidence/items")
        .and_then(Value::as_array_mut)
        .context("no items")?;
    for manifest in manifests.as_array().into_iter().flatten() {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(manifest.as_str().unwrap_or_default())
                .map_err(|error| anyhow::anyhow!("cannot read a manifest of {case}: {error}"))?;
        for object in objects {
            add(items, &object);
        }
    }
    let message = Document::parse(document.to_string().as_bytes())
        .with_context(|| format!("case {case}"))?
        .into_message()?;
    Ok((case, message))
}

/// Adds an object, unless svc-enricher does not read its kind, or it was seen with its state.
fn add(items: &mut Vec<Value>, object: &Value) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
        return;
    };
    let id = format!("object/{kind}/{name}");
    if matches!(kind, "Secret" | "ConfigMap") || items.iter().any(|item| item["id"] == id) {
        return;
    }
    let namespace = text("/metadata/namespace").unwrap_or("default");
    let reference = json!({"kind": kind, "namespace": namespace, "name": name});
    items.push(json!({"id": id, "object": {"ref": reference, "body": object}}));
}

/// Whether an item says in what state a Pod is.
fn has_state(content: Option<&Content>) -> bool {
    match content {
        Some(Content::Object(object)) => {
            object.r#ref.as_ref().is_some_and(|name| name.kind == "Pod")
                && serde_json::from_slice::<Value>(object.json.as_ref())
                    .is_ok_and(|body| body["status"].is_object())
        }
        _ => false,
    }
}
