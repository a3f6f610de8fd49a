//! A linear model over hashed words, pairs and triples of words, and parts of words.
//!
//! Trained by `examples/train_injection.rs` with logistic regression; weights are bytes with one
//! common factor. Scoring needs no allocation per feature and time linear in the text.

use std::borrow::Cow;

use crate::placeholder::replace;
use crate::rules::RuleError;

const BUILTIN: &[u8] = include_bytes!("../../injection.model");
const MAGIC: &[u8; 8] = b"bsinj-01";
/// Magic, factor, bias, threshold.
const HEADER: usize = 20;
/// Logarithm of the number of weights.
const BITS: u32 = 16;
/// How many features there are.
pub const FEATURES: usize = 1 << BITS;
/// Longer words are cut.
const LONGEST_WORD: usize = 24;
/// A text with fewer words is a name, not an instruction.
const FEWEST_WORDS: usize = 3;
/// Runs of the same punctuation are no longer than this.
const LONGEST_RUN: usize = 3;
/// Characters of the parts of words.
const PART_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// The weights.
#[derive(Debug, Clone)]
pub struct Model {
    weights: Vec<i8>,
    factor: f32,
    bias: f32,
    threshold: f32,
}

impl Model {
    /// The model that comes with this version.
    pub(super) fn builtin() -> Result<Self, RuleError> {
        Self::from_bytes(BUILTIN).ok_or_else(|| RuleError::Parse {
            reason: "the injection model is not of this version".to_owned(),
        })
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, weights) = bytes.split_at_checked(HEADER)?;
        let (magic, numbers) = header.split_at_checked(MAGIC.len())?;
        if magic != MAGIC || weights.len() != 1 << BITS {
            return None;
        }
        let mut numbers = numbers
            .chunks_exact(4)
            .filter_map(|number| number.try_into().ok().map(f32::from_le_bytes));
        Some(Self {
            factor: numbers.next()?,
            bias: numbers.next()?,
            threshold: numbers.next()?,
            weights: weights.iter().map(|byte| byte.cast_signed()).collect(),
        })
    }

    /// A model from trained weights, `1 << 16` of them; `threshold` is the lowest score that is flagged.
    pub fn from_weights(weights: &[f32], bias: f32, threshold: f32) -> Self {
        let largest = weights
            .iter()
            .fold(f32::EPSILON, |most, w| most.max(w.abs()));
        let factor = largest / 127.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the quotient is within -127..=127"
        )]
        let weights = weights.iter().map(|w| (w / factor).round() as i8).collect();
        Self {
            weights,
            factor,
            bias,
            threshold,
        }
    }

    /// The form in which it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.factor, self.bias, self.threshold] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.weights.iter().map(|weight| weight.cast_unsigned()));
        bytes
    }

    /// The log-odds of a folded text; nothing if it is too short to say anything.
    pub fn score(&self, folded: &str) -> Option<f32> {
        let features = features(folded)?;
        let sum: f32 = features
            .iter()
            .map(|&(index, value)| f32::from(self.weights[index]) * value)
            .sum();
        Some(sum.mul_add(self.factor, self.bias))
    }

    pub(super) fn is_hostile(&self, folded: &str) -> bool {
        self.score(folded)
            .is_some_and(|score| score > self.threshold)
    }
}

/// The features of a folded text: indices below `1 << 16` with values whose squares sum to one, in
/// the order of the indices. Nothing for a text of less than three words. Of placeholders only the kinds count.
pub fn features(folded: &str) -> Option<Vec<(usize, f32)>> {
    let folded = without_ids(folded);
    let tokens = tokens(&folded);
    let is_word = |token: &&&str| token.starts_with(char::is_alphabetic);
    if tokens.iter().filter(is_word).count() < FEWEST_WORDS {
        return None;
    }
    let mut indices = Vec::with_capacity(folded.len());
    let mut ends = Vec::with_capacity(LONGEST_WORD + 1);
    for at in 0..tokens.len() {
        for (seed, length) in [(1, 1), (2, 2), (3, 3)] {
            if let Some(run) = tokens.get(at..at + length) {
                indices.push(hash(seed, run));
            }
        }
        let word = tokens[at];
        if word.starts_with(char::is_alphabetic) {
            ends.clear();
            ends.extend(word.char_indices().map(|(at, _)| at));
            ends.push(word.len());
            for length in PART_LENGTHS {
                let places = ends.windows(length + 1);
                indices.extend(places.map(|ends| hash(7, &[&word[ends[0]..ends[length]]])));
            }
        }
    }
    indices.sort_unstable();
    let mut features: Vec<(usize, f32)> = indices
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0], 1.0 + count(same.len()).ln()))
        .collect();
    let norm = features.iter().map(|(_, v)| v * v).sum::<f32>().sqrt();
    for (_, value) in &mut features {
        *value /= norm;
    }
    Some(features)
}

