//! The search of final bytes for what was taken out, in every encoding that a tool on the way may have put it in.

use std::borrow::Cow;
use std::ops::Range;

use crate::placeholder::{Pseudonyms, lookalikes};

use crate::engine::{Engine, Hit};
use crate::learn::Learnt;
use crate::segment;
use crate::unwrap::{Escapes, decoded_runs, unescaped};

/// How many encodings inside one another are undone.
const LAYERS: usize = 3;
/// Encoded values differ from the texts around them in where they begin, so decoded bytes are searched only
/// for what is long enough not to be there by chance.
const SHORTEST_DECODED: usize = 6;
/// How many times longer than the longest string that is searched for what stands for it may be, where nothing
/// in it is escaped: the strings have digits in hexadecimal already.
const EXPANSION: usize = 4;
/// How much of a part that was searched is searched again with what stands next to it, at least.
const SHORTEST_REACH: usize = 4096;
/// How much of a part is looked for before it is compared.
const HEAD: usize = 64;

/// A value that was taken out is still in a message. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Leak {
    /// A known value is in the bytes, as such or encoded.
    #[error("a redacted value of kind {kind} is still at byte {at}")]
    Value {
        /// The kind of the value.
        kind: String,
        /// Its first byte.
        at: usize,
    },
    /// A known value is in the bytes behind an encoding, or spread over several lines.
    #[error("a redacted value of kind {kind} is still there, encoded")]
    Encoded {
        /// The kind of the value.
        kind: String,
    },
    /// More values were found than are kept, so that their absence cannot be proved.
    #[error("too many values were redacted to prove that none is left")]
    Unproven,
}

impl Leak {
    /// The kind of the value, if one was found.
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Value { kind, .. } | Self::Encoded { kind } => Some(kind),
            Self::Unproven => None,
        }
    }
}

/// Everything that may not be in a message.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) learnt: &'a Learnt,
    pub(crate) issued: &'a Pseudonyms,
}

/// A part of a message in which nothing was found, and how much was known then.
pub(crate) struct Proved {
    part: Vec<u8>,
    extent: (usize, usize, usize),
}

impl Proved {
    /// Where the part stands in a message, if what was found out about it still holds.
    pub(crate) fn place_in(&self, message: &[u8], known: &Known<'_>) -> Option<Range<usize>> {
        let head = &self.part[..self.part.len().min(HEAD)];
        if head.is_empty() || self.extent != known.extent() {
            return None;
        }
        let mut starts = memchr::memmem::find_iter(message, head);
        let start = starts.find(|start| message[*start..].starts_with(&self.part))?;
        Some(start..start + self.part.len())
    }
}

impl Known<'_> {
    /// Changes with everything that becomes known.
    fn extent(&self) -> (usize, usize, usize) {
        let (strings, public) = self.learnt.count();
        (strings, public, self.issued.count())
    }

    pub(crate) fn proved(&self, part: Vec<u8>) -> Proved {
        let extent = self.extent();
        Proved { part, extent }
    }

    /// Searches the final bytes of a message.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Leak> {
        if self.learnt.is_overfull() {
            return Err(Leak::Unproven);
        }
        let text = text_of(bytes);
        if let Some(hit) = self.as_such(&text) {
            return Err(Leak::Value {
                kind: hit.kind,
                at: hit.start,
            });
        }
        let search = Search::new(self);
        search
            .over_breaks(&text)
            .or_else(|| search.behind(&text, LAYERS))
            .map_or(Ok(()), |kind| Err(Leak::Encoded { kind }))
    }

    /// Searches what is around a part that was searched, and as much of the part as anything may reach into it.
    pub(crate) fn check_around(&self, bytes: &[u8], part: Range<usize>) -> Result<(), Leak> {
        let reach = Search::new(self).reach.max(SHORTEST_REACH);
        if part.len() <= 2 * reach {
            return self.check(bytes);
        }
        self.check(&bytes[..part.start + reach])?;
        let rest = part.end - reach;
        self.check(&bytes[rest..]).map_err(|leak| match leak {
            Leak::Value { kind, at } => Leak::Value {
                kind,
                at: rest + at,
            },
            leak => leak,
        })
    }

    /// Searches lines for what stands over their ends. What has no line break in it and stands within one of them is
    /// left out.
    pub(crate) fn check_ends_of_lines(&self, lines: &str) -> Result<(), Leak> {
        if self.learnt.has_line_breaks() || self.issued.has_line_breaks() {
            return self.check(lines.as_bytes());
        }
        if self.learnt.is_overfull() {
            return Err(Leak::Unproven);
        }
        let found = Search::new(self).over_breaks(lines);
        found.map_or(Ok(()), |kind| Err(Leak::Encoded { kind }))
    }

    /// The first thing known that stands in a text without any further encoding.
    fn as_such(&self, text: &str) -> Option<Hit> {
        let mut hits = Vec::new();
        self.learnt.scan(text, &mut hits);
        self.issued.scan_personal(text, &mut hits);
        outside_placeholders(text, hits, self.issued)
    }
}

