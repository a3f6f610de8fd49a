use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::Style;
use anyhow::Context as _;
use bonesetter_proto::v1::Diagnosed;
use bonesetter_redact::{Redactor, Rules};
use clap::Args;
use serde_json::Value;
use svc_llm::evidence_json::Document;

use super::Format;
use crate::layout::{FIELD_INDENT, fit};
use crate::{pipe, render};

const BOLD: Style = Style::new().bold();
/// Evidence is far smaller; what is larger is another file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What `bonesetter scan -o json` or `show -o json` printed, or the evidence of one of its entries.
    #[arg(long, short)]
    file: PathBuf,
    /// How to print; JSON is a list with a diagnosis for each evidence.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

/// A file from somewhere is redacted once more before anything reads it: that changes nothing in
/// evidence that is redacted, and takes out what somebody pasted in by mistake.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.file;
    let json = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let documents =
        documents(&json).with_context(|| format!("{} is not evidence", file.display()))?;
    let redactor = Redactor::new(Rules::builtin()?)?;
    let key: [u8; 32] = rand::random();
    let mut diagnoses = Vec::new();
    for document in documents {
        let message = document.into_message()?;
        let class = message.failure_class();
        let evidence = message.evidence.context("the file holds no evidence")?;
        let evidence = svc_redactor::redact_evidence(evidence, &mut redactor.session(&key))?;
        diagnoses.push(Diagnosed {
            incident: message.incident,
            ..svc_llm::explain_offline(&evidence, class)
        });
    }
    match arguments.output {
        Format::Json => {
            let list = diagnoses
                .iter()
                .filter_map(|diagnosed| diagnosed.diagnosis.as_ref())
                .map(crate::json::diagnosis)
                .collect::<Vec<Value>>();
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
        }
        Format::Table => {
            for diagnosed in &diagnoses {
                let details = fit(&render::diagnosis(diagnosed), FIELD_INDENT);
                pipe::print(&format!("{}\n{details}", heading(diagnosed)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn heading(diagnosed: &Diagnosed) -> String {
    format!(
        "{BOLD}{}{BOLD:#} {}",
        render::workload(diagnosed.incident.as_ref()),
        render::class(diagnosed.failure_class())
    )
}

/// One document, or every one in what `scan` (a list) and `show` (an object with events) print.
fn documents(json: &[u8]) -> anyhow::Result<Vec<Document>> {
    let value: Value = serde_json::from_slice(json)?;
    let (entries, path) = match (&value, value.get("events")) {
        (Value::Array(list), _) => (list, "/evidence"),
        (_, Some(Value::Array(events))) => (events, "/details/evidence"),
        _ => return Ok(vec![Document::parse(json)?]),
    };
    let evidence = entries.iter().filter_map(|entry| entry.pointer(path));
    let found: Vec<Document> = evidence
        .map(|document| Document::parse(document.to_string().as_bytes()))
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(!found.is_empty(), "no entry of the list holds evidence");
    Ok(found)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    File::open(file)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut json)?;
    if json.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("larger than {MAX_BYTES} bytes")));
    }
    Ok(json)
}
