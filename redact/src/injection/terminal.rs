//! Sequences for terminals (ECMA-48), in their forms of seven and of eight bits.

/// A sequence that begins at a place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The byte after its last one.
    pub(super) end: usize,
    /// Whether it carries a string for the terminal itself: a title, an address, the clipboard.
    pub(super) is_string: bool,
}

/// The sequence that begins here. A string that nothing ends is taken to the end of its line, because that is how
/// much of it a terminal could hide. Of the forms of eight bits only those with parameters are sequences: text that was
/// read in the wrong encoding is full of the others.
pub(super) fn sequence(text: &str, start: usize) -> Option<Sequence> {
    let rest = text.get(start..)?;
    let mut characters = rest.chars();
    let first = characters.next().filter(|first| first.is_control())?;
    let second = characters.next();
    let (introducer, length) = match (first, second) {
        ('\u{1b}', Some(second @ ('[' | ']' | 'P' | 'X' | '^' | '_'))) => (second, 2),
        ('\u{9b}', Some('0'..='?')) => ('[', 2),
        ('\u{9d}', Some('0'..='9')) => (']', 2),
        // A set of characters; other short sequences would take a letter of a word with them.
        ('\u{1b}', Some('(' | ')')) if rest[2..].starts_with(['0', 'A', 'B']) => {
            return Some(plain(start + 3));
        }
        _ => return None,
    };
    let body = &rest[length..];
    if introducer == '[' {
        return control(body).map(|end| plain(start + length + end));
    }
    Some(Sequence {
        end: start + length + string_end(body),
        is_string: true,
    })
}

const fn plain(end: usize) -> Sequence {
    Sequence {
        end,
        is_string: false,
    }
}

/// Parameters, intermediate bytes and a final byte.
fn control(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let last = bytes.iter().position(|byte| !matches!(byte, b' '..=b'?'))?;
    matches!(bytes[last], b'@'..=b'~').then_some(last + 1)
}

/// Up to a bell, a string terminator, or the end of the line.
fn string_end(body: &str) -> usize {
    for (at, character) in body.char_indices() {
        match character {
            '\u{7}' | '\u{9c}' => return at + character.len_utf8(),
            '\u{1b}' if body[at + 1..].starts_with('\\') => return at + 2,
            '\n' | '\r' => return at,
            _ => {}
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_taken_whole_in_both_forms() {
        for (text, end, is_string) in [
            ("\u{1b}[31mred", 5, false),
            ("\u{1b}[2Jred", 4, false),
            ("\u{1b}[?25lred", 6, false),
            ("\u{1b}[38:2:1:2:3mred", 13, false),
            ("\u{9b}31mred", 5, false),
            ("\u{1b}(Bred", 3, false),
            ("\u{1b}]0;title\u{7}red", 10, true),
            ("\u{1b}]8;;https://evil.example\u{1b}\\red", 27, true),
            ("\u{9d}8;;https://evil.example\u{9c}red", 27, true),
            ("\u{1b}_Gf=24\u{1b}\\red", 9, true),
            ("\u{1b}]8;;https://evil.example\nred", 25, true),
            ("\u{1b}]8;;https://evil.example", 25, true),
        ] {
            assert_eq!(
                sequence(text, 0),
                Some(Sequence { end, is_string }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_sequence_stays() {
        for text in [
            "[31m",
            "\u{1b}",
            "\u{1b}red",
            "\u{1b}[\u{e9}",
            "\u{9b}",
            "\u{85}x",
            "x",
        ] {
            assert_eq!(sequence(text, 0), None, "{text:?}");
        }
    }
}
