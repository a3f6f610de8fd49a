//! Numbers with letters in them.

use crate::national::Scheme;
use crate::national::dates::is_day_and_month;
use crate::national::sums::{self, weighted};
use crate::validate::ends_in_luhn;

/// What a scheme of letters and digits says of capital letters and digits; nothing for a scheme of digits only.
pub(super) fn holds(scheme: Scheme, compact: &str) -> Option<bool> {
    let values: Vec<u32> = compact.chars().filter_map(|c| c.to_digit(36)).collect();
    let values = values.as_slice();
    Some(match scheme {
        Scheme::Cl => is_sum(scheme, &with_ten(compact, 'K')),
        Scheme::Cn => is_sum(scheme, &with_ten(compact, 'X')),
        Scheme::DeAusweis => is_ausweis(values),
        Scheme::DeKvnr => is_kvnr(values),
        Scheme::DeSvnr => is_svnr(values),
        Scheme::Es => is_es(compact),
        Scheme::EsCif => is_cif(values),
        Scheme::Fi => is_fi(compact),
        Scheme::Fr => is_fr(compact),
        Scheme::Hk => is_hk(values),
        Scheme::Ie => is_ie(compact),
        Scheme::InGstin => is_gstin(values),
        Scheme::It => is_it(compact),
        Scheme::MxCurp | Scheme::MxRfc => {
            // A letter, or a mark, stands between N and O.
            let moved: Vec<u32> = values.iter().map(|v| v + u32::from(*v > N)).collect();
            is_sum(scheme, &moved)
        }
        Scheme::NzNhi => is_nhi(compact),
        Scheme::PtCc => compact.len() == 12 && ends_in_luhn(values),
        Scheme::Sg => is_sg(compact),
        Scheme::Tw => is_tw(compact),
        _ => return None,
    })
}

const N: u32 = 23;

fn is_sum(scheme: Scheme, values: &[u32]) -> bool {
    sums::of(scheme).is_some_and(|sums| sums::hold(sums, values))
}

/// The digits of a number whose last one may be a letter that stands for ten; nothing of any other.
fn with_ten(compact: &str, ten: char) -> Vec<u32> {
    let (number, last) = match compact.strip_suffix(ten) {
        Some(number) => (number, Some(10)),
        None => (compact, None),
    };
    let digits: Option<Vec<u32>> = number
        .chars()
        .map(|c| c.to_digit(10))
        .chain(last.map(Some))
        .collect();
    digits.unwrap_or_default()
}

/// The sum of the digits of the weighted digits, modulo 10. A letter counts as the two digits of its place in the
/// alphabet.
fn digit_sum(values: &[u32], weights: &[u32]) -> u32 {
    let digits = values.iter().flat_map(|value| match value {
        0..=9 => vec![*value],
        _ => vec![(value - 9) / 10, (value - 9) % 10],
    });
    let products = digits.zip(weights).map(|(digit, weight)| digit * weight);
    products
        .map(|product| product / 10 + product % 10)
        .sum::<u32>()
        % 10
}

/// Without the check digit, as the card shows it, there is nothing to check.
fn is_ausweis(values: &[u32]) -> bool {
    let has_digit = values.iter().any(|value| *value < 10);
    match values {
        [_, _, _, _, _, _, _, _, _] => has_digit,
        [number @ .., last] if number.len() == 9 => {
            weighted(number, &[7, 3, 1, 7, 3, 1, 7, 3, 1]) % 10 == *last
        }
        _ => false,
    }
}

fn is_kvnr(values: &[u32]) -> bool {
    const WEIGHTS: [u32; 10] = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2];
    values.len() == 10 && digit_sum(&values[..9], &WEIGHTS) == values[9]
}

fn is_svnr(values: &[u32]) -> bool {
    const WEIGHTS: [u32; 12] = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    values.len() == 12 && digit_sum(&values[..11], &WEIGHTS) == values[11]
}

fn is_es(compact: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((number, letter)) = compact.split_at_checked(compact.len().saturating_sub(1)) else {
        return false;
    };
    let number = number
        .replacen('X', "0", 1)
        .replacen('Y', "1", 1)
        .replacen('Z', "2", 1);
    let expected = number
        .parse::<usize>()
        .ok()
        .and_then(|number| LETTERS.get(number % 23));
    number.len() == 8 && expected.is_some_and(|expected| letter.as_bytes() == [*expected])
}

/// The last is a digit, or the letter of that place from J, A to I.
fn is_cif(values: &[u32]) -> bool {
    let [_, number @ .., last] = values else {
        return false;
    };
    let last = match last {
        10..=18 => last - 9,
        19 => 0,
        _ => *last,
    };
    let digits: Vec<u32> = number.iter().chain([&last]).copied().collect();
    digits.len() == 8 && ends_in_luhn(&digits)
}

fn is_fi(compact: &str) -> bool {
    const CHARACTERS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let bytes = compact.as_bytes();
    // The sign of the century may be a letter.
    let digits: String = match bytes.len() {
        10 => compact[..9].to_owned(),
        11 => format!("{}{}", &compact[..6], &compact[7..10]),
        _ => return false,
    };
    let day = digits[..2].parse().unwrap_or_default();
    let month = digits[2..4].parse().unwrap_or_default();
    let expected = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| CHARACTERS.get(number % 31));
    is_day_and_month(day, month) && expected == bytes.last()
}

