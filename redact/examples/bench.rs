//! What `make bench-redact` runs: `redact CORPUS OUTPUT`, `speed FILE...`, `evidence FILE...`.
//!
//! Times are those of the processor, not of the clock, so that what else runs here counts little.

#![expect(
    clippy::print_stdout,
    reason = "a program of the bench, which prints its figures"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bonesetter_redact::{Options, Redactor, Rules};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// How often the same text is redacted; the best counts.
const REPEATS: usize = 5;
/// One message of evidence.
const EVIDENCE: usize = 256 << 10;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["redact", corpus, output] => redact(corpus, output),
        ["speed", files @ ..] => speed(files),
        ["evidence", files @ ..] => evidence(files),
        _ => bail!("usage: bench redact CORPUS OUTPUT | speed FILE... | evidence FILE..."),
    }
}

fn redactor(ip_addresses: bool) -> anyhow::Result<Redactor> {
    let options = Options {
        ip_addresses,
        ..Options::default()
    };
    Ok(Redactor::new(Rules::builtin()?.with_options(options))?)
}

/// Lines `{"id","text"}` in, lines `{"id","output","rules"}` out.
fn redact(corpus: &str, output: &str) -> anyhow::Result<()> {
    let redactor = redactor(true)?;
    let lines = fs::read_to_string(corpus).with_context(|| format!("cannot read {corpus}"))?;
    let mut output =
        BufWriter::new(File::create(output).with_context(|| format!("cannot write {output}"))?);
    let (mut bytes, mut spent) = (0, Duration::ZERO);
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).context("a line is no JSON object")?;
        let text = line["text"].as_str().context("a line has no text")?;
        let started = now();
        let redacted = redactor.session(b"bench").redact_text(text);
        spent += now().saturating_sub(started);
        bytes += text.len();
        let rules: Vec<&str> = redacted.findings.iter().map(|f| f.rule.as_ref()).collect();
        let answer = json!({"id": line["id"], "output": redacted.text, "rules": rules});
        writeln!(output, "{answer}")?;
    }
    output.flush()?;
    println!("redacted {bytes} bytes at {:.2} MB/s", rate(bytes, spent));
    Ok(())
}

/// Each file as one text, in a session of its own, with and without addresses.
fn speed(files: &[&str]) -> anyhow::Result<()> {
    let texts = read(files)?;
    println!("processor time of one thread, best of {REPEATS}");
    println!(
        "{:32} {:>10} {:>14} {:>14}",
        "file", "bytes", "MB/s", "MB/s, IPs kept"
    );
    let (mut all, mut default, mut kept) = (0, Duration::ZERO, Duration::ZERO);
    let redactors = [redactor(true)?, redactor(false)?];
    for (name, text) in files.iter().zip(&texts) {
        let name = name.rsplit('/').next().unwrap_or(name);
        let [first, second] = redactors.each_ref().map(|redactor| best(redactor, text));
        println!(
            "{name:32} {:>10} {:>14.1} {:>14.1}",
            text.len(),
            rate(text.len(), first),
            rate(text.len(), second)
        );
        all += text.len();
        default += first;
        kept += second;
    }
    println!(
        "speed bytes={all} mb_s={:.1} mb_s_ips_kept={:.1}",
        rate(all, default),
        rate(all, kept)
    );
    Ok(())
}

fn best(redactor: &Redactor, text: &str) -> Duration {
    let times = (0..REPEATS).map(|_| {
        let mut session = redactor.session(b"bench");
        let started = now();
        std::hint::black_box(session.redact_text(text));
        now().saturating_sub(started)
    });
    times.min().unwrap_or_default()
}

/// Pieces of 256 KiB of all files in a row, one beginning every 64 KiB. Each is learnt, redacted, looked through for
/// formats once more and proved, by itself and in a message, as svc-redactor does with evidence; its time is the best of several, so that the percentiles speak of
/// texts and not of what else the machine does.
fn evidence(files: &[&str]) -> anyhow::Result<()> {
    let whole = read(files)?.concat();
    let redactor = redactor(true)?;
    let mut times = Vec::new();
    for at in (0..whole.len().saturating_sub(EVIDENCE)).step_by(EVIDENCE / 4) {
        let text = &whole[whole.floor_char_boundary(at)..whole.floor_char_boundary(at + EVIDENCE)];
        let mut best = Duration::MAX;
        for _ in 0..REPEATS {
            let mut session = redactor.session(b"bench");
            let started = now();
            session.learn_text(text);
            let redacted = session.redact_text(text);
            let bytes = redacted.text.into_bytes();
            session.rescan(&bytes)?;
            let message = [b"head", bytes.as_slice(), b"tail"].concat();
            session.prove(bytes)?;
            session.egress_check(&message)?;
            best = best.min(now().saturating_sub(started));
        }
        times.push(best);
    }
    times.sort();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(place).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "evidence pieces={} p50_ms={:.2} p99_ms={:.2} max_ms={:.2} (processor time, best of {REPEATS})",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}

fn read(files: &[&str]) -> anyhow::Result<Vec<String>> {
    let read = |file: &&str| -> anyhow::Result<String> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {file}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    files.iter().map(read).collect()
}

#[expect(clippy::cast_precision_loss, reason = "megabytes with two digits")]
fn rate(bytes: usize, spent: Duration) -> f64 {
    bytes as f64 / 1e6 / spent.as_secs_f64().max(1e-9)
}

/// Processor time of this thread.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
