//! Texts for people: quoted lines without noise, sentences that end.

use std::sync::LazyLock;

use regex::Regex;

use crate::case::head;

/// A longer quotation is cut; the citation holds the line.
const MAX_QUOTE_BYTES: usize = 300;
/// A longer line is cut before it is searched.
const MAX_LINE_BYTES: usize = 4_096;

/// The time at the beginning of a log line, as loggers write it; the citation keeps it.
static TIMESTAMP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let clock = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?";
    let zone = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?";
    let date = r"\d{4}[-/]\d{2}[-/]\d{2}";
    let month = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* {1,2}\d{1,2}";
    let time = format!(
        "(?:{date}[T _]{clock}{zone}|{month},? {clock}|\\d{{2}}:\\d{{2}}:\\d{{2}}(?:[.,]\\d{{1,9}})?)"
    );
    Regex::new(&format!(
        r#"^(?:(?:time|ts|timestamp)=)?["\[(]?{time}["\])]?(?:[:,|]|\s-)?(?:\s+|$)"#
    ))
    .ok()
});

/// Sequences by which a program colours a terminal, and other control characters.
static CONTROL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f]",
    )
    .ok()
});

/// A log line or message as it stands in a sentence: without time, colours and length.
pub(crate) fn quote(text: &str) -> String {
    quote_within(text, MAX_QUOTE_BYTES)
}

/// Like [`quote`], at most so many bytes long.
pub(crate) fn quote_within(text: &str, bytes: usize) -> String {
    let line = head(text, MAX_LINE_BYTES);
    let plain = match CONTROL.as_ref() {
        Some(control) => control.replace_all(line, ""),
        None => line.into(),
    };
    let plain = plain.trim();
    let said = TIMESTAMP
        .as_ref()
        .and_then(|time| time.find(plain))
        .map_or(plain, |time| {
            plain.get(time.end()..).unwrap_or(plain).trim()
        });
    // A line that is nothing but a time is all there is to quote.
    let said = if said.is_empty() { plain } else { said };
    let kept = head(said, bytes);
    if kept.len() < said.len() || line.len() < text.len() {
        format!("{}…", kept.trim_end())
    } else {
        kept.to_owned()
    }
}

/// The text with an end: a quotation often has none.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end();
    let bare = text.trim_end_matches(['"', '\'', '`', ')', ']']);
    if text.is_empty() || bare.ends_with(['.', '!', '?', '…']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

/// Two sentences, one after the other.
pub(crate) fn follow(first: &str, second: &str) -> String {
    let first = sentence(first);
    if first.is_empty() {
        second.to_owned()
    } else {
        format!("{first} {second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_time_is_no_part_of_what_was_said() {
        for (line, said) in [
            (
                "2026-11-25T14:45:12.757Z FATAL main: giving up",
                "FATAL main: giving up",
            ),
            ("2026-11-25 14:45:12,757 ERROR boom", "ERROR boom"),
            (
                "2026-11-25 14:45:12.757 UTC [12] FATAL:  no",
                "[12] FATAL:  no",
            ),
            ("2026-11-25T14:45:12+01:00 boom", "boom"),
            (
                "[2026-11-25 14:45:12 +0000] [7] [ERROR] boom",
                "[7] [ERROR] boom",
            ),
            ("2026/11/25 14:45:12 [emerg] 1#1: boom", "[emerg] 1#1: boom"),
            ("2026/11/25 14:45:12.123456 boom", "boom"),
            (
                "time=\"2026-11-25T14:45:12Z\" level=fatal msg=boom",
                "level=fatal msg=boom",
            ),
            ("ts=2026-11-25T14:45:12.1Z level=error", "level=error"),
            (
                "14:45:12.757 [main] ERROR o.e.App - boom",
                "[main] ERROR o.e.App - boom",
            ),
            ("Nov 25 14:45:12 host app[1]: boom", "host app[1]: boom"),
            ("2026-11-25T14:45:12Z - boom", "boom"),
            (
                "panic: boom at 2026-11-25T14:45:12Z",
                "panic: boom at 2026-11-25T14:45:12Z",
            ),
            (
                "10:20 is no time of day here",
                "10:20 is no time of day here",
            ),
            ("2026-11-25T14:45:12Z", "2026-11-25T14:45:12Z"),
            ("May not write to /x", "May not write to /x"),
            (
                "{\"ts\":\"2026-11-25T14:45:12Z\"}",
                "{\"ts\":\"2026-11-25T14:45:12Z\"}",
            ),
            ("  致命的エラー  ", "致命的エラー"),
            (
                "\u{1b}[31mcannot parse\u{1b}[0m \u{1b}]0;title\u{7}x\u{1}",
                "cannot parse x",
            ),
            ("", ""),
        ] {
            assert_eq!(quote(line), said, "{line}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_shows_it() {
        assert_eq!(quote_within("äöü", 3), "ä…");
        assert_eq!(
            quote(&"x".repeat(20 << 20)).chars().count(),
            MAX_QUOTE_BYTES + 1
        );
        let blank_then_words = format!("{}x", " ".repeat(MAX_LINE_BYTES));
        assert_eq!(quote(&blank_then_words), "…");
    }

    #[test]
    fn sentences_end_once() {
        for (text, ended) in [
            ("it says: giving up", "it says: giving up."),
            ("it is full.", "it is full."),
            ("value \"ten\"", "value \"ten\"."),
            ("(see above.)", "(see above.)"),
            ("cut…", "cut…"),
            ("why?", "why?"),
            ("", ""),
        ] {
            assert_eq!(sentence(text), ended, "{text}");
        }
        assert_eq!(follow("a", "B."), "a. B.");
        assert_eq!(follow("", "B."), "B.");
    }
}
