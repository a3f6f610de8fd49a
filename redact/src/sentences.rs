//! Passwords that a sentence tells: those that a program has made and tells at its first start (`A temporary password is
//! generated for root: X`, and X on a line of its own behind `Use the following password:`), and those that it says to
//! be something.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};
use crate::value::before;

mod said;

/// Words of such sentences, in lower case.
const MADE: &[&str] = &[
    "temporary",
    "generated",
    "initial",
    "following",
    "bootstrap",
    "one-time",
];
/// How much of a sentence stands before its word for a password, and how much behind.
const HEAD: usize = 80;
const TAIL: usize = 120;
const SHORTEST: usize = 6;

/// The password that the sentence around a word tells.
pub(crate) fn after(text: &str, start: usize, end: usize) -> Option<Hit> {
    if classify(&text[start..end]) != Naming::Password {
        return None;
    }
    if let Some(hit) = of_somebody(text, end) {
        return Some(hit);
    }
    if let Some((start, end)) = said::said(text, start, end) {
        return Some(Hit::secret(start, end, "sentence"));
    }
    let colon = colon(text, start, end)?;
    let rest = &text[colon..];
    let lead = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let feeds = rest[lead..]
        .bytes()
        .take(4)
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let from = colon + lead + feeds;
    let line = text[from..].lines().next().unwrap_or_default();
    let value = line.trim();
    let from = from + (line.len() - line.trim_start().len());
    let is_word = |c: char| !c.is_ascii_alphabetic();
    let is_one = value.len() >= SHORTEST && !value.contains(char::is_whitespace);
    (is_one && value.contains(is_word) && is_secret_value(Naming::Password, value))
        .then(|| Hit::secret(from, from + value.len(), "sentence"))
}

/// `password for ada:X`, where X is on the line, with a digit.
fn of_somebody(text: &str, end: usize) -> Option<Hit> {
    let line = text[end..text.floor_char_boundary(end + TAIL)]
        .lines()
        .next()?;
    let (name, value) = line.strip_prefix(" for ")?.split_once(':')?;
    let value = value.trim();
    let port = value.bytes().take_while(u8::is_ascii_digit).count();
    if port > 0 && matches!(value.as_bytes().get(port), None | Some(b'/')) {
        return None;
    }
    let is_one =
        value.len() >= SHORTEST && !value.contains(char::is_whitespace) && !name.contains(' ');
    let is_made =
        value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic());
    let from = end + line.rfind(value)?;
    (is_one && is_made && is_secret_value(Naming::Password, value))
        .then(|| Hit::secret(from, from + value.len(), "sentence"))
}

/// Whether the sentence around a word may tell a password.
pub(crate) fn tells(text: &str, start: usize, end: usize) -> bool {
    colon(text, start, end).is_some() || said::said(text, start, end).is_some()
}

/// The end of the colon behind which a sentence tells the password that it speaks of.
fn colon(text: &str, start: usize, end: usize) -> Option<usize> {
    let tail = &text[end..text.floor_char_boundary(end + TAIL)];
    let tail = tail.lines().next()?.trim_end();
    let at = match tail.strip_suffix(':') {
        Some(sentence) => sentence.len(),
        None => tail.rfind(": ")?,
    };
    let head = before(text, start, HEAD);
    let head = head.rsplit('\n').next().unwrap_or_default();
    let between = &tail[..at];
    let is_made = |part: &str| {
        let lower = part.to_ascii_lowercase();
        MADE.iter().any(|word| lower.contains(word))
    };
    let is_sentence = !between.contains(['=', ':', '"', '{']);
    // `Password for the elastic user (reset with ...):` and the password on the next line.
    let is_heading = tail.len() == at + 1
        && between.starts_with(" for ")
        && !head.contains(|c: char| c.is_ascii_alphanumeric());
    (is_sentence && (is_made(head) || is_made(between) || is_heading)).then_some(end + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_told_at_the_first_start() {
        for (text, expected) in [
            (
                "A temporary password is generated for root@localhost: qw;Tk7-xx\n",
                Some("qw;Tk7-xx"),
            ),
            ("The initial admin password is: aB3dE6gH", Some("aB3dE6gH")),
            (
                "Please use the following password to proceed to installation:\n\n9f8e7d6c5b4a\n\nThis",
                Some("9f8e7d6c5b4a"),
            ),
            (
                "Generated password for admin: correct-horse",
                Some("correct-horse"),
            ),
            ("the password for ada:hunter22", Some("hunter22")),
            (
                "Password for the elastic user (reset with `bin/reset -u elastic`):\n  a7v0A5A*ZU7F\n",
                Some("a7v0A5A*ZU7F"),
            ),
            ("[sudo] password for ada: \nroot@web-1:~#", None),
            ("password for the user: web-12", None),
            ("no password for db-1.example.com:5432/app", None),
            ("The following password is wrong: it has no digits", None),
            ("Please use the following password policy: strict", None),
            ("Failed password for root from 10.1.2.3: port22", None),
            ("A temporary password is generated for root", None),
        ] {
            let start = text.to_ascii_lowercase().find("password").unwrap();
            let hit = after(text, start, start + "password".len());
            assert_eq!(hit.map(|hit| &text[hit.start..hit.end]), expected, "{text}");
        }
    }
}
