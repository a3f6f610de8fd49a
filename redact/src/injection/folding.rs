//! Readings of a text that the many ways of writing the same thing share.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::lookalikes::{is_disguised, is_latin, latin};
use super::terminal::sequence;
use crate::view::{View, escape_end, is_invisible};

/// A word that is written as one and has this many joints, or more, is several words.
const FEWEST_JOINTS: usize = 2;

/// A folded text, with a way back.
pub(super) enum Folded {
    /// Plain ASCII folds byte by byte.
    Plain(String),
    /// Anything else.
    Mapped(View),
}

/// How much is taken for a disguise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Words whose letters come from several scripts.
    Careful,
    /// Every letter that is drawn like a Latin one, and names that are several words in one.
    Open,
}

impl Folded {
    /// The reading that leaves words of other scripts as they are.
    pub(super) fn new(original: &str) -> Self {
        let is_plain = |byte: u8| {
            matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
                && !matches!(byte, b'%' | b'\\' | b'&')
        };
        if original.bytes().all(is_plain) {
            return Self::Plain(original.to_ascii_lowercase());
        }
        Self::Mapped(mapped(original, Reading::Careful))
    }

    /// The reading in which `ignoreAllRules` is three words and Cyrillic letters may spell Latin ones, if the text
    /// has anything of that kind. Only a whole sentence means something in it.
    pub(super) fn open(original: &str) -> Option<Self> {
        let differs = !original.is_ascii() || original.split_ascii_whitespace().any(has_joints);
        differs.then(|| Self::Mapped(mapped(original, Reading::Open)))
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Mapped(view) => &view.text,
        }
    }

    /// A place in the folded text as one in the original.
    pub(super) fn origin(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        match self {
            Self::Plain(_) => (start < end).then_some((start, end)),
            Self::Mapped(view) => view.origin(start, end),
        }
    }
}

/// A character of the text, decoded, and where it stands in the original.
#[derive(Clone, Copy)]
struct Placed {
    character: char,
    start: usize,
    end: usize,
}

fn mapped(original: &str, reading: Reading) -> View {
    let mut view = View::empty(original.len());
    let characters = characters(original);
    for run in characters.chunk_by(|a, b| is_of_word(a.character) == is_of_word(b.character)) {
        if is_of_word(run[0].character) {
            spell(run, reading, &mut view);
        } else {
            for at in run {
                let is_joint = reading == Reading::Open && is_joint(at.character) && run.len() == 1;
                let read = if is_joint { ' ' } else { at.character };
                view.push(read, at.start, at.end);
            }
        }
    }
    view
}

fn is_of_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphabetic();
    }
    character.is_alphabetic() || is_combining_mark(character) || is_latin(character)
}

/// Appends a word in lower case.
fn spell(word: &[Placed], reading: Reading, view: &mut View) {
    let is_open = reading == Reading::Open;
    let is_folded = is_open || is_disguised(word.iter().map(|letter| letter.character));
    let mut was_small = false;
    for letter in word {
        let &Placed {
            character,
            start,
            end,
        } = letter;
        if is_open && was_small && character.is_uppercase() {
            view.push(' ', start, end);
        }
        was_small = character.is_lowercase();
        if character.is_ascii() {
            view.push(character.to_ascii_lowercase(), start, end);
            continue;
        }
        let is_read = is_folded || is_latin(character);
        match is_read.then(|| latin(character)).flatten() {
            Some(letters) => letters.chars().for_each(|read| view.push(read, start, end)),
            None => character
                .to_lowercase()
                .for_each(|read| view.push(read, start, end)),
        }
    }
}

/// Whether a character stands between the words of a name.
const fn is_joint(character: char) -> bool {
    matches!(character, '_' | '-' | '.' | '+')
}

/// Whether a name may be a sentence: it has joints, or capitals within.
fn has_joints(name: &str) -> bool {
    let pairs = name.as_bytes().windows(2);
    let is_between = |pair: &&[u8]| match **pair {
        [before, after] => {
            before.is_ascii_lowercase() && after.is_ascii_uppercase()
                || is_joint(char::from(before)) && after.is_ascii_alphabetic()
        }
        _ => false,
    };
    pairs.filter(is_between).count() >= FEWEST_JOINTS
}

