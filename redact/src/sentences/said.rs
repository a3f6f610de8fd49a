//! What a sentence says that a password is: `the password of ada is X`, `Password has been reset to X`,
//! `default password X`.

use crate::carrier::{is_phrase, is_secret_value};
use crate::lexicon::Naming;
use crate::strings::quoted;
use crate::value::before;

/// How much of the line behind the word is looked at, and how many words of it stand before the value.
const TAIL: usize = 160;
const MOST_WORDS: usize = 8;
/// Of these many words it is said whose password it is: `for the user ada`.
const OWNER: usize = 4;
const SHORTEST: usize = 6;

/// Words that lead to what a password is.
const LINKS: &[&str] = &[
    "is",
    "was",
    "has",
    "been",
    "be",
    "will",
    "now",
    "currently",
    "set",
    "changed",
    "reset",
    "updated",
];
/// Verbs before the word that lead to the same: `changed the password to X`.
const CHANGES: &[&str] = &[
    "change",
    "changed",
    "changing",
    "set",
    "setting",
    "reset",
    "resetting",
    "update",
    "updated",
];
/// Words before the word, behind which the value may follow at once: `default password X`.
const KINDS: &[&str] = &[
    "default",
    "initial",
    "temporary",
    "generated",
    "new",
    "old",
    "current",
    "root",
    "admin",
    "administrator",
    "with",
    "using",
    "and",
    "database",
    "db",
];

/// The place of the password that follows the word at `start..end`.
pub(super) fn said(text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
    let line = text[end..text.floor_char_boundary(end + TAIL)]
        .lines()
        .next()?;
    let rest = line.strip_prefix(' ')?;
    let head = before(text, start, 48);
    if let Some(place) = at_once(text, head, end + 1) {
        return Some(place);
    }
    let mut state = State::of(head);
    let mut from = end + 1;
    for word in rest.split(' ').take(MOST_WORDS) {
        if state.next != Next::Word
            && let Some(place) = value_at(text, from)
        {
            return Some(place);
        }
        if state.next != Next::Word && word.len() < SHORTEST && !is_link(word) || !state.read(word)
        {
            return None;
        }
        from += word.len() + 1;
        if state.next == Next::Told && text[start..end].to_ascii_lowercase().ends_with("phrase") {
            let phrase = text[from.min(end + line.len())..end + line.len()].trim_end();
            return is_phrase(phrase).then_some((from, from + phrase.len()));
        }
    }
    None
}

/// What has been read of a sentence.
struct State {
    /// Whether a verb stands before the word, so that `to` leads to the value.
    changes: bool,
    /// Words of the owner that may still come.
    owner: usize,
    linked: bool,
    next: Next,
}

/// What the next word may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Word,
    /// The value.
    Value,
    /// The value, because a colon says so.
    Told,
}

impl State {
    fn of(head: &str) -> Self {
        let words = head.rsplit(' ').filter(|word| !word.is_empty()).take(4);
        let is_change = |word: &str| CHANGES.iter().any(|verb| word.eq_ignore_ascii_case(verb));
        Self {
            changes: { words }.any(is_change),
            owner: 0,
            linked: false,
            next: Next::Word,
        }
    }

    /// Goes on with a word; whether the sentence may still be one.
    fn read(&mut self, word: &str) -> bool {
        let bare = word.trim_end_matches(':');
        self.next = Next::Word;
        if is_link(bare) {
            self.linked = true;
            self.next = match bare {
                "is" | "was" | "now" | "be" if bare.len() < word.len() => Next::Told,
                "is" | "was" | "now" | "be" => Next::Value,
                _ => Next::Word,
            };
        } else if bare == "to" && (self.linked || self.changes) {
            self.next = Next::Value;
        } else if matches!(bare, "for" | "of") && !self.linked {
            self.owner = OWNER;
        } else {
            self.owner = self.owner.saturating_sub(1);
            return self.owner > 0 && bare.len() == word.len();
        }
        true
    }
}

fn is_link(word: &str) -> bool {
    LINKS.contains(&word.trim_end_matches(':'))
}

/// `default password X`: the value follows at once.
fn at_once(text: &str, head: &str, from: usize) -> Option<(usize, usize)> {
    let head = head.strip_suffix(' ').unwrap_or_default();
    let previous = head.rsplit([' ', '\n']).next().unwrap_or_default();
    let is_listed = head.ends_with(',')
        || text[from..].starts_with('`')
        || KINDS.iter().any(|kind| previous.eq_ignore_ascii_case(kind));
    let place = is_listed.then(|| value_at(text, from)).flatten()?;
    // In quotes it may be the name of something: `new password "policy"`.
    let value = &text[place.0..place.1];
    let has = |is: fn(&u8) -> bool| value.bytes().any(|b| is(&b));
    let is_mixed =
        has(u8::is_ascii_digit) && (has(u8::is_ascii_uppercase) || has(|b| is_symbol(*b)));
    (is_mixed && !is_hyphenated(value)).then_some(place)
}

