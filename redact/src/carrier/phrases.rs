//! Passphrases of several words: `passphrase: copper kettle`.

use crate::carrier::assignment::Assignment;
use crate::lexicon::{Naming, Section, is_in};
use crate::syntax::NAME_LIMIT;
use crate::value::before;

/// How much of a line is a phrase, and how many words of it.
const LONGEST: usize = 160;
const WORDS: std::ops::RangeInclusive<usize> = 2..=12;
/// More words behind a password are a sentence, unless they are called a phrase.
const MOST_IN_PASSWORD: usize = 4;

/// Words of sentences about passwords.
const PROSE: [&str; 24] = [
    "please",
    "try",
    "again",
    "enter",
    "prompt",
    "wrong",
    "incorrect",
    "your",
    "this",
    "that",
    "will",
    "when",
    "use",
    "using",
    "login",
    "rejected",
    "refused",
    "accepted",
    "policy",
    "too",
    "short",
    "weak",
    "attempt",
    "check",
];

/// Whether words say something about a password.
pub(super) fn is_sentence(words: &str) -> bool {
    words
        .split([' ', ','])
        .map(str::to_ascii_lowercase)
        .any(|word| is_in(Section::EmptyValue, &word) || PROSE.contains(&word.as_str()))
}

/// Whether words may be a passphrase.
pub(crate) fn is_phrase(words: &str) -> bool {
    let is_word = |word: &str| word.len() >= 3 && word.bytes().all(|b| b.is_ascii_lowercase());
    WORDS.contains(&words.split(' ').count())
        && words.split(' ').all(is_word)
        && !is_sentence(words)
}

/// Where the words behind a name end, if they are a passphrase: nothing but words, up to the end of the line, and either
/// the name says so, or the line is one of settings.
pub(super) fn end(found: &Assignment<'_>) -> Option<usize> {
    let Assignment { text, start, .. } = *found;
    if found.naming != Naming::Password {
        return None;
    }
    let rest = &text[start..text.floor_char_boundary(start + LONGEST)];
    let line = rest.lines().next()?.trim_end();
    let count = line.split(' ').count();
    let is_called = || found.name.to_ascii_lowercase().ends_with("phrase");
    let is_told = || is_called() || count <= MOST_IN_PASSWORD && is_among_settings(found);
    (is_phrase(line) && is_told()).then_some(start + line.len())
}

/// Whether the line is a setting, and the one before or behind it, too.
fn is_among_settings(found: &Assignment<'_>) -> bool {
    let Assignment {
        text, at, start, ..
    } = *found;
    let head = before(text, at, 2 * NAME_LIMIT);
    let mut above = head.rsplit('\n');
    let own = above.next().unwrap_or_default();
    let own = own.trim_matches([' ', '-', '"', '\'', '\t']);
    let window = &text[start..text.floor_char_boundary(start + LONGEST + NAME_LIMIT)];
    let below = window.split('\n').nth(1);
    own == found.name && (above.next().is_some_and(is_setting) || below.is_some_and(is_setting))
}

/// `port: 5432`, `port = 5432`.
fn is_setting(line: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    line.split_once([':', '=']).is_some_and(|(name, value)| {
        let name = name.trim().trim_matches(['"', '\'']);
        !name.is_empty() && name.bytes().all(is_name) && !value.trim().is_empty()
    })
}