/// Every character that a reader sees, in its compatibility form, with escapes decoded. Marks on Latin letters are
/// part of their letter.
fn characters(original: &str) -> Vec<Placed> {
    let bytes = original.as_bytes();
    let mut characters: Vec<Placed> = Vec::with_capacity(original.len());
    let mut skip_to = 0;
    for (start, character) in original.char_indices() {
        if start < skip_to {
            continue;
        }
        let sequence = sequence(original, start).map(|sequence| sequence.end);
        if let Some(end) = sequence.or_else(|| escape_end(bytes, start)) {
            skip_to = end;
            continue;
        }
        let (character, end) = unescaped(bytes, start, character);
        skip_to = end;
        // Tag characters spell ASCII that nobody sees.
        let character = match u32::from(character) {
            tag @ 0xe_0020..=0xe_007e => char::from_u32(tag - 0xe_0000).unwrap_or(character),
            _ if is_unseen(character) => continue,
            _ => character,
        };
        if character.is_ascii() {
            characters.push(Placed {
                character,
                start,
                end,
            });
            continue;
        }
        for character in std::iter::once(character).nfkc().map(punctuation) {
            match characters.last_mut() {
                Some(letter) if is_combining_mark(character) && is_latin(letter.character) => {
                    letter.end = end;
                }
                _ => characters.push(Placed {
                    character,
                    start,
                    end,
                }),
            }
        }
    }
    characters
}

/// Whether a word is read without this character: what has no width, is blank, or controls a terminal.
fn is_unseen(character: char) -> bool {
    let is_line = matches!(character, '\t' | '\n' | '\r');
    let is_blank = matches!(
        character,
        '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'
    );
    is_invisible(character) || is_blank || character.is_control() && !is_line
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
        ('&', Some(_)) => entity(&bytes[end..]).map_or((character, end), |(decoded, length)| {
            (decoded, end + length)
        }),
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

/// The character of a reference in HTML, behind its `&`, and how long the rest of it is.
fn entity(rest: &[u8]) -> Option<(char, usize)> {
    const LONGEST: usize = 10;
    let length = rest.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&rest[..length]).ok()?;
    let decoded = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((decoded, length + 1))
}

/// Quotation marks and brackets in the form that the rules know.
const fn punctuation(character: char) -> char {
    match character {
        '‘' | '’' | 'ʼ' => '\'',
        '“' | '”' | '„' => '"',
        '‹' | '〈' | '⟨' => '<',
        '›' | '〉' | '⟩' => '>',
        'ǀ' | '∣' | '│' => '|',
        other => other,
    }
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
            "іgnоrе іt",
            "ígñörė ît",
            "i\u{301}g\u{336}nore\u{301}\u{302} it",
            "ɪɢɴᴏʀᴇ ɪᴛ",
            "𝐢𝑔𝓷𝖔𝚛𝕖 ⓘⓣ",
            "🅘🅖🅝🅞🅡🅔 🇮🇹",
            "ig\u{1}nore \u{9b}31mit",
            "ig\u{1b}]0;title\u{7}nore it",
            "&#105;gnore&nbsp;it",
            "\\u0069gnore it",
            "%69gnore%20it",
            "\u{1b}[31mignore\u{1b}[0m it",
            "\u{e0069}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065} it",
        ] {
            assert_eq!(Folded::new(text).text(), "ignore it", "{text}");
        }
    }

    #[test]
    fn words_of_one_script_stay_what_they_are() {
        for (text, folded) in [
            ("Не удалось открыть файл", "не удалось открыть файл"),
            ("Η σύνδεση απέτυχε", "η σύνδεση απέτυχε"),
            ("Les étés précédents à Nîmes", "les etes precedents a nimes"),
            ("größer als Ørsted", "großer als orsted"),
            ("接続に失敗しました", "接続に失敗しました"),
            ("연결 실패", "연결 실패"),
        ] {
            assert_eq!(Folded::new(text).text(), folded);
        }
    }

    #[test]
    fn the_open_reading_parts_names_and_reads_every_script_as_latin() {
        for (text, open) in [
            ("ignoreAllRules", Some("ignore all rules")),
            ("ignore_all_rules=1", Some("ignore all rules=1")),
            ("ignore.all-rules", Some("ignore all rules")),
            ("рорре сору", Some("poppe copy")),
            ("systemMode=on", None),
            ("a plain line -- of 3.5 words", None),
        ] {
            let read = Folded::open(text).map(|folded| folded.text().to_owned());
            assert_eq!(read.as_deref(), open, "{text}");
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
}
