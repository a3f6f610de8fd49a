use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bonesetter_redact::{Redactor, Rules};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::pipe;

/// More than this on standard input is refused; evidence is far smaller.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How standard input is read.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Print the rules that come with this program; with a file, use its rules too. They have the same
    /// form, and their examples are checked first.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(
        clippy::option_option,
        reason = "clap tells an absent option from one without a value by this"
    )]
    rules: Option<Option<PathBuf>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text in, text out.
    Text,
    /// Lines {"id","text"} in, lines {"id","output","findings":[{"rule","kind","start","end"}]} out.
    Jsonl,
}

#[derive(Deserialize)]
struct Line {
    id: serde_json::Value,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a serde_json::Value,
    output: String,
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    rule: String,
    kind: String,
    start: usize,
    end: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let rules = match &arguments.rules {
        None => Rules::builtin()?,
        Some(Some(file)) => own_rules(file)?,
        Some(None) => {
            pipe::print(Rules::BUILTIN)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let redactor = Redactor::new(rules)?;
    match arguments.format {
        Format::Text => text(&redactor)?,
        Format::Jsonl => jsonl(&redactor)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn own_rules(file: &Path) -> anyhow::Result<Rules> {
    let yaml = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the rules in {}", file.display()))?;
    let own = Rules::parse(&yaml).and_then(|own| Rules::builtin()?.with_own(own));
    own.with_context(|| format!("cannot use the rules in {}", file.display()))
}

fn text(redactor: &Redactor) -> anyhow::Result<()> {
    let mut input = Vec::new();
    let read = io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut input)?;
    anyhow::ensure!(
        read as u64 <= MAX_BYTES,
        "standard input is larger than {MAX_BYTES} bytes"
    );
    let input = String::from_utf8_lossy(&input);
    let key: [u8; 32] = rand::random();
    pipe::print(&redactor.session(&key).redact_text(&input).text)?;
    Ok(())
}

/// Every line is a session of its own, so that memory does not grow; all share one key, so that the
/// same value has the same placeholder throughout.
fn jsonl(redactor: &Redactor) -> anyhow::Result<()> {
    let key: [u8; 32] = rand::random();
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut limited = (&mut input).take(MAX_BYTES + 1);
        let read = limited
            .read_until(b'\n', &mut line)
            .context("cannot read standard input")?;
        if read == 0 {
            break;
        }
        anyhow::ensure!(
            read as u64 <= MAX_BYTES,
            "line {number} is larger than {MAX_BYTES} bytes"
        );
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(&line)
            .with_context(|| format!("line {number} is not {{\"id\": ..., \"text\": \"...\"}}"))?;
        let mut session = redactor.session(&key);
        let redacted = session.redact_text(&line.text);
        let removed = redacted.findings.into_iter().map(|finding| Found {
            rule: finding.rule.into_owned(),
            kind: finding.kind.into_owned(),
            start: finding.start,
            end: finding.end,
        });
        let flags = session.detector().inspect(&line.text).into_iter();
        let suspicious = flags.map(|flag| Found {
            rule: flag.rule,
            kind: "injection".to_owned(),
            start: flag.start,
            end: flag.end,
        });
        let answer = Answer {
            id: &line.id,
            output: redacted.text,
            findings: removed.chain(suspicious).collect(),
        };
        if !pipe::is_printed(&format!("{}\n", serde_json::to_string(&answer)?))? {
            break;
        }
    }
    Ok(())
}
