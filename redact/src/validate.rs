//! Checks that tell a real number or token from a look-alike.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The check digit of payment cards (ISO/IEC 7812-1), over 12 to 19 digits that are not all the same.
pub(crate) fn is_luhn(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if !(12..=19).contains(&digits.len()) || digits.iter().all(|d| *d == digits[0]) {
        return false;
    }
    ends_in_luhn(&digits)
}

/// Whether the last digit is the check digit of the others (ISO/IEC 7812-1).
pub(crate) fn ends_in_luhn(digits: &[u32]) -> bool {
    let doubled =
        digits
            .iter()
            .rev()
            .enumerate()
            .map(|(index, digit)| match (index % 2, digit * 2) {
                (0, _) => *digit,
                (_, double) if double > 9 => double - 9,
                (_, double) => double,
            });
    doubled.sum::<u32>().is_multiple_of(10)
}

/// The check digits of an IBAN (ISO 13616): the rearranged number modulo 97 is 1.
pub(crate) fn is_iban(text: &str) -> bool {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if !compact.is_ascii() || !(15..=34).contains(&compact.len()) {
        return false;
    }
    let rearranged = compact[4..].chars().chain(compact[..4].chars());
    let remainder = rearranged
        .filter_map(|c| c.to_digit(36))
        .fold(0_u32, |rest, digit| {
            if digit > 9 {
                (rest * 100 + digit) % 97
            } else {
                (rest * 10 + digit) % 97
            }
        });
    remainder == 1
}

/// Whether the first part of a token is the header of a JWT: base64url of a JSON object.
pub(crate) fn is_jwt(text: &str) -> bool {
    let header = text
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches('=');
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(header) else {
        return header.len() > 16;
    };
    bytes.first() == Some(&b'{')
}

/// Shannon entropy in bits per byte.
pub(crate) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let Ok(length) = u32::try_from(text.len()) else {
        return 8.0;
    };
    let length = f64::from(length);
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum()
}

/// Whether an IP address tells where somebody is: loopback and unspecified addresses do not, nor does `::add`,
/// which begins a word between colons.
pub(crate) fn is_address_of_somebody(text: &str) -> bool {
    let is_word = |rest: &str| rest.bytes().all(|b| b.is_ascii_alphabetic());
    if text.strip_prefix("::").is_some_and(is_word) {
        return false;
    }
    text.parse::<std::net::IpAddr>().map_or(true, |address| {
        !address.is_loopback() && !address.is_unspecified()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards() {
        for (text, expected) in [
            ("4111 1111 1111 1111", true),
            ("6011000400000000", true),
            ("4111111111111112", false),
            ("0000000000000000", false),
            ("42", false),
        ] {
            assert_eq!(is_luhn(text), expected, "{text}");
        }
    }

    #[test]
    fn ibans() {
        for (text, expected) in [
            ("GB29NWBK60161331926819", true),
            ("DE89 3704 0044 0532 0130 00", true),
            ("DE89370400440532013001", false),
            ("DE", false),
        ] {
            assert_eq!(is_iban(text), expected, "{text}");
        }
    }

    #[test]
    fn entropy_of_strings() {
        assert!(entropy("aaaaaaaa") < 0.1);
        assert!(entropy("k3f9q2xz7w5v1b8n") > 3.9);
    }
}
