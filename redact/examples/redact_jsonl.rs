//! Redacts lines `{"id", "text"}` from standard input to lines `{"id", "output", "findings"}`.
//! With `--all`, IP and MAC addresses too.

use std::error::Error;
use std::io::{self, BufRead, Write};

use bonesetter_redact::{Options, Redactor, Rules};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let all = std::env::args().any(|argument| argument == "--all");
    let rules = Rules::builtin()?.with_options(Options {
        ip_addresses: all,
        ..Options::default()
    });
    let redactor = Redactor::new(rules)?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let mut session = redactor.session(b"an example");
        let redacted = session.redact_text(row["text"].as_str().unwrap_or_default());
        let row = json!({"id": row["id"], "output": redacted.text, "findings": redacted.findings});
        writeln!(output, "{row}")?;
    }
    Ok(output.flush()?)
}
