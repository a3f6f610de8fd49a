//! One reading of a text that the many ways of writing the same thing share.

use std::borrow::Cow;

use bonesetter_proto::Unseen;
use unicode_normalization::UnicodeNormalization as _;

use super::Flag;
use crate::decode;
use crate::view::{View, escape_end, is_invisible};

/// So many joints are in a name or an emoji; more may spell something.
const HARMLESS_JOINTS: usize = 3;
/// Fewer words that are spelled are abbreviations.
const FEWEST_SPELLED: usize = 3;

/// A folded text, with a way back.
pub(super) enum Folded<'a> {
    /// Plain ASCII folds byte by byte.
    Plain { original: &'a str, text: String },
    /// Anything else.
    Mapped { original: &'a str, view: View },
}

impl<'a> Folded<'a> {
    pub(super) fn new(original: &'a str) -> Self {
        let is_plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'%' | b'\\' | 0x1b | 0x7f);
        if original.bytes().all(is_plain) {
            let text = original.to_ascii_lowercase();
            return Self::Plain { original, text };
        }
        Self::Mapped {
            original,
            view: mapped(original),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain { text, .. } => text,
            Self::Mapped { view, .. } => &view.text,
        }
    }

    /// A place in the folded text as one in the original.
    pub(super) fn origin(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        match self {
            Self::Plain { .. } => (start < end).then_some((start, end)),
            Self::Mapped { view, .. } => view.origin(start, end),
        }
    }

    /// Base64 or hexadecimal digits of readable text, and words that are spelled: their place in the original, and
    /// what they say.
    pub(super) fn encoded(&self) -> Vec<(usize, usize, String)> {
        let (Self::Plain { original, .. } | Self::Mapped { original, .. }) = self;
        let mut texts = decode::texts(original);
        texts.extend(spelled(original));
        texts
    }
}

fn mapped(original: &str) -> View {
    let bytes = original.as_bytes();
    let mut view = View::empty(original.len());
    let mut skip_to = 0;
    for (index, character) in original.char_indices() {
        if index < skip_to {
            continue;
        }
        if let Some(end) = escape_end(bytes, index) {
            skip_to = end;
            continue;
        }
        let (character, end) = unescaped(bytes, index, character);
        skip_to = end;
        // Tag characters spell ASCII that nobody sees.
        let character = match u32::from(character) {
            tag @ 0xe_0020..=0xe_007e => char::from_u32(tag - 0xe_0000).unwrap_or(character),
            _ if is_invisible(character) => continue,
            _ => character,
        };
        for folded in std::iter::once(character)
            .nfkc()
            .flat_map(char::to_lowercase)
        {
            view.push(latin(folded), index, end);
        }
    }
    view
}

/// The character that an escape stands for, and where the escape ends.
fn unescaped(bytes: &[u8], index: usize, character: char) -> (char, usize) {
    let end = index + character.len_utf8();
    let hex = |from: usize, digits: usize| {
        let digits = bytes.get(from..from + digits)?;
        let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        char::from_u32(code)
    };
    match (character, bytes.get(end)) {
        ('\\', Some(b'u')) => match hex(end + 1, 4) {
            Some(decoded) => (decoded, end + 5),
            None => (character, end),
        },
        ('\\', Some(b'x')) => match hex(end + 1, 2) {
            Some(decoded) => (decoded, end + 3),
            None => (character, end),
        },
        ('\\', Some(b'n' | b'r' | b't')) => ('\n', end + 1),
        ('\\', Some(b'"')) => ('"', end + 1),
        ('%', Some(_)) => percent(bytes, index).unwrap_or((character, end)),
        _ => (character, end),
    }
}

/// The character that `%XX`, or the two to four of them that UTF-8 has for others than ASCII, stand for, and where they
/// end.
fn percent(bytes: &[u8], index: usize) -> Option<(char, usize)> {
    let mut decoded = [0; 4];
    let mut at = index;
    for length in 0..decoded.len() {
        let code = bytes.get(at..at + 3)?.strip_prefix(b"%")?;
        decoded[length] = u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?;
        at += 3;
        let character = std::str::from_utf8(&decoded[..=length]).ok();
        if let Some(character) = character.and_then(|text| text.chars().next()) {
            return (!character.is_control()).then_some((character, at));
        }
    }
    None
}

/// What is spelled in a text, letter by letter with marks between: `i-g-n-o-r-e a-l-l`.
fn spelled(text: &str) -> Option<(usize, usize, String)> {
    let mut words: Vec<String> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for word in text.split_whitespace() {
        let Some(letters) = letters(word) else {
            continue;
        };
        let at = word.as_ptr().addr() - text.as_ptr().addr();
        if words.is_empty() {
            start = at;
        }
        end = at + word.len();
        words.push(letters);
    }
    (words.len() >= FEWEST_SPELLED).then(|| (start, end, words.join(" ")))
}

