//! Log lines.
//!
//! A log is redacted as one text first: a private key, or a value on the line after its name, spans
//! several lines. Where that leaves as many lines as there were, each takes its own back; where it
//! does not, every line is redacted by itself, with what the whole text has taught.

use std::ops::Range;

use bonesetter_proto::v1::{LogChunk, LogLine};
use bonesetter_redact::Session;

use crate::removals::Tally;

/// What ends a word, in prose and in JSON.
const BETWEEN_WORDS: [char; 9] = [' ', '\t', ',', ';', '&', '"', '\'', '{', '}'];

/// Takes out the words that a cut has broken. Half a secret has no name and no shape left by which
/// it could be told.
pub(crate) fn mend(chunk: &mut LogChunk) {
    for line in chunk.lines.iter_mut().filter(|line| line.cut) {
        mend_line(line);
    }
}

fn mend_line(line: &mut LogLine) {
    let cuts = cuts(&line.text);
    let mut mended = String::with_capacity(line.text.len());
    let mut from = 0;
    for (index, cut) in cuts.iter().enumerate() {
        mended.push_str(whole_words(&line.text[from..cut.start], index > 0, true));
        mended.push_str(&line.text[cut.clone()]);
        from = cut.end;
    }
    mended.push_str(whole_words(&line.text[from..], !cuts.is_empty(), false));
    line.text = mended;
}

/// Where svc-enricher took something out: `[... 512 bytes cut ...]`.
fn cuts(text: &str) -> Vec<Range<usize>> {
    const BEGIN: &str = "[... ";
    const END: &str = " bytes cut ...]";
    let all = text.match_indices(BEGIN).filter_map(|(start, _)| {
        let count = start + BEGIN.len();
        let digits = text[count..].find(|c: char| !c.is_ascii_digit())?;
        let end = count + digits;
        text[end..].starts_with(END).then(|| start..end + END.len())
    });
    all.collect()
}

/// A piece without its first word, its last word, or both.
fn whole_words(piece: &str, without_first: bool, without_last: bool) -> &str {
    let mut kept = piece;
    if without_first {
        let word = kept.trim_start_matches(' ');
        kept = word
            .find(BETWEEN_WORDS)
            .map_or("", |end| word.get(end..).unwrap_or_default());
    }
    if without_last {
        let word = kept.trim_end_matches(' ');
        kept = word
            .rfind(BETWEEN_WORDS)
            .map_or("", |begin| word.get(..=begin).unwrap_or_default());
    }
    kept
}

/// Remembers the secrets of a log, so that they are found elsewhere.
pub(crate) fn learn(session: &mut Session, chunk: &LogChunk) {
    session.learn_text(&joined(chunk));
}

/// Redacts every line.
pub(crate) fn redact(session: &mut Session, tally: &mut Tally, id: &str, chunk: &mut LogChunk) {
    let whole = session.redact_text(&joined(chunk));
    let count = |text: &str| text.matches('\n').count();
    let mut segments = whole.text.split('\n');
    if count(&whole.text) == count(&joined(chunk)) {
        tally.text(id, &whole.findings);
        for line in &mut chunk.lines {
            let own: Vec<&str> = segments.by_ref().take(count(&line.text) + 1).collect();
            line.text = own.join("\n");
        }
        return;
    }
    for line in &mut chunk.lines {
        let redacted = session.redact_text(&line.text);
        tally.text(id, &redacted.findings);
        line.text = redacted.text;
    }
}

/// All lines, as they were printed.
pub(crate) fn joined(chunk: &LogChunk) -> String {
    let lines: Vec<&str> = chunk.lines.iter().map(|line| line.text.as_str()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use bonesetter_redact::{Redactor, Rules};

    use super::*;

    fn redacted(lines: &[&str]) -> Vec<String> {
        let mut session = Redactor::new(Rules::builtin().unwrap())
            .unwrap()
            .session(b"key");
        let lines = lines.iter().map(|text| LogLine {
            text: (*text).to_owned(),
            ..LogLine::default()
        });
        let mut chunk = LogChunk {
            lines: lines.collect(),
            ..LogChunk::default()
        };
        learn(&mut session, &chunk);
        redact(&mut session, &mut Tally::default(), "log/x", &mut chunk);
        chunk.lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_word_that_a_cut_broke_is_taken_out_on_both_sides() {
        for (text, mended) in [
            (
                "login password=abc [... 9 bytes cut ...] def failed",
                "login [... 9 bytes cut ...] failed",
            ),
            ("abc [... 9 bytes cut ...] def", "[... 9 bytes cut ...]"),
            (
                "{\"a\":\"x\",\"pw\":\"abc [... 9 bytes cut ...] def\"}",
                "{\"a\":\"x\",\"pw\":\"[... 9 bytes cut ...]\"}",
            ),
            (
                "[... see a b [... 9 bytes cut ...] c d",
                "[... see a [... 9 bytes cut ...] d",
            ),
            (
                "a b [... 1 bytes cut ...] c d e [... 2 bytes cut ...] f g",
                "a [... 1 bytes cut ...] d [... 2 bytes cut ...] g",
            ),
            (
                "äö ü [... 9 bytes cut ...] ß é",
                "äö [... 9 bytes cut ...] é",
            ),
            ("no cut at all", "no cut at all"),
            ("[... x bytes cut ...]", "[... x bytes cut ...]"),
            ("", ""),
        ] {
            let line = |cut| LogLine {
                text: text.to_owned(),
                cut,
                ..LogLine::default()
            };
            let mut chunk = LogChunk {
                lines: vec![line(true), line(false)],
                ..LogChunk::default()
            };
            mend(&mut chunk);
            assert_eq!(chunk.lines[0].text, mended, "{text}");
            assert_eq!(chunk.lines[1].text, text);
        }
    }

    #[test]
    fn lines_without_secrets_stay_as_they_are() {
        let lines = [
            "listening on :8080",
            "",
            "FATAL config: key \"checkout.timeout\" has bad value \"soon\"",
            "at Main.java:12\nat Main.java:13",
            "goodbye",
        ];
        assert_eq!(redacted(&lines), lines);
        assert_eq!(redacted(&[]), Vec::<String>::new());
    }

    #[test]
    fn lines_stay_in_their_places() {
        let lines = redacted(&[
            "one",
            "password=correct-horse-7",
            "three\nfour",
            "token: hunter2-hunter2",
        ]);
        assert_eq!(
            (lines[0].as_str(), lines[2].as_str()),
            ("one", "three\nfour")
        );
        assert!(lines[1].starts_with("password=<"), "{lines:?}");
        assert!(lines[3].starts_with("token: <"), "{lines:?}");
    }

    #[test]
    fn a_private_key_goes_however_many_lines_it_has() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let lines = redacted(&[
            "loading key",
            "-----BEGIN PRIVATE KEY-----",
            body,
            "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3supportsDVjQ9fT+Kv1q7u8w9x0y1z2A3",
            "-----END PRIVATE KEY-----",
            "failed",
        ]);
        assert_eq!(
            (
                lines.first().map(String::as_str),
                lines.last().map(String::as_str)
            ),
            (Some("loading key"), Some("failed"))
        );
        assert!(
            lines
                .iter()
                .all(|line| !line.contains(&body[..24]) && !line.contains("MzEfYyji")),
            "{lines:?}"
        );
    }

    #[test]
    fn a_secret_of_a_later_line_is_found_in_an_earlier_one() {
        let lines = redacted(&["trying correct-horse-7", "password=correct-horse-7"]);
        assert!(
            lines.iter().all(|line| !line.contains("correct-horse-7")),
            "{lines:?}"
        );
    }
}
