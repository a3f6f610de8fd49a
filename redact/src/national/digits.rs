//! Numbers of digits that are checked in another way than by one sum.

use crate::national::Scheme;
use crate::national::sums::weighted;
use crate::validate::ends_in_luhn;

/// What a scheme asks of a number besides its date and its sums.
pub(super) fn holds(scheme: Scheme, digits: &[u32]) -> bool {
    match scheme {
        Scheme::AuAbn => is_abn(digits),
        Scheme::Be => is_be(digits),
        Scheme::Ca => digits.len() == 9 && ends_in_luhn(digits),
        Scheme::Cz => is_cz(digits),
        Scheme::De => is_de(digits),
        Scheme::Dk => digits.len() == 10,
        Scheme::EsNuss => is_nuss(digits),
        Scheme::FrSpi => digits.len() == 13 && number(&digits[..10]) % 511 == number(&digits[10..]),
        Scheme::GbUtr => is_utr(digits),
        Scheme::GrAmka => digits.len() == 11 && ends_in_luhn(digits),
        Scheme::IdNik => digits.len() == 16,
        Scheme::IdNpwp => matches!(digits.len(), 15 | 16) && ends_in_luhn(&digits[..9]),
        Scheme::In => digits.len() == 12 && digits[0] > 1 && is_verhoeff(digits.iter()),
        Scheme::KrBrn => is_brn(digits),
        Scheme::Lu => {
            digits.len() == 13
                && ends_in_luhn(&digits[..12])
                && is_verhoeff(digits[..11].iter().chain(&digits[12..]))
        }
        Scheme::Luhn => digits.len() > 1 && ends_in_luhn(digits),
        Scheme::Mod1110 => is_mod_11_10(digits),
        Scheme::My => digits.len() == 12,
        Scheme::RuSnils => {
            digits.len() == 11
                && u64::from(weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100)
                    == number(&digits[9..])
        }
        Scheme::Se => {
            let ten = &digits[digits.len().saturating_sub(10)..];
            matches!(digits.len(), 10 | 12) && ends_in_luhn(ten)
        }
        Scheme::Tr => is_tr(digits),
        Scheme::TrVkn => is_vkn(digits),
        Scheme::UsNpi => {
            // With the prefix of health care in the United States of America.
            let card: Vec<u32> = [8, 0, 8, 4, 0].iter().chain(digits).copied().collect();
            digits.len() == 10 && ends_in_luhn(&card)
        }
        Scheme::Za => digits.len() == 13 && digits[10] < 3 && ends_in_luhn(digits),
        _ => true,
    }
}

/// Of digits that a `u64` can hold.
fn number(digits: &[u32]) -> u64 {
    digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(*digit))
}

/// The sum of the weighted digits, of which the first one is one less, is divisible by 89.
fn is_abn(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 11] = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
    digits.len() == 11
        && digits[0] > 0
        && (weighted(digits, &WEIGHTS) - WEIGHTS[0]).is_multiple_of(89)
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

/// Divisible by 11 since 1954, or once nearly so; before, there was no tenth digit.
fn is_cz(digits: &[u32]) -> bool {
    match digits {
        [tens, ones, ..] if digits.len() == 9 => tens * 10 + ones < 54,
        [first @ .., last] if digits.len() == 10 => {
            let rest = number(first) % 11;
            u64::from(*last) == if rest == 10 { 0 } else { rest }
        }
        _ => false,
    }
}

/// ISO/IEC 7064, MOD 11,10.
fn is_mod_11_10(digits: &[u32]) -> bool {
    let Some((last, others)) = digits.split_last() else {
        return false;
    };
    let product = others.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == *last
}

/// One digit stands twice or three times among the first ten.
fn is_de(digits: &[u32]) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let count = |digit: u32| digits[..10].iter().filter(|it| **it == digit).count();
    let repeated: Vec<usize> = (0..10).map(count).filter(|count| *count > 1).collect();
    matches!(repeated[..], [2 | 3]) && is_mod_11_10(digits)
}

/// Province and number, shorter ones without a gap, modulo 97.
fn is_nuss(digits: &[u32]) -> bool {
    if digits.len() != 12 {
        return false;
    }
    let (province, serial) = (number(&digits[..2]), number(&digits[2..10]));
    let length = if serial < 10_000_000 {
        10_000_000
    } else {
        100_000_000
    };
    (province * length + serial) % 97 == number(&digits[10..])
}

/// The first digit is the check digit of the others.
fn is_utr(digits: &[u32]) -> bool {
    const CHECK_DIGITS: [u32; 11] = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    let rest = || weighted(&digits[1..], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    digits.len() == 10 && CHECK_DIGITS.get(rest() as usize) == digits.first()
}

/// The carry of the ninth digit counts too.
fn is_brn(digits: &[u32]) -> bool {
    let sum = || weighted(&digits[..9], &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + digits[8] * 5 / 10;
    digits.len() == 10 && (sum() + digits[9]).is_multiple_of(10)
}

fn is_tr(digits: &[u32]) -> bool {
    let of = |places: [usize; 5]| places.iter().map(|place| digits[*place]).sum::<u32>();
    let tenth = || (of([0, 2, 4, 6, 8]) * 7 + 9 * (of([1, 3, 5, 7, 9]) - digits[9])) % 10;
    digits.len() == 11
        && digits[0] > 0
        && tenth() == digits[9]
        && digits[..10].iter().sum::<u32>() % 10 == digits[10]
}

/// Of each digit, moved by its place, the product with a power of two modulo 9.
fn is_vkn(digits: &[u32]) -> bool {
    let part = |(digit, place): (&u32, u32)| match (digit + place) % 10 {
        9 => 9,
        moved => moved * (1 << place) % 9,
    };
    let sum = || digits[..9].iter().zip((1..=9).rev()).map(part).sum::<u32>();
    digits.len() == 10 && (sum() + digits[9]).is_multiple_of(10)
}

/// The multiplication of the dihedral group of order 10, over digits permuted by their place.
fn is_verhoeff<'a>(digits: impl DoubleEndedIterator<Item = &'a u32>) -> bool {
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
    let places = digits.rev().enumerate();
    places.fold(0, |checked, (place, digit)| {
        product(checked, permuted(*digit, place))
    }) == 0
}
