//! What reached the channels, for people and as it was received.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::Context as _;
use bonesetter::{layout, render};
use serde_json::{Value, json};

use crate::receiver::Received;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
/// The headers that a receiver needs.
const HEADERS: [&str; 2] = ["bonesetter-signature", "idempotency-key"];
/// Before every line of a message.
const MARGIN: &str = "  │ ";
/// How far what follows a break is indented.
const CONTINUED: usize = 2;
/// How much of one text is shown.
const MAX_TEXT: usize = 400;

/// The first message to Slack that explains something, as a person sees it.
pub fn slack(received: &[Received]) -> Option<String> {
    received
        .iter()
        .filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok())
        .find(|body| body.to_string().contains("*Evidence*"))
        .map(|body| slack_text(&body))
}

fn slack_text(body: &Value) -> String {
    let mut text = String::new();
    for block in body["blocks"].as_array().into_iter().flatten() {
        let shown = match block["type"].as_str() {
            Some("context") => &block["elements"][0]["text"],
            _ => &block["text"]["text"],
        };
        let shown = unescape(shown.as_str().unwrap_or_default());
        for (index, line) in shown.lines().enumerate() {
            let is_code = line.starts_with('`') && !line.starts_with("```");
            let is_label = line.starts_with('*') && line.ends_with('*') && index == 0;
            let style = match block["type"].as_str() {
                Some("header") => BOLD,
                Some("context") => DIM,
                _ if is_label => BOLD,
                _ if is_code => DIM,
                _ => Style::new(),
            };
            let line = render::clean(&line.replace('`', ""), MAX_TEXT);
            let line = if is_label {
                line.trim_matches('*')
            } else {
                &line
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{style}{line}{style:#}");
        }
    }
    text
}

/// Slack's own escapes.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// The first request to the webhook that says that something was verified, with what proves where
/// it is from; the diagnosis, which the message above shows, is left out.
pub fn webhook(received: &[Received]) -> Option<String> {
    let (request, mut body) = received
        .iter()
        .filter_map(|request| {
            Some((
                request,
                serde_json::from_slice::<Value>(&request.body).ok()?,
            ))
        })
        .find(|(_, body)| body["kind"] == "verified")?;
    let mut text = String::new();
    for (name, value) in &request.headers {
        if HEADERS.contains(&name.as_str()) {
            let value = render::clean(value, MAX_TEXT);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{BOLD}{name}{BOLD:#}: {value}");
        }
    }
    if !body["diagnosis"].is_null() {
        body["diagnosis"] = json!("…");
    }
    let fields = body.as_object()?;
    for (index, (name, value)) in fields.iter().enumerate() {
        let start = if index == 0 { '{' } else { ' ' };
        let end = if index + 1 == fields.len() { "}" } else { "," };
        let value = render::clean(&spaced(value), MAX_TEXT);
        let _ = writeln!(text, "{start}\"{name}\": {value}{end}");
    }
    Some(text)
}

/// JSON in one line that can be broken.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\": {}", spaced(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items = items.iter().map(spaced);
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A message as it is shown in the terminal, with a line at its left.
pub fn framed(message: &str) -> String {
    let room = layout::terminal().map(|columns| usize::from(columns).saturating_sub(MARGIN.len()));
    let folded = room.map_or_else(
        || message.to_owned(),
        |columns| layout::fold(message, CONTINUED, columns),
    );
    let lines = folded.lines().map(|line| format!("{MARGIN}{line}\n"));
    lines.collect()
}

/// Writes every request as it was received, one a line.
pub fn keep(received: &[Received], dir: &Path) -> anyhow::Result<PathBuf> {
    let path = dir.join("notices.jsonl");
    std::fs::write(&path, lines(received))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn lines(received: &[Received]) -> String {
    let mut lines = String::new();
    for request in received {
        let body = String::from_utf8_lossy(&request.body);
        let line = json!({"path": request.path, "headers": request.headers, "body": body});
        let _ = writeln!(lines, "{line}");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, body: &Value) -> Received {
        let headers = [("bonesetter-signature", "t=1,v1=ab"), ("host", "h")];
        Received {
            path: path.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: body.to_string().into(),
            at: std::time::UNIX_EPOCH,
        }
    }

    fn section(text: &str) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
    }

    #[test]
    fn a_message_reads_as_in_slack() {
        let first = json!({"blocks": [section("*Resolved*: gone")]});
        let second = json!({"blocks": [
            {"type": "header", "text": {"text": "Mended: Deployment a/b"}},
            section("*Evidence*\n`log/p`\n```a &lt;secret:x&gt; line```"),
            {"type": "context", "elements": [{"text": "cluster c"}]},
        ]});
        let text = slack(&[request("/slack", &first), request("/slack", &second)]).unwrap();
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "Mended: Deployment a/b\nEvidence\nlog/p\na <secret:x> line\ncluster c\n"
        );
    }

    #[test]
    fn a_request_to_the_webhook_shows_its_signature() {
        let body = json!({"kind": "verified", "diagnosis": {"summary": "long"}});
        let text = webhook(&[request("/webhook", &body)]).unwrap();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("bonesetter-signature: t=1,v1=ab\n"), "{text}");
        assert!(!text.contains("host") && !text.contains("long"), "{text}");
    }

    #[test]
    fn everything_that_was_received_is_kept() {
        let body = json!({"kind": "incident"});
        let lines = lines(&[request("/webhook", &body), request("/slack", &body)]);
        let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert_eq!(first["body"], body.to_string());
    }
}