fn is_fr(compact: &str) -> bool {
    // Corsica: 2A counts as 19, 2B as 18.
    let plain = compact.replacen("2A", "19", 1).replacen("2B", "18", 1);
    let Some((number, key)) = plain.split_at_checked(13) else {
        return false;
    };
    match (number.parse::<u64>(), key.parse::<u64>()) {
        (Ok(number), Ok(key)) => key == 97 - number % 97,
        _ => false,
    }
}

/// One letter or two, with a space before a single one, which counts as 36.
fn is_hk(values: &[u32]) -> bool {
    let mut padded = values.to_vec();
    if values.len() == 8 {
        padded.insert(0, 36);
    }
    is_sum(Scheme::Hk, &padded)
}

/// A letter behind the check letter counts by its place in the alphabet, unless it is of the old ones.
fn is_ie(compact: &str) -> bool {
    const LETTERS: &[u8; 23] = b"WABCDEFGHIJKLMNOPQRSTUV";
    let bytes = compact.as_bytes();
    let Some((number, [letter, rest @ ..])) = bytes.split_at_checked(7) else {
        return false;
    };
    let second = match rest {
        [] | [b'T' | b'W' | b'X'] => 0,
        [second @ b'A'..=b'I'] => u32::from(second - b'@'),
        _ => return false,
    };
    let digits: Option<Vec<u32>> = number.iter().map(|b| char::from(*b).to_digit(10)).collect();
    let sum = weighted(&digits.unwrap_or_default(), &[8, 7, 6, 5, 4, 3, 2]) + 9 * second;
    LETTERS.get((sum % 23) as usize) == Some(letter)
}

/// The check digit of payment cards, with 36 in the place of ten.
fn is_gstin(values: &[u32]) -> bool {
    let doubled = |(index, value): (usize, &u32)| {
        let product = value * if index % 2 == 0 { 1 } else { 2 };
        product / 36 + product % 36
    };
    let sum: u32 = values.iter().rev().enumerate().map(doubled).sum();
    values.len() == 15 && sum.is_multiple_of(36)
}

fn is_it(compact: &str) -> bool {
    // Of characters at odd places, by their value; those at even places count as they are.
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let value = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte.saturating_sub(b'A'),
    };
    let bytes = compact.as_bytes();
    let Some((last, others)) = bytes.split_last() else {
        return false;
    };
    let sum: u32 = others
        .iter()
        .enumerate()
        .map(|(index, byte)| match index % 2 {
            0 => ODD
                .get(usize::from(value(*byte)))
                .copied()
                .unwrap_or_default(),
            _ => u32::from(value(*byte)),
        })
        .sum();
    bytes.len() == 16 && u32::from(value(*last)) == sum % 26
}

/// The place in the alphabet without I and O; digits by themselves. The last is a digit, or a letter in the new form.
fn is_nhi(compact: &str) -> bool {
    const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ";
    let place = |character: char| match character.to_digit(10) {
        None => LETTERS
            .chars()
            .zip(1..)
            .find(|it| it.0 == character)
            .map(|it| it.1),
        digit => digit,
    };
    let values: Option<Vec<u32>> = compact.chars().map(place).collect();
    let Some(values) = values.filter(|values| values.len() == 7) else {
        return false;
    };
    let sum = weighted(&values, &[7, 6, 5, 4, 3, 2]);
    if compact.ends_with(|last: char| last.is_ascii_digit()) {
        !sum.is_multiple_of(11) && (11 - sum % 11) % 10 == values[6]
    } else {
        23 - sum % 23 == values[6]
    }
}

fn is_sg(compact: &str) -> bool {
    let (of_birth, of_foreigners, of_new) = (b"JZIHGFEDCBA", b"XWUTRQPNMLK", b"XWUTRQPNJLK");
    let [kind, number @ .., letter] = compact.as_bytes() else {
        return false;
    };
    let (start, letters) = match kind {
        b'S' => (0, of_birth),
        b'T' => (4, of_birth),
        b'F' => (0, of_foreigners),
        b'G' => (4, of_foreigners),
        b'M' => (3, of_new),
        _ => return false,
    };
    let digits: Option<Vec<u32>> = number.iter().map(|b| char::from(*b).to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| digits.len() == 7) else {
        return false;
    };
    let rest = (start + weighted(&digits, &[2, 7, 6, 5, 4, 3, 2])) % 11;
    letters.get(rest as usize) == Some(letter)
}

/// The letter counts as two digits by its district.
fn is_tw(compact: &str) -> bool {
    const DISTRICTS: &str = "ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let mut characters = compact.chars();
    let district = characters.next();
    let place = DISTRICTS
        .chars()
        .zip(10_u32..)
        .find(|it| Some(it.0) == district);
    let digits: Option<Vec<u32>> = characters.map(|c| c.to_digit(10)).collect();
    let (Some((_, code)), Some(digits)) = (place, digits) else {
        return false;
    };
    let values: Vec<u32> = [code / 10, code % 10].into_iter().chain(digits).collect();
    is_sum(Scheme::Tw, &values)
}
