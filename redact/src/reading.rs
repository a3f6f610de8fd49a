//! How a session reads one text: its parts that are not clean, again and again, until nothing more is
//! found in them.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::document::{self, Piece, Readers};
use crate::engine::{Hit, Strength};
use crate::finding::Finding;
use crate::pem::public_blocks;
use crate::placeholder::lookalikes;
use crate::segment;
use crate::session::Session;
use crate::splice::Draft;
use crate::value::looks_random;

/// How often a text is scanned again because taking something out has uncovered something else.
const ROUNDS: usize = 6;

impl Session {
    /// A text without what was found in it.
    pub(crate) fn rounds(&mut self, text: &str) -> Result<(String, Vec<Finding>), &'static str> {
        let (pieces, known) = match self.readings.take(text) {
            // Other names are public now, which changes what is found.
            Some((pieces, known)) if known.1 == self.learnt.count().1 => (pieces, known),
            _ => (self.read(text)?, self.learnt.count()),
        };
        let pieces = match self.learnt.count() {
            count if count == known => pieces,
            _ => self.reread(text, pieces)?,
        };
        Ok(document::joined(text, pieces, &mut self.pseudonyms))
    }

    /// Reads every part of a text that is not clean.
    pub(crate) fn read(&mut self, text: &str) -> Result<Vec<Piece>, &'static str> {
        self.learnt.settle();
        let split = || segment::parts(&self.engine.gate, text, &self.learnt.places(text));
        let split = catch_unwind(AssertUnwindSafe(split));
        let (parts, addresses) = split.map_err(|_| "internal-error")?;
        self.settle(text, document::pieces(text, parts, addresses))
    }

    /// Reads what was read before in the light of what was learnt meanwhile.
    fn reread(&mut self, text: &str, pieces: Vec<Piece>) -> Result<Vec<Piece>, &'static str> {
        self.learnt.settle();
        let pieces = document::reopen(text, pieces, |part| self.learnt.places(part));
        self.settle(text, pieces)
    }

    /// Reads parts until nothing more is found in them.
    fn settle(&mut self, text: &str, mut pieces: Vec<Piece>) -> Result<Vec<Piece>, &'static str> {
        for _ in 0..ROUNDS {
            let mut found = 0;
            for piece in &mut pieces {
                if self.is_late() {
                    return Err("too-slow");
                }
                found += self.round(piece)?;
                if found > self.limits.findings {
                    return Err("too-many-findings");
                }
            }
            if self.learnt.is_dirty() {
                self.learnt.settle();
                pieces = document::reopen(text, pieces, |part| self.learnt.places(part));
            }
            let is_open = |piece: &Piece| matches!(piece, Piece::Hot(hot) if hot.open);
            if !pieces.iter().any(is_open) {
                return Ok(pieces);
            }
        }
        Err("unstable")
    }

    /// Looks at a part once more; how much was taken out of it so far.
    fn round(&mut self, piece: &mut Piece) -> Result<usize, &'static str> {
        match piece {
            Piece::Clean(_, addresses) => Ok(addresses.len()),
            Piece::Hot(hot) if hot.open => {
                #[cfg(test)]
                {
                    self.work += hot.draft.text.len();
                }
                let hits = self.find(&hot.draft.text, hot.by).ok_or("internal-error")?;
                hot.open = !hits.is_empty();
                if hot.open {
                    hot.draft = self.splice(&hot.draft, hits, &mut hot.findings);
                }
                Ok(hot.findings.len())
            }
            Piece::Hot(hot) => Ok(hot.findings.len()),
        }
    }

    /// What is to be taken out of a text, without our own placeholders.
    /// Nothing if the search fails, which is a bug: the text must then not pass.
    fn find(&mut self, text: &str, by: Readers) -> Option<Vec<Hit>> {
        let looks = lookalikes(text);
        let (own, forged): (Vec<_>, Vec<_>) = looks
            .into_iter()
            .partition(|&(start, end)| self.is_placeholder(&text[start..end]));
        let blank = masked(text, &own);
        if !own.is_empty() && self.is_done(&blank) {
            return Some(Vec::new());
        }
        let search = AssertUnwindSafe(|| match by {
            Readers::Personal => self.engine.scan_personal(&blank),
            Readers::Tokens => self.engine.scan_tokens(&blank, &self.learnt),
            Readers::All => self.engine.scan(&blank, &self.learnt),
        });
        let mut hits = catch_unwind(search).ok()?;
        for hit in &mut hits {
            hit.start = text.floor_char_boundary(hit.start);
            hit.end = text.ceil_char_boundary(hit.end);
        }
        let forged = forged.into_iter().filter(|&(start, end)| {
            let kind = text[start + 1..end].split(':').next().unwrap_or_default();
            self.engine.is_kind(kind)
        });
        let forged: Vec<Hit> = forged
            .map(|(start, end)| Hit::new(start, end, "forged", "placeholder", Strength::Format))
            .collect();
        if !forged.is_empty() {
            hits.extend(forged);
            hits = crate::engine::merge(hits);
        }
        if hits.iter().any(is_guessed) {
            let mut public = self.learnt.public_spans(text);
            public.extend(public_blocks(text));
            let is_within = |hit: &Hit| {
                let mut public = public.iter();
                public.any(|span| span.start < hit.start && hit.end <= span.end)
            };
            hits.retain(|hit| !(is_guessed(hit) && is_within(hit)));
        }
        Some(
            hits.into_iter()
                .filter_map(|hit| clear_of(hit, &own, text))
                .collect(),
        )
    }

    /// Whether the first look says that nothing is left to be found. That spares the last of the readings.
    fn is_done(&self, text: &str) -> bool {
        let mut addresses = Vec::new();
        let next = self.engine.gate.reader(text).next(0, &mut addresses);
        next.is_none() && addresses.is_empty() && self.learnt.places(text).is_empty()
    }

    fn splice(&mut self, earlier: &Draft, hits: Vec<Hit>, findings: &mut Vec<Finding>) -> Draft {
        let mut draft = Draft::empty(earlier.text.len());
        let mut fresh: Vec<Finding> = Vec::with_capacity(hits.len());
        let mut at = 0;
        for hit in hits {
            if hit.start < at {
                // Left to the next round.
                continue;
            }
            draft.copy(earlier, at, hit.start);
            let (start, end) = earlier.origin(hit.start, hit.end);
            let value = hit
                .value
                .unwrap_or_else(|| earlier.text[hit.start..hit.end].to_owned());
            if hit.strength >= Strength::Carrier && is_worth_learning(&value) {
                self.learnt.written_value(&value, &hit.kind);
            }
            let placeholder = self.placeholder(&hit.kind, &value);
            let quote = if hit.bare { "\"" } else { "" };
            draft.replace((start, end), &format!("{quote}{placeholder}{quote}"));
            fresh.push(Finding {
                rule: hit.rule.into(),
                kind: hit.kind.into(),
                start,
                end,
            });
            at = hit.end;
        }
        draft.copy(earlier, at, earlier.text.len());
        findings.retain(|old| {
            let index = fresh.partition_point(|new| new.end < old.end);
            fresh.get(index).is_none_or(|new| new.start > old.start)
        });
        findings.append(&mut fresh);
        draft
    }
}