/// The letters of a word that is spelled with one mark between any two of them.
fn letters(word: &str) -> Option<String> {
    let bytes = word.as_bytes();
    let mark = *bytes.get(1).filter(|mark| b"-._*+~".contains(mark))?;
    let is_spelled = |(index, byte): (usize, &u8)| match index % 2 {
        0 => byte.is_ascii_alphabetic(),
        _ => *byte == mark,
    };
    let letters = bytes.iter().step_by(2).map(|byte| char::from(*byte));
    (bytes.len() >= 5 && bytes.len() % 2 == 1 && bytes.iter().enumerate().all(is_spelled))
        .then(|| letters.collect())
}

/// Letters of other scripts that look like Latin ones. Words wholly in those scripts lose their
/// meaning to the rules for Latin text, and keep it to the rules written in their own: those match
/// folded letters too.
const fn latin(character: char) -> char {
    match character {
        'ɡ' => 'g',
        'ı' | 'ɩ' | 'ι' | 'і' | 'ӏ' => 'i',
        'ѕ' => 's',
        'ј' => 'j',
        'ԁ' => 'd',
        'ԛ' => 'q',
        'ԝ' => 'w',
        'ɑ' | 'α' => 'a',
        'ο' | 'օ' => 'o',
        'ρ' => 'p',
        'τ' => 't',
        'κ' => 'k',
        'ℓ' => 'l',
        'ո' => 'n',
        'ν' | 'ѵ' => 'v',
        'һ' => 'h',
        '‘' | '’' | 'ʼ' => '\'',
        '“' | '”' | '„' => '"',
        other => other,
    }
}

/// Flags for characters that nobody sees and that change what is read.
pub(super) fn hidden(text: &str) -> Vec<Flag> {
    if text.bytes().all(|byte| byte.is_ascii() && byte != 0x1b) {
        return Vec::new();
    }
    let mut flags: Vec<Flag> = Vec::new();
    let mut joints = Vec::new();
    for (start, character) in text.char_indices() {
        let end = start + character.len_utf8();
        let rule = match Unseen::of(character) {
            Some(Unseen::Tag) => "tag-characters",
            Some(Unseen::Direction) => "bidirectional",
            Some(Unseen::Joint) => {
                joints.push(start..end);
                continue;
            }
            None if opens_terminal_string(text, start) => "terminal-escape",
            Some(Unseen::Separator) | None => continue,
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

/// Whether an escape stands here that begins a string for the terminal itself (ECMA-48: OSC, DCS, APC, PM).
fn opens_terminal_string(text: &str, at: usize) -> bool {
    matches!(text.as_bytes()[at..], [0x1b, b']' | b'P' | b'_' | b'^', ..])
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
    let bytes = text.as_bytes();
    let mut visible = String::with_capacity(text.len());
    let mut skip_to = 0;
    for (index, character) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        if character == '\u{1b}'
            && let Some(end) = escape_end(bytes, index)
        {
            skip_to = end;
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
    fn many_ways_of_writing_fold_into_one() {
        for text in [
            "Ignore it",
            "ＩＧＮＯＲＥ it",
            "ig\u{200b}no\u{ad}re it",
            "i\u{261}n\u{3bf}re it",
            "\\u0069gnore it",
            "%69gnore%20it",
            "\u{1b}[31mignore\u{1b}[0m it",
            "\u{e0069}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065} it",
        ] {
            assert_eq!(Folded::new(text).text(), "ignore it", "{text}");
        }
    }

    #[test]
    fn a_place_leads_back_to_the_whole_origin() {
        let text = "x %69gnore y";
        let folded = Folded::new(text);
        let start = folded.text().find("ignore").unwrap();
        let (start, end) = folded.origin(start, start + 6).unwrap();
        assert_eq!(&text[start..end], "%69gnore");
    }

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
            ("a\u{1b}]0;title\u{7}b", "terminal-escape", "a]0;titleb"),
        ] {
            let flags = hidden(text);
            assert_eq!(flags.len(), 1, "{text:?}");
            assert_eq!(flags[0].rule, rule);
            assert_eq!(visible(text), left);
        }
        assert_eq!(hidden("family \u{1f468}\u{200d}\u{1f469}"), []);
        let spelt = "a\u{200b}\u{200c}b\u{feff}\u{61c}";
        assert!(hidden(spelt).iter().all(|flag| flag.rule == "invisible"));
        assert_eq!(hidden(spelt).len(), 4);
        assert_eq!(visible("a\u{200d}b\u{2028}c"), "a\u{200d}b\u{2028}c");
    }
}