/// The place of what may be a password at a word.
fn value_at(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    if rest.starts_with(['"', '\'', '`']) {
        let (start, end, _) = quoted(text, from)?;
        let value = &text[start..end];
        let is_one = value.len() >= 4 && !value.contains(char::is_whitespace);
        return (is_one && is_secret_value(Naming::Password, value)).then_some((start, end));
    }
    let word = rest.split([' ', '\n', '\r', '\t']).next()?;
    let value = word.trim_end_matches(['.', ',', ';', ')', ':', '"', '\'', '`']);
    let has = |is: fn(&u8) -> bool| value.bytes().any(|b| is(&b));
    let is_mixed = has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit)
            || value
                .trim_end_matches(['!', '?'])
                .bytes()
                .skip(1)
                .any(is_symbol));
    (value.len() >= SHORTEST
        && is_mixed
        && !is_known(value)
        && is_secret_value(Naming::Password, value))
    .then_some((from, from + value.len()))
}

const fn is_symbol(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'?'
    )
}

/// Words and digits joined by hyphens: a name.
fn is_hyphenated(value: &str) -> bool {
    value.contains('-')
        && value.split('-').all(|part| {
            part.bytes().all(|b| b.is_ascii_lowercase()) || part.bytes().all(|b| b.is_ascii_digit())
        })
}

/// `read-only1`, `never-expire-1`, `MySQL8-style`: words that qualify, joined to others.
fn is_compound(value: &str) -> bool {
    const FIRST: [&str; 6] = ["read", "write", "never", "at", "well", "stored"];
    const LAST: [&str; 9] = [
        "only",
        "style",
        "safe",
        "compatible",
        "based",
        "protected",
        "chars",
        "known",
        "ish",
    ];
    let (first, last) = (value.split('-').next(), value.rsplit('-').next());
    let last = last.map(|last| last.trim_end_matches(|c: char| !c.is_ascii_alphabetic()));
    let is_among = |word: Option<&str>, among: &[&str]| {
        word.is_some_and(|word| among.iter().any(|one| word.eq_ignore_ascii_case(one)))
    };
    value.contains('-') && (is_among(first, &FIRST) || is_among(last, &LAST))
}

/// What is said of passwords besides what they are: how they are hashed, how long they last, where they are.
fn is_known(value: &str) -> bool {
    const PARTS: [&str; 16] = [
        "sha", "md5", "base64", "utf", "crypt", "argon", "pbkdf", "scram", "aes", "x509", "oauth",
        "rfc", "ascii", "iso", "pkcs", "ldap",
    ];
    let lower = value.to_ascii_lowercase();
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_small = |b: u8| b.is_ascii_lowercase() || b == b'-';
    let is_duration = unit.len() < value.len()
        && unit.bytes().all(is_small)
        && (unit.len() <= 6 || unit.starts_with('-'));
    let is_version = value
        .strip_prefix('v')
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    PARTS.iter().any(|part| lower.contains(part))
        || is_version
        || is_compound(value)
        || value.contains('@') && value.contains('.')
        || is_duration
        || value.contains(['/', ':', '(', '=', '<', '{', '[', '|', '"', '\\'])
        || value.contains("'s")
        || value.contains("n't")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let lower = text.to_ascii_lowercase();
        let (start, word) = ["password", "passphrase"]
            .iter()
            .find_map(|word| Some((lower.find(word)?, word)))
            .unwrap();
        said(text, start, start + word.len()).map(|(from, to)| &text[from..to])
    }

    #[test]
    fn what_a_sentence_says_a_password_is() {
        for (text, expected) in [
            (
                "Connecting as root, the password is Blue7horse!",
                "Blue7horse!",
            ),
            ("The password for the user ada is Blue7horse.", "Blue7horse"),
            ("your password is: Blue7horse", "Blue7horse"),
            (
                "Password has been set to Blue7horse, please log in",
                "Blue7horse",
            ),
            ("changed the password of ada to Blue7horse", "Blue7horse"),
            ("Resetting admin password to 'horse'", "horse"),
            ("password was set to `horse-blue`", "horse-blue"),
            (
                "the password of the database is now kettle#copper",
                "kettle#copper",
            ),
            ("Using default password `Start123!` for admin", "Start123!"),
            ("user ada, password Blue7horse", "Blue7horse"),
            (
                "set system administrator password Blue7horse: failed",
                "Blue7horse",
            ),
            ("with password Start123! failed", "Start123!"),
            (
                "the passphrase for the key is: copper kettle lamp",
                "copper kettle lamp",
            ),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_else_is_said_of_passwords() {
        for text in [
            "password is too short",
            "password is required for user42",
            "password is base64-encoded",
            "password is 12-character",
            "the password was 90days old",
            "password is /run/secrets/db1",
            "password for web-1 is wrong, user42",
            "Failed password for root from host7 port 22",
            "password is set to expire on 2026-01-02T00",
            "password has been changed by ada42x",
            "password is hashed with sha256crypt",
            "the password isn't valid42",
            "Password is required!",
            "The password is incorrect!! Try again.",
            "the password is invalid?",
            "password is set to never-expire-1",
            "The password is MySQL8-style",
            "password is read-only1",
            "updated the password for deployment to v1.2.3",
            "password was set to admin@example.com",
            "password is ${PASSWORD1}",
            "new password policy-42 applied",
            "default password for user42 applied",
            "changed password policy to level-3",
            "the passphrase is: too short",
            "password is",
            "password ",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
