//! What is in a text and is not seen.

use std::borrow::Cow;

use bonesetter_proto::Unseen;

use super::Flag;
use super::terminal::sequence;

/// So many joints are in a name or an emoji; more may spell something.
const HARMLESS_JOINTS: usize = 3;

/// Flags for characters that nobody sees and that change what is read.
pub(super) fn hidden(text: &str) -> Vec<Flag> {
    if text.bytes().all(|byte| byte.is_ascii() && byte != 0x1b) {
        return Vec::new();
    }
    let mut flags: Vec<Flag> = Vec::new();
    let mut joints = Vec::new();
    let mut skip_to = 0;
    for (start, character) in text.char_indices() {
        if start < skip_to {
            continue;
        }
        let mut end = start + character.len_utf8();
        let rule = match Unseen::of(character) {
            Some(Unseen::Tag) => "tag-characters",
            Some(Unseen::Direction) => "bidirectional",
            Some(Unseen::Joint) => {
                joints.push(start..end);
                continue;
            }
            Some(Unseen::Separator) => continue,
            None => {
                let Some(sequence) = sequence(text, start) else {
                    continue;
                };
                (skip_to, end) = (sequence.end, sequence.end);
                if !sequence.is_string {
                    continue;
                }
                "terminal-escape"
            }
        };
        match flags.last_mut() {
            Some(last) if last.end == start && last.rule == rule => last.end = end,
            _ => flags.push(flag(rule, start, end)),
        }
    }
    if joints.len() > HARMLESS_JOINTS {
        let invisible = joints
            .into_iter()
            .map(|at| flag("invisible", at.start, at.end));
        flags.extend(invisible);
    }
    flags
}

fn flag(rule: &str, start: usize, end: usize) -> Flag {
    Flag {
        rule: rule.to_owned(),
        start,
        end,
        is_cut: true,
    }
}

/// Whether what a flag names is only removed, and nothing put in its place.
pub(super) fn is_hidden_kind(rule: &str) -> bool {
    matches!(
        rule,
        "tag-characters" | "bidirectional" | "terminal-escape" | "invisible"
    )
}

/// The text with its ends of strings (NUL) as what they separate: the variables of a process stand on lines, the
/// words of a command line between blanks, and in text of two bytes a character they separate nothing.
pub(super) fn separated(text: &str) -> Cow<'_, str> {
    let ends = text.bytes().filter(|byte| *byte == 0).count();
    if ends == 0 {
        return Cow::Borrowed(text);
    }
    let is_variable = |piece: &str| {
        let name = piece.split_once('=').map(|(name, _)| name);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        piece.is_empty() || name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_name))
    };
    let between = if ends * 3 >= text.len() {
        ""
    } else if text.split('\0').skip(1).all(is_variable) {
        "\n"
    } else {
        " "
    };
    Cow::Owned(text.replace('\0', between))
}

/// The text without characters that change how the rest is shown: terminal escapes, bidirectional
/// overrides, tags, other control characters than tab and line ends. Joints stay, because names and emoji are
/// written with them; where there are too many, [`hidden`] names them. Separators stay as other line ends do.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let changes = |character: char| match Unseen::of(character) {
        Some(Unseen::Direction | Unseen::Tag) => true,
        Some(Unseen::Joint | Unseen::Separator) => false,
        None => character.is_control() && !matches!(character, '\t' | '\n' | '\r'),
    };
    if !text.chars().any(changes) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        if let Some(sequence) = sequence(text, index) {
            skip_to = sequence.end;
        } else if !changes(character) {
            visible.push(character);
        }
    }
    Cow::Owned(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_strings_are_what_they_separate() {
        for (text, expected) in [
            ("a=b", "a=b"),
            (
                "HOME=/root\0DB_PASSWORD=correct horse\0",
                "HOME=/root\nDB_PASSWORD=correct horse\n",
            ),
            ("mysqld\0--password\0tulip\0", "mysqld --password tulip "),
            ("p\0w\0=\0x\0\n\0", "pw=x\n"),
        ] {
            assert_eq!(separated(text), expected);
        }
    }

    #[test]
    fn hidden_characters_are_named_and_removed() {
        for (text, rule, left) in [
            ("a\u{202e}b", "bidirectional", "ab"),
            ("a\u{e0041}\u{e0042}b", "tag-characters", "ab"),
            ("a\u{e0158}\u{e0159}b", "tag-characters", "ab"),
            ("a\u{e0080}\u{e0fff}b", "tag-characters", "ab"),
            ("a\u{1b}]0;title\u{7}b", "terminal-escape", "ab"),
            ("a\u{9d}0;title\u{9c}b", "terminal-escape", "ab"),
        ] {
            let flags = hidden(text);
            assert_eq!(flags.len(), 1, "{text:?}");
            assert_eq!(flags[0].rule, rule);
            assert_eq!(visible(text), left);
        }
        assert_eq!(hidden("\u{1b}[31mred\u{9b}0m"), []);
        assert_eq!(visible("\u{1b}[31mred\u{9b}0m\u{1b}(B"), "red");
        assert_eq!(hidden("family \u{1f468}\u{200d}\u{1f469}"), []);
        let spelt = "a\u{200b}\u{200c}b\u{feff}\u{61c}";
        assert!(hidden(spelt).iter().all(|flag| flag.rule == "invisible"));
        assert_eq!(hidden(spelt).len(), 4);
        assert_eq!(visible("a\u{200d}b\u{2028}c"), "a\u{200d}b\u{2028}c");
    }
}
