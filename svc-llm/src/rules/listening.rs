//! On which ports a container listens, by its specification and by its own words.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::case::{Container, Line, head};

static LISTENING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:listen(?:ing|s)?|serving|bound|started|running|ready|available|accept(?:ing|s)?)\b[^\n]{0,120}?(?::|\bport[ (:=]*s?\)?[:= ]*)(?P<port>\d{2,5})\b").ok()
});

/// A port that a container says it listens on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) port: u16,
    pub(crate) line: Line<'a>,
}

/// The ports that a container says it listens on, in the order of its log.
pub(crate) fn heard<'a>(words: &[Line<'a>]) -> Vec<Heard<'a>> {
    let mut found: Vec<Heard<'a>> = Vec::new();
    for line in words {
        let text = head(line.text, 1_000);
        let lower = text.to_lowercase();
        if lower.contains("fail") || lower.contains("refused") || lower.contains("error") {
            continue;
        }
        let captures = LISTENING
            .as_ref()
            .and_then(|pattern| pattern.captures(text));
        let port = captures.and_then(|found| found.name("port")?.as_str().parse::<u16>().ok());
        if let Some(port) = port.filter(|port| *port > 0)
            && !found.iter().any(|known| known.port == port)
        {
            found.push(Heard { port, line: *line });
        }
    }
    found
}

/// The container ports of the specification.
pub(crate) fn declared(container: &Container<'_>) -> Vec<u16> {
    let ports = container.get("/ports").and_then(Value::as_array);
    ports
        .into_iter()
        .flatten()
        .filter_map(|port| number(&port["containerPort"]))
        .collect()
}

/// The port of a probe, by number or by the name of a container port, and its pointer.
pub(crate) fn probed(container: &Container<'_>, probe: &str) -> Option<(u16, String)> {
    ["httpGet", "tcpSocket", "grpc"].iter().find_map(|kind| {
        let pointer = format!("/{probe}/{kind}/port");
        let value = container.get(&pointer)?;
        let port = number(value).or_else(|| named(container, value.as_str()?))?;
        Some((port, pointer))
    })
}

fn named(container: &Container<'_>, name: &str) -> Option<u16> {
    let ports = container.get("/ports").and_then(Value::as_array)?;
    let port = ports.iter().find(|port| port["name"] == name)?;
    number(&port["containerPort"])
}

fn number(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_where_they_listen() {
        for (text, port) in [
            (
                "2026-11-25T10:00:00.123Z INFO  server: listening on 0.0.0.0:8080",
                Some(8080),
            ),
            ("Listening on port 3000", Some(3000)),
            (
                "Tomcat started on port(s): 8081 (http) with context path ''",
                Some(8081),
            ),
            ("Tomcat started on port 8081 (http)", Some(8081)),
            (" * Running on http://127.0.0.1:5000", Some(5000)),
            (
                "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)",
                Some(8000),
            ),
            ("server is listening on [::]:9090", Some(9090)),
            ("Serving HTTP on <ip:abcdef> port 8000 ...", Some(8000)),
            ("10:45:12 started worker 3", None),
            ("failed to listen on :8080", None),
            ("dial tcp 10.0.0.1:5432: connection refused", None),
        ] {
            let heard = heard(&[Line { id: "l", text }]);
            assert_eq!(heard.first().map(|heard| heard.port), port, "{text}");
        }
    }
}