/// The text without the ids of placeholders. They are random, and the same line must not be an instruction in one
/// incident and none in another. Ids are one word; what is more stays.
fn without_ids(folded: &str) -> Cow<'_, str> {
    let without = replace(folded, |placeholder| {
        let (kind, id) = placeholder.strip_suffix('>')?.split_once(':')?;
        let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| format!("{kind}>"))
    });
    without.map_or(Cow::Borrowed(folded), Cow::Owned)
}

/// Words, numbers (as `0`) and punctuation.
fn tokens(folded: &str) -> Vec<&str> {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Word,
        Number,
        Space,
        Mark(char),
    }
    let class = |character: char| match character {
        '\'' => Class::Word,
        c if c.is_alphabetic() => Class::Word,
        c if c.is_numeric() => Class::Number,
        c if c.is_whitespace() => Class::Space,
        c => Class::Mark(c),
    };
    let mut tokens = Vec::new();
    let mut characters = folded.char_indices().peekable();
    while let Some((start, first)) = characters.next() {
        let kind = class(first);
        let mut end = start + first.len_utf8();
        while let Some(&(at, next)) = characters.peek() {
            if class(next) != kind {
                break;
            }
            end = at + next.len_utf8();
            characters.next();
        }
        match kind {
            Class::Space => {}
            Class::Number => tokens.push("0"),
            Class::Word => tokens.push(head(&folded[start..end], LONGEST_WORD)),
            Class::Mark(_) => tokens.push(head(&folded[start..end], LONGEST_RUN)),
        }
    }
    tokens
}

/// The first characters of a token.
fn head(token: &str, characters: usize) -> &str {
    let end = token
        .char_indices()
        .nth(characters)
        .map_or(token.len(), |(at, _)| at);
    &token[..end]
}

/// As a number that has a logarithm; beyond some thousands, one more makes no difference.
fn count(length: usize) -> f32 {
    f32::from(u16::try_from(length).unwrap_or(u16::MAX))
}

/// FNV-1a over the parts with a separator, finished with one multiplication.
fn hash(seed: u64, parts: &[&str]) -> usize {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([b' ']) {
            state = (state ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
    state ^= state >> 29;
    state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> (64 - BITS);
    usize::try_from(state).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_numbers_and_short_runs_of_punctuation() {
        assert_eq!(
            tokens("don't stop at 10.250!!!!! <end>"),
            ["don't", "stop", "at", "0", ".", "0", "!!!", "<", "end", ">"]
        );
    }

    #[test]
    fn features_are_of_length_one_and_ordered() {
        let features = features("the pod was killed, and killed again").unwrap();
        let norm: f32 = features.iter().map(|(_, v)| v * v).sum();
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
        assert!(features.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(super::features("api 12"), None);
    }

    #[test]
    fn ids_of_placeholders_count_for_nothing() {
        for (text, without) in [
            (
                "password=<secret:abcdef> for <email:k3f9q2>",
                "password=<secret> for <email>",
            ),
            ("<withheld:too-deep> x", "<withheld:too-deep> x"),
            ("a <b> c", "a <b> c"),
        ] {
            assert_eq!(without_ids(text), without);
            assert_eq!(super::features(text), super::features(without));
        }
    }

    #[test]
    fn a_model_reads_back_what_it_wrote_and_nothing_else() {
        let mut weights = vec![0.0; 1 << BITS];
        weights[5] = -2.0;
        weights[6] = 1.0;
        let model = Model::from_weights(&weights, 0.5, 1.5);
        let bytes = model.to_bytes();
        let again = Model::from_bytes(&bytes).unwrap();
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!((again.weights[5], again.weights[6]), (-127, 64));
        assert!(Model::from_bytes(&bytes[1..]).is_none());
        assert!(Model::from_bytes(b"").is_none());
    }
}