/// Most messages are UTF-8, which is seen much faster than what of it is not.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Searches the final bytes of a message for secrets of a known format.
pub(crate) fn rescan(bytes: &[u8], engine: &Engine, issued: &Pseudonyms) -> Result<(), Leak> {
    let text = text_of(bytes);
    let (parts, _) = segment::parts(&engine.formats_gate, &text, &[]);
    for part in parts {
        let range = part.range();
        let hits = engine.scan_formats(&text[range.clone()]);
        if let Some(hit) = outside_placeholders(&text[range.clone()], hits, issued) {
            return Err(Leak::Value {
                kind: hit.kind,
                at: range.start + hit.start,
            });
        }
    }
    Ok(())
}

/// The first hit that is not within a placeholder of ours.
fn outside_placeholders(text: &str, hits: Vec<Hit>, issued: &Pseudonyms) -> Option<Hit> {
    if hits.is_empty() {
        return None;
    }
    let is_own = |&(start, end): &(usize, usize)| issued.is_issued(&text[start..end]);
    let own: Vec<Range<usize>> = lookalikes(text)
        .into_iter()
        .filter(is_own)
        .map(|(start, end)| start..end)
        .collect();
    hits.into_iter().find(|hit| {
        !own.iter()
            .any(|own| own.start <= hit.start && hit.end <= own.end)
    })
}

struct Search<'a> {
    known: &'a Known<'a>,
    /// How far from an escape the other end of a value may be.
    reach: usize,
}

impl<'a> Search<'a> {
    fn new(known: &'a Known<'a>) -> Self {
        let longest = known.learnt.longest().max(known.issued.longest_personal());
        Self {
            known,
            reach: EXPANSION * longest,
        }
    }

    /// The kind of a value that is in another reading of a text.
    fn behind(&self, text: &str, layers: usize) -> Option<String> {
        let has_any = self.known.learnt.has_values() || self.known.issued.has_personal();
        if layers == 0 || text.is_empty() || !has_any {
            return None;
        }
        let escapes = Escapes::ALL.iter();
        let mut readings = escapes
            .map(|escapes| unescaped(text, *escapes, self.reach))
            .chain(std::iter::once_with(|| decoded_runs(text)));
        readings.find_map(|reading| {
            self.plain(&reading)
                .or_else(|| self.behind(&reading, layers - 1))
        })
    }

    /// The kind of a value that stands in a text over the end of a line.
    fn over_breaks(&self, text: &str) -> Option<String> {
        let mut found = None;
        let Known { learnt, issued } = self.known;
        learnt.each_break(text, |joined| {
            let mut hits = Vec::new();
            learnt.scan(joined, &mut hits);
            found = outside_placeholders(joined, hits, issued).map(|hit| hit.kind);
            found.is_some()
        });
        found
    }

