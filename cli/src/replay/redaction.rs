//! Redaction made again, by `svc-redactor replay`: the one program that can open raw evidence. What it prints
//! is redacted; nothing else of it is seen here.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_proto::v1::{Diagnosed, Evidence, Redacted};
use bonesetter_proto::{IncidentId, Subject};
use bonesetter_redact::{Redactor, Rules};
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};
use svc_llm::Diagnosers;

/// Evidence of all steps of an incident is far smaller.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
struct Line {
    subject: String,
    redacted: String,
}

/// One message, redacted again.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    /// The step of the message, for example `open`.
    pub(crate) step: String,
    pub(crate) message: Redacted,
}

/// How often each rule took out each kind: on record, and now.
pub(crate) type Removed = BTreeMap<(String, String), (u32, u32)>;

/// Runs `COMMAND replay --rules FILE ID`; the words of the command are split at blanks.
pub(crate) fn run(command: &str, file: &str, id: &IncidentId) -> anyhow::Result<Vec<Again>> {
    let mut words = command.split_whitespace();
    let program = words.next().context("--redactor names no program")?;
    let mut child = Command::new(program)
        .args(words)
        .args(["replay", "--rules", file, id.as_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("cannot run {program}; --redactor says how, for example \"kubectl exec -n bonesetter deploy/svc-redactor -- svc-redactor\"")
        })?;
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MAX_BYTES)
            .read_to_string(&mut output)
            .context("cannot read what svc-redactor prints")?;
    }
    let status = child.wait().context("cannot wait for svc-redactor")?;
    ensure!(
        status.success(),
        "svc-redactor replay has failed, see above"
    );
    output.lines().map(read).collect()
}

fn read(line: &str) -> anyhow::Result<Again> {
    let what = "svc-redactor replay printed something else than redacted messages";
    let line: Line = serde_json::from_str(line).context(what)?;
    let subject: Subject = line.subject.parse().context(what)?;
    let bytes = STANDARD.decode(line.redacted).context(what)?;
    Ok(Again {
        step: subject.step,
        message: Redacted::decode(bytes.as_slice()).context(what)?,
    })
}

/// The diagnosis over what was redacted again. A process's output proves nothing, so it goes through our own
/// redaction once more, which changes nothing in what is redacted.
pub(crate) async fn diagnose(
    diagnosers: &Diagnosers,
    again: &Again,
) -> anyhow::Result<(Diagnosed, Evidence)> {
    let redactor = Redactor::new(Rules::builtin()?)?;
    let key: [u8; 32] = rand::random();
    let class = again.message.failure_class();
    let evidence = again
        .message
        .evidence
        .clone()
        .context("svc-redactor replay printed a message without evidence")?;
    let evidence = svc_redactor::redact_evidence(evidence, &mut redactor.session(&key))?;
    let mut diagnosed = svc_llm::diagnose_evidence(diagnosers, &evidence, class).await;
    diagnosed.incident.clone_from(&again.message.incident);
    Ok((diagnosed, evidence.into_inner().evidence))
}

/// What was removed, on record and now.
pub(crate) fn removed(was: Option<&Redacted>, is: &Redacted) -> Removed {
    let mut removed = Removed::new();
    let key =
        |removal: &bonesetter_proto::v1::Removal| (removal.kind.clone(), removal.rule.clone());
    for removal in was.iter().flat_map(|it| &it.removals) {
        removed.entry(key(removal)).or_default().0 += removal.count;
    }
    for removal in &is.removals {
        removed.entry(key(removal)).or_default().1 += removal.count;
    }
    removed
}

/// For programs.
pub(crate) fn json(removed: &Removed) -> Vec<Value> {
    removed
        .iter()
        .map(|((kind, rule), (was, is))| {
            json!({"kind": kind, "rule": rule, "recorded": was, "replayed": is})
        })
        .collect()
}
