use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bonesetter_redact::{Limits, Redactor, Rules, Session};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::layout;
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
    /// Print on standard error what was taken out of a text, by kind and rule.
    #[arg(long)]
    report: bool,
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
    // What is read here is in memory anyway, and nobody waits for anything else.
    let limits = Limits {
        text_bytes: usize::MAX,
        findings: usize::MAX,
        ..Limits::default()
    };
    let redactor = Redactor::new(rules)?.with_limits(limits);
    match arguments.format {
        Format::Text => text(&redactor, arguments.report),
        Format::Jsonl => jsonl(&redactor).map(|()| ExitCode::SUCCESS),
    }
}

fn own_rules(file: &Path) -> anyhow::Result<Rules> {
    let yaml = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the rules in {}", file.display()))?;
    let own = Rules::parse(&yaml).and_then(|own| Rules::builtin()?.with_own(own));
    own.with_context(|| format!("cannot use the rules in {}", file.display()))
}

/// Exits 2 where something had to be withheld that is more than a value.
fn text(redactor: &Redactor, with_report: bool) -> anyhow::Result<ExitCode> {
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
    let mut session = redactor.session(&key);
    let redacted = session.redact_text(&input);
    let withheld = redacted.findings.iter().filter(|it| it.kind == "withheld");
    let mut lost: Vec<String> = withheld.map(|it| it.rule.clone().into_owned()).collect();
    let (output, lines) = proved(&session, redacted.text)?;
    if lines > 0 {
        lost.push(format!(
            "lines in which what was taken out is written otherwise: {lines}"
        ));
    }
    pipe::is_handed_on(&output)?;
    if with_report {
        let mut table = layout::table(["KIND", "RULE", "COUNT"], &[2]);
        for entry in session.report().entries() {
            table.add_row([entry.kind, entry.rule, entry.count.to_string()]);
        }
        pipe::say_error(&table.to_string());
    }
    if lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    pipe::say_error(&format!("withheld: {}", lost.join("; ")));
    Ok(ExitCode::from(2))
}

/// The text without the lines in which something that was taken out is left, encoded for example; and how many
/// these are.
fn proved(session: &Session, text: String) -> anyhow::Result<(String, usize)> {
    let is_clean = |text: &str| {
        let is_left = session.egress_check(text.as_bytes()).is_err();
        !is_left && session.check_ends_of_lines(text).is_ok()
    };
    if is_clean(&text) {
        return Ok((text, 0));
    }
    let mut lines = 0;
    let kept: String = text
        .split_inclusive('\n')
        .map(|line| {
            if session.egress_check(line.as_bytes()).is_ok() {
                return line;
            }
            lines += 1;
            if line.ends_with('\n') {
                "<withheld:egress>\n"
            } else {
                "<withheld:egress>"
            }
        })
        .collect();
    anyhow::ensure!(
        is_clean(&kept),
        "something that was taken out is left over the ends of lines, so nothing is printed"
    );
    Ok((kept, lines))
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
        if !pipe::is_handed_on(&format!("{}\n", serde_json::to_string(&answer)?))? {
            break;
        }
    }
    Ok(())
}
