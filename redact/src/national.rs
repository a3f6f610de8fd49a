//! Check digits of national identity numbers. Punctuation between digits is left out first.

use crate::validate::ends_in_luhn;

/// Whose numbers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Country {
    /// Spain: DNI and NIE, a letter by the number modulo 23.
    Es,
    /// Italy: codice fiscale, a letter over odd and even characters.
    It,
    /// France: NIR, a key that is 97 less the number modulo 97.
    Fr,
    /// Germany: tax identification number (ISO/IEC 7064, MOD 11,10), with one digit twice or three times.
    De,
    /// Netherlands: burgerservicenummer, the weighted sum is divisible by 11.
    Nl,
    /// Belgium: rijksregisternummer, 97 less the number modulo 97; a 2 stands before it from 2000 on.
    Be,
    /// Poland: PESEL, weights 1, 3, 7, 9.
    Pl,
    /// Sweden: personnummer, the check digit of payment cards over ten digits.
    Se,
    /// Finland: henkilötunnus, a character by the number modulo 31.
    Fi,
    /// Norway: fødselsnummer, two digits modulo 11.
    No,
    /// Denmark: CPR number; without a check since 2007, so a date and four digits.
    Dk,
    /// Brazil: CPF, two digits modulo 11.
    BrCpf,
    /// Brazil: CNPJ, two digits modulo 11.
    BrCnpj,
    /// India: Aadhaar (Verhoeff).
    In,
    /// United Kingdom: NHS number, modulo 11.
    Gb,
    /// Canada: social insurance number, the check digit of payment cards over nine digits.
    Ca,
}

/// Whether a number has the check digits of its country, and is not one digit repeated.
pub(crate) fn holds(country: Country, text: &str) -> bool {
    let compact: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let compact = compact.to_ascii_uppercase();
    let first = compact.chars().next();
    if compact.chars().all(|character| Some(character) == first) {
        return false;
    }
    let digits: Vec<u32> = compact.chars().filter_map(|c| c.to_digit(10)).collect();
    match country {
        Country::Es => is_es(&compact),
        Country::It => is_it(&compact),
        Country::Fi => is_fi(&compact),
        Country::Fr => is_fr(&compact),
        Country::De => is_de(&digits),
        Country::Nl => {
            digits.len() == 9 && weighted(&digits[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == digits[8]
        }
        Country::Be => is_be(&digits),
        Country::Pl => {
            const WEIGHTS: [u32; 11] = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
            digits.len() == 11
                && is_date(&digits[..6], true)
                && weighted(&digits, &WEIGHTS).is_multiple_of(10)
        }
        Country::Se => {
            let ten = &digits[digits.len().saturating_sub(10)..];
            matches!(digits.len(), 10 | 12) && ends_in_luhn(ten)
        }
        Country::No => is_no(&digits),
        Country::Dk => {
            digits.len() == 10
                && is_day_and_month(digits[0] * 10 + digits[1], digits[2] * 10 + digits[3])
        }
        Country::BrCpf => {
            digits.len() == 11
                && is_modulo_11(&digits[..10], &[10, 9, 8, 7, 6, 5, 4, 3, 2])
                && is_modulo_11(&digits, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
        }
        Country::BrCnpj => {
            digits.len() == 14
                && is_modulo_11(&digits[..13], &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
                && is_modulo_11(&digits, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2])
        }
        Country::In => digits.len() == 12 && digits[0] > 1 && is_verhoeff(&digits),
        Country::Gb => {
            let sum = || weighted(&digits[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
            digits.len() == 10 && (11 - sum() % 11) % 11 == digits[9]
        }
        Country::Ca => digits.len() == 9 && ends_in_luhn(&digits),
    }
}

fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

fn number(digits: &[u32]) -> u64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(*digit))
}

/// The last digit is 11 less the weighted sum of the others modulo 11; ten and eleven are zero.
fn is_modulo_11(digits: &[u32], weights: &[u32]) -> bool {
    let Some((last, others)) = digits.split_last() else {
        return false;
    };
    let rest = weighted(others, weights) % 11;
    *last == if rest < 2 { 0 } else { 11 - rest }
}

const fn is_day_and_month(day: u32, month: u32) -> bool {
    1 <= day && day <= 31 && 1 <= month && month <= 12
}

/// Year, month and day of two digits each; centuries may be added to the month in steps of 20.
fn is_date(digits: &[u32], with_century: bool) -> bool {
    let month = digits[2] * 10 + digits[3];
    let month = if with_century { month % 20 } else { month };
    is_day_and_month(digits[4] * 10 + digits[5], month)
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

fn is_de(digits: &[u32]) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let count = |digit: u32| digits[..10].iter().filter(|it| **it == digit).count();
    let repeated: Vec<usize> = (0..10).map(count).filter(|count| *count > 1).collect();
    let product = digits[..10].iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    matches!(repeated[..], [2 | 3]) && (11 - product) % 10 == digits[10]
}

fn is_be(digits: &[u32]) -> bool {
    if digits.len() != 11 || digits[2] * 10 + digits[3] > 12 {
        return false;
    }
    let (first, key) = (number(&digits[..9]), number(&digits[9..]));
    [0, 2_000_000_000]
        .iter()
        .any(|century| key == 97 - (century + first) % 97)
}

fn is_no(digits: &[u32]) -> bool {
    let check = |digits: &[u32], weights: &[u32]| (11 - weighted(digits, weights) % 11) % 11;
    digits.len() == 11
        && check(&digits[..9], &[3, 7, 6, 1, 8, 9, 4, 5, 2]) == digits[9]
        && check(&digits[..10], &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == digits[10]
}

/// The multiplication of the dihedral group of order 10, over digits permuted by their place.
fn is_verhoeff(digits: &[u32]) -> bool {
    const PERMUTATION: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b) % 5,
        (false, true) => 5 + (a + 10 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let permuted = |digit: u32, times: usize| {
        (0..times % 8).fold(digit, |digit, _| {
            PERMUTATION[usize::try_from(digit).unwrap_or_default()]
        })
    };
    let places = digits.iter().rev().enumerate();
    places.fold(0, |checked, (place, digit)| {
        product(checked, permuted(*digit, place))
    }) == 0
}
