//! Letters that are written as escapes: `pass\\u0077ord`, `p%61ssword`, `&#112;assword`. Nobody escapes a letter but who
//! hides a word.

use crate::view::is_invisible;

/// The longest escape of a character.
const LONGEST: usize = 8;

/// The letter, the separator, or the character that nobody sees, for which the escape that begins at `at` stands; and how
/// many bytes it has.
pub(crate) fn spelled(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let rest = &bytes[at..bytes.len().min(at + LONGEST)];
    let (digits, radix, lead) = match rest {
        [b'\\', b'u', digits @ ..] => (digits.get(..4)?, 16, 2),
        [b'\\', b'x', digits @ ..] => (digits.get(..2)?, 16, 2),
        [b'%', digits @ ..] => (digits.get(..2)?, 16, 1),
        [b'&', b'#', b'x' | b'X', digits @ ..] => (until_semicolon(digits)?, 16, 3),
        [b'&', b'#', digits @ ..] => (until_semicolon(digits)?, 10, 2),
        _ => return None,
    };
    let code = std::str::from_utf8(digits).ok()?;
    let character = char::from_u32(u32::from_str_radix(code, radix).ok()?)?;
    let is_hidden = character.is_ascii_alphabetic()
        || matches!(character, '=' | ':' | '_')
        || is_invisible(character);
    let length = lead + digits.len() + usize::from(rest[0] == b'&');
    is_hidden.then_some((character, length))
}

fn until_semicolon(digits: &[u8]) -> Option<&[u8]> {
    let end = digits.iter().position(|b| *b == b';')?;
    Some(&digits[..end])
}

/// Whether there is any in a text, percent-encoding only where told so.
pub(crate) fn is_spelled(text: &str, in_percent: bool) -> bool {
    let bytes = text.as_bytes();
    let mut signs = memchr::memchr3_iter(b'\\', b'%', b'&', bytes);
    signs.any(|at| (in_percent || bytes[at] != b'%') && spelled(bytes, at).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_what_nobody_sees() {
        for (text, expected) in [
            ("\\u0077o", Some(('w', 6))),
            ("\\u200bo", Some(('\u{200b}', 6))),
            ("\\u003dx", Some(('=', 6))),
            ("\\x77o", Some(('w', 4))),
            ("%61s", Some(('a', 3))),
            ("&#112;a", Some(('p', 6))),
            ("&#x70;a", Some(('p', 6))),
            ("\\u003cnil", None),
            ("\\u00e9", None),
            ("%20a", None),
            ("&amp;", None),
            ("\\x", None),
            ("", None),
        ] {
            assert_eq!(spelled(text.as_bytes(), 0), expected, "{text}");
        }
    }
}
