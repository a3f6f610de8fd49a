use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bonesetter_redact::{Redactor, Rules};
use clap::Args;
use svc_llm::evidence_json::Document;

use super::Format;
use crate::{pipe, render};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Redacted evidence as JSON, as `bonesetter show -o json` and `scan -o json` print it.
    #[arg(long, short)]
    file: PathBuf,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

/// A file from somewhere is redacted once more before anything reads it: that changes nothing in
/// evidence that is redacted, and takes out what somebody pasted in by mistake.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.file;
    let json = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let document =
        Document::parse(&json).with_context(|| format!("{} is not evidence", file.display()))?;
    let message = document.into_message()?;
    let class = message.failure_class();
    let evidence = message.evidence.context("the file holds no evidence")?;
    let redactor = Redactor::new(Rules::builtin()?)?;
    let key: [u8; 32] = rand::random();
    let evidence = svc_redactor::redact_evidence(evidence, &mut redactor.session(&key))?;
    let diagnosis = svc_llm::diagnose_offline(&evidence, class);
    match arguments.output {
        Format::Json => {
            let value = crate::json::diagnosis(&diagnosis);
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        }
        Format::Table => {
            let summary = render::clean(&diagnosis.summary, 400);
            pipe::print(&format!("{summary}\n{}", render::diagnosis(&diagnosis)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
