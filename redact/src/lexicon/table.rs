//! The words of `lexicon.txt` with the sections that they are in.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use super::Section;

/// How many combinations of length and ends words are told apart by.
const ENDS: usize = 1 << 15;
/// How many combinations of two letters endings are told apart by.
const TAILS: usize = 1 << 10;

/// A fast hash for the short, fixed words of the lexicon; nobody chooses its keys.
#[derive(Debug, Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
            self.0 = mixed.wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        self.0 ^= self.0 >> 32;
    }
}

struct Lexicon {
    /// Each word with the sections that it is in, one bit each.
    words: HashMap<&'static [u8], u16, BuildHasherDefault<WordHasher>>,
    /// One bit for the length and both ends of each word: most words of a text are not here.
    ends: [u64; ENDS / 64],
    /// The sections of endings: each word with its section.
    endings: Vec<(&'static [u8], Section)>,
    /// One bit for the last two letters of each ending: most words of a text end otherwise.
    tails: [u64; TAILS / 64],
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon {
        words: HashMap::default(),
        ends: [0; ENDS / 64],
        endings: Vec::new(),
        tails: [0; TAILS / 64],
    };
    for (section, word) in words() {
        *lexicon.words.entry(word.as_bytes()).or_default() |= section.bit();
        let (at, bit) = ends_of(word.as_bytes());
        lexicon.ends[at] |= bit;
        let is_ending = matches!(
            section,
            Section::PasswordEnding | Section::StrongEnding | Section::WeakEnding
        );
        if is_ending {
            lexicon.endings.push((word.as_bytes(), section));
            let (at, bit) = tail_of(word.as_bytes());
            lexicon.tails[at] |= bit;
        }
    }
    lexicon
});

/// Every word of `lexicon.txt` with its section.
pub(crate) fn words() -> impl Iterator<Item = (Section, &'static str)> {
    let mut section = None;
    include_str!("../../lexicon.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(move |line| {
            let name = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'));
            let (heading, line) = name.map_or((None, line), |name| (Section::of(name), ""));
            section = heading.or(section);
            line.split_whitespace()
                .filter_map(move |word| Some((section?, word)))
        })
}

pub(super) fn sections_of(word: &[u8]) -> u16 {
    if may_be_word(word) {
        LEXICON.words.get(word).copied().unwrap_or_default()
    } else {
        0
    }
}

/// A quick look, in any case.
pub(super) fn may_be_word(word: &[u8]) -> bool {
    let (at, bit) = ends_of(word);
    LEXICON.ends[at] & bit != 0
}

/// The place and the bit of the length and both ends of a word.
fn ends_of(word: &[u8]) -> (usize, u64) {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default() & 0x1f);
    let hash = (word.len() & 0x1f) << 10 | end(word.first()) << 5 | end(word.last());
    (hash / 64, 1 << (hash % 64))
}

/// Whether a word, in any case, is in a section of `lexicon.txt`.
pub(crate) fn is_in(section: Section, word: &str) -> bool {
    let mut lower = [0; 40];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return false;
    };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    sections_of(lower) & section.bit() != 0
}

pub(super) fn ends_in(section: Section, word: &[u8]) -> bool {
    let lexicon = &*LEXICON;
    let (at, bit) = tail_of(word);
    let mut endings = lexicon.endings.iter();
    word.len() > 5
        && lexicon.tails[at] & bit != 0
        && endings.any(|(end, of)| *of == section && word.ends_with(end))
}

/// The place and the bit of the last two letters of a word.
fn tail_of(word: &[u8]) -> (usize, u64) {
    let letter = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default() & 0x1f);
    let mut back = word.iter().rev();
    let hash = letter(back.next()) << 5 | letter(back.next());
    (hash / 64, 1 << (hash % 64))
}