/// Whether only the words around it, or its looks, make a find a secret. The end of an object's name
/// that has such a word in it (`orders-secret-76974db858-m2xkq`) is none.
fn is_guessed(hit: &Hit) -> bool {
    matches!(hit.strength, Strength::Carrier | Strength::Random)
}

/// The text with our own placeholders blanked: `<*****>` is a value to no carrier.
fn masked<'a>(text: &'a str, own: &[(usize, usize)]) -> Cow<'a, str> {
    if own.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for &(start, end) in own {
        masked.push_str(&text[at..start]);
        masked.push('<');
        masked.extend(std::iter::repeat_n('*', end - start - 2));
        masked.push('>');
        at = end;
    }
    masked.push_str(&text[at..]);
    Cow::Owned(masked)
}

/// A find that is more than our own placeholders.
fn clear_of(mut hit: Hit, own: &[(usize, usize)], text: &str) -> Option<Hit> {
    let own = &own[own.partition_point(|&(_, end)| end <= hit.start)..];
    let own = &own[..own.partition_point(|&(start, _)| start < hit.end)];
    let (Some(&(first, _)), Some(&(_, last))) = (own.first(), own.last()) else {
        return Some(hit);
    };
    if first < hit.start {
        return None;
    }
    let outside = |part: &str| part.bytes().any(|b| b.is_ascii_alphanumeric());
    let before = text.get(hit.start..first).unwrap_or_default();
    let after = text.get(last..hit.end).unwrap_or_default();
    let between = own
        .windows(2)
        .any(|pair| outside(&text[pair[0].1..pair[1].0]));
    if !outside(before) && !outside(after) && !between {
        return None;
    }
    hit.end = hit.end.max(last);
    Some(hit)
}

