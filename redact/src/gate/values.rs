//! Whether a random string follows a name: what the gate asks of names that say little.

use crate::carrier::is_scheme;
use crate::json::names::is_value_key;
use crate::rarity::{is_random_token, is_token_byte};
use crate::strings::quoted;

/// How far behind a name its value begins.
const NEAR: usize = 48;
/// How much of it is looked at: the beginning of a long random string is random.
const LONGEST: usize = 1 << 10;

/// Whether a random string is what follows a name, also on the next line.
pub(crate) fn is_value_near(text: &str, end: usize) -> bool {
    const SEPARATORS: [char; 10] = ['=', ':', '@', '.', '-', '/', '+', '_', '%', '$'];
    let bytes = text.as_bytes();
    let mut at = end;
    let mut skipped = false;
    let ceiling = bytes.len().min(end + NEAR);
    while at < ceiling {
        let is_quote = matches!(bytes[at], b'"' | b'\'' | b'`');
        if is_quote
            && let Some((from, to, _)) = quoted(text, at)
            && is_random_token(&text[from..to])
        {
            return true;
        }
        let length = bytes[at..]
            .iter()
            .take(LONGEST)
            .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'`'))
            .count();
        let token = &text[at..text.floor_char_boundary(at + length)];
        if length >= 12
            && may_be_random(token.as_bytes())
            && (is_random_token(token)
                || is_random_token(token.trim_start_matches(SEPARATORS))
                || has_random_part(token))
        {
            return true;
        }
        let word = token.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_type = bytes[at + length..].starts_with(b" = ");
        if word.len() > 2 && !is_type && !stands_between(word) {
            // One short word may stand before the value.
            if skipped || word.len() > 4 {
                return false;
            }
            skipped = true;
        }
        at += length.max(1);
    }
    false
}

/// Whether [`is_random_token`] may say so of a string or a part of it: a quick look.
fn may_be_random(token: &[u8]) -> bool {
    let digits = token.iter().filter(|b| b.is_ascii_digit()).count();
    let longest = longest(token, u8::is_ascii_alphanumeric);
    longest >= 16 || digits >= 1 && longest >= 12 || digits >= 2 && token.len() >= 16
}

/// Whether a part between separators is random.
fn has_random_part(token: &str) -> bool {
    const ENDS: [char; 5] = ['=', ':', '@', '-', '.'];
    let bytes = token.as_bytes();
    let is_inside = |b: &u8| !ENDS.contains(&char::from(*b));
    if longest(bytes, u8::is_ascii_alphanumeric) < 12 && longest(bytes, is_inside) < 16 {
        return false;
    }
    token.split(ENDS).any(is_random_token)
        || token
            .split(|c: char| !c.is_ascii() || !is_token_byte(c as u8))
            .any(is_random_token)
        || token
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_random_token)
}

/// The length of the longest run of such bytes.
fn longest(bytes: &[u8], is_inside: impl Fn(&u8) -> bool) -> usize {
    let (mut run, mut longest) = (0, 0);
    for byte in bytes {
        run = if is_inside(byte) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Words between a name and its value: `the key is X`, `"name": K, "value": X`, `Authorization: Bearer X`.
fn stands_between(word: &str) -> bool {
    const FILLERS: &[&str] = &["was", "code", "string", "str", "char", "text"];
    is_value_key(word) || is_scheme(word) || FILLERS.iter().any(|f| word.eq_ignore_ascii_case(f))
}