    fn plain(&self, text: &str) -> Option<String> {
        let mut hits = Vec::new();
        self.known.learnt.scan_values(text, &mut hits);
        self.known.issued.scan_personal(text, &mut hits);
        hits.retain(|hit| hit.end - hit.start >= SHORTEST_DECODED);
        outside_placeholders(text, hits, self.known.issued).map(|hit| hit.kind)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use crate::{Redactor, Rules, Session};

    const SECRET: &str = "p\"ss/w0rd-9&x";

    fn session(secret: &str) -> Session {
        static REDACTOR: LazyLock<Redactor> =
            LazyLock::new(|| Redactor::new(Rules::builtin().unwrap()).unwrap());
        let mut session = REDACTOR.session(b"a key");
        session.learn_value(secret);
        session
    }

    fn percent(text: &str, all: bool, upper: bool) -> String {
        let encode = |byte: u8| match byte {
            b if b.is_ascii_alphanumeric() && !all => char::from(b).to_string(),
            b if upper => format!("%{b:02X}"),
            b => format!("%{b:02x}"),
        };
        text.bytes().map(encode).collect::<Vec<_>>().concat()
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let bytes = |unit: u16| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn json(text: &str, all: bool) -> String {
        if !all {
            let quoted = serde_json::to_string(text).unwrap();
            return quoted[1..quoted.len() - 1].to_owned();
        }
        let unit = |unit: u16| format!("\\u{unit:04x}");
        text.encode_utf16().map(unit).collect::<Vec<_>>().concat()
    }

    fn entities(text: &str) -> String {
        let named = text.replace('&', "&amp;").replace('"', "&quot;");
        named.replace('-', "&#45;").replace('9', "&#x39;")
    }

    /// A value as many tools would write it.
    fn encodings(secret: &str) -> Vec<Vec<u8>> {
        let hex = |bytes: &[u8]| hex(bytes);
        let mut all: Vec<Vec<u8>> = vec![
            secret.into(),
            json(secret, false).into(),
            json(secret, true).into(),
            json(&json(secret, false), false).into(),
            percent(secret, false, true).into(),
            percent(secret, false, false).into(),
            percent(secret, true, true).into(),
            percent(&percent(secret, false, true), false, true).into(),
            entities(secret).into(),
            hex(secret.as_bytes()).into(),
            hex(secret.as_bytes()).to_uppercase().into(),
            format!("a{}", hex(secret.as_bytes())).into(),
            STANDARD.encode(STANDARD.encode(secret)).into(),
            STANDARD.encode(json(secret, true)).into(),
            percent(&STANDARD.encode(secret), false, true).into(),
            hex(STANDARD.encode(secret).as_bytes()).into(),
        ];
        if secret.is_ascii() {
            for wide in [utf16(secret, true), utf16(secret, false)] {
                all.extend([hex(&wide).into(), STANDARD.encode(&wide).into(), wide]);
            }
        }
        for lead in ["", "a", "ab", "abc"] {
            let text = format!("{lead}{secret}:x");
            all.push(STANDARD.encode(&text).into());
            all.push(URL_SAFE_NO_PAD.encode(&text).into());
            all.push(STANDARD.encode(STANDARD.encode(&text)).into());
        }
        let middle = secret.ceil_char_boundary(secret.len() / 2);
        for between in ["\n", "\r\n    ", "\\n", "\\\n  ", "\" +\n  \"", "=\n"] {
            let (head, tail) = secret.split_at(middle);
            all.push(format!("{head}{between}{tail}").into());
        }
        all
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn a_value_is_found_in_every_encoding() {
        for secret in [SECRET, "p\"ss/w0rd-9&Ü"] {
            let session = session(secret);
            for encoded in encodings(secret) {
                for (before, after) in [
                    ("", ""),
                    ("x: ", " y"),
                    ("{\"a\":\"", "\"}"),
                    ("?a=", "&b=1"),
                ] {
                    let bytes = [before.as_bytes(), &encoded, after.as_bytes()].concat();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let leak = session.egress_check(&bytes).expect_err(&text);
                    assert_eq!(leak.kind(), Some("secret"), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_clean_passes() {
        let session = session(SECRET);
        for text in [
            "GET /a%20b?c=%7B%22d%22%3A1%7D HTTP/1.1",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "cGFzc3dvcmQ9aHVudGVyMgo= \\u0041\\n &lt;a&gt; \\",
            "% %4 %zz \\u \\u12 &#; &#x; &#99999999; &unknown;",
        ] {
            assert_eq!(session.egress_check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn personal_data_that_was_taken_out_is_searched_for_too() {
        let mut session = session(SECRET);
        session.redact_text("mail from ada.l@example.com failed");
        for text in [
            "ada.l@example.com",
            "x=ada.l%40example.com&",
            "YWRhLmxAZXhhbXBsZS5jb20=",
        ] {
            let leak = session.egress_check(text.as_bytes()).expect_err(text);
            assert_eq!(leak.kind(), Some("email"), "{text}");
        }
        assert_eq!(session.egress_check(b"nada.l@example.community"), Ok(()));
    }

    /// A part of a message that is long enough to be searched once only.
    fn part(first: &str, last: &str) -> Vec<u8> {
        format!("{first} {} {last}", "nothing to see here ".repeat(5_000)).into_bytes()
    }

    #[test]
    fn around_what_was_searched_everything_is_found() {
        let (head, tail) = SECRET.split_at(6);
        let mut session = session(SECRET);
        let part = part(tail, head);
        session.prove(part.clone()).unwrap();
        let message =
            |before: &str, after: &str| [before.as_bytes(), &part, after.as_bytes()].concat();
        let clean = message("a ", " z");
        assert_eq!(session.egress_check(&clean), Ok(()));
        let encoded = STANDARD.encode(SECRET);
        for (before, after) in [
            (SECRET, ""),
            ("", SECRET),
            (head, ""),
            ("", tail),
            (encoded.as_str(), ""),
            ("", encoded.as_str()),
        ] {
            let message = message(before, after);
            assert!(session.egress_check(&message).is_err(), "{before} {after}");
        }
        let changed =
            String::from_utf8_lossy(&clean).replacen("nothing to see here", SECRET, 2_500);
        assert!(session.egress_check(changed.as_bytes()).is_err());
    }

    #[test]
    fn what_becomes_known_later_is_searched_for_in_all_of_it() {
        let part = part("hidden-value-77", "");
        let found = |mut session: Session, learn: &dyn Fn(&mut Session)| {
            session.prove(part.clone()).unwrap();
            learn(&mut session);
            session.egress_check(&part).is_err()
        };
        assert!(!found(session(SECRET), &|_| ()));
        assert!(found(session(SECRET), &|session| session
            .learn_value("hidden-value-77")));
        assert!(session("hidden-value-77").prove(part).is_err());
    }

    #[test]
    fn ends_of_lines_are_searched_without_the_lines() {
        let mut session = session(SECRET);
        let over = |lines: &str| session.check_ends_of_lines(lines).is_err();
        assert!(over("x p\"ss/w0\nrd-9&x y") && !over("a\nb"));
        session.learn_value("first-line-1\nsecond-line-2");
        assert!(
            session
                .check_ends_of_lines("x first-line-1\nsecond-line-2")
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn any_value_is_found_in_any_encoding(
            secret in "[a-z]{2}[a-z0-9!#$%&()*,/:;<>?@^_{|}~-]{4,20}[0-9][A-Z]", before in "[a-z :=]{0,9}", after in "[ ,;][a-z ]{0,9}",
        ) {
            let mut session = session("unused-value-1");
            session.learn_value(&secret);
            // Otherwise it is nothing that anybody hides.
            prop_assume!(session.egress_check(secret.as_bytes()).is_err());
            for encoded in encodings(&secret) {
                let bytes = [before.as_bytes(), &encoded, after.as_bytes()].concat();
                prop_assert!(session.egress_check(&bytes).is_err(), "{secret:?} in {:?}", String::from_utf8_lossy(&bytes));
            }
        }

        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(session(SECRET).egress_check(&bytes), Ok(()));
        }
    }
}