/// Whether a value found in a text is searched for in other texts: not an ordinary word, but the several of a
/// passphrase (`correct-horse-battery`).
fn is_worth_learning(value: &str) -> bool {
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    (value.len() >= 8 && digits && letters) || is_phrase(value) || looks_random(value)
}

fn is_phrase(value: &str) -> bool {
    let words = value.split(['-', '_', '.', '+', ' ']);
    let is_word = |word: &&str| word.len() >= 3 && word.bytes().all(|b| b.is_ascii_alphabetic());
    value.len() >= 15 && words.filter(is_word).count() >= 3
}

#[cfg(test)]
mod tests {
    use crate::{Redactor, Rules};

    /// How many bytes are read in full. What hides one secret after the other must not make it more than a
    /// few times the input.
    #[test]
    fn hostile_texts_are_read_a_bounded_number_of_times() {
        let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
        let work = |piece: &str, size: usize| {
            let mut session = redactor.session(b"a key");
            session.redact_text(&piece.repeat(size / piece.len()));
            session.work
        };
        for piece in [
            "password=a1b2c3d4e5f6g7h8 ",
            "10:00:01 token=a1b2c3d4e5f6g7h8\n",
            "\n10:00:01 x\npassword\n",
            "10.1.2.3 a@b.example.com\n",
            "<secret:abcdef>",
            "password=<secret:abcdef>,",
            "10:00:01 00:1a:2b:3c:4d:5e\n",
            "{\"password\":\"",
        ] {
            let (half, whole) = (work(piece, 1 << 13), work(piece, 1 << 14));
            assert!(whole <= 6 << 14, "{piece:?}: {whole} bytes");
            assert!(
                whole <= 2 * half + half / 4,
                "{piece:?}: {half}, {whole} bytes"
            );
        }
    }

    #[test]
    fn a_text_that_was_learnt_is_redacted_without_reading_it_again() {
        let redactor = Redactor::new(Rules::builtin().unwrap()).unwrap();
        let lines = "10:00:01 connect from 10.1.2.3 with password=correct-horse-7\n10:00:02 done\n";
        let text = lines.repeat(8);
        let mut session = redactor.session(b"a key");
        session.learn_text(&text);
        let work = session.work;
        let redacted = session.redact_text(&text);
        assert!(work > 0);
        assert_eq!(session.work, work);
        assert_eq!(redacted, redactor.session(b"a key").redact_text(&text));
        assert_eq!(session.report().total(), 16);
        // Learnt meanwhile: both lines with it are read again.
        session.learn_text(&text);
        session.learn_value("done-and-over");
        let redacted = session.redact_text(&text.replace("done", "done-and-over"));
        assert!(!redacted.text.contains("done-and-over"));
        session.learn_text(
            "10:00:03 another text that is long enough to be kept until it is redacted, later.",
        );
        session.learn_text(&text);
        session.learn_value("10:00:02 done");
        let redacted = session.redact_text(&text);
        assert!(
            !redacted.text.contains("10:00:02 done"),
            "{}",
            redacted.text
        );
    }
}
