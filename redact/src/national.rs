//! Check digits of national identity, tax and health numbers. Punctuation between digits is left out first.

mod dates;
mod digits;
mod letters;
mod scheme;
mod sums;

pub use self::scheme::Scheme;

/// Whether a number has the check digits of its scheme, and is not one digit repeated.
pub(crate) fn holds(scheme: Scheme, text: &str) -> bool {
    let compact: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let compact = compact.to_ascii_uppercase();
    let first = compact.chars().next();
    if compact.chars().all(|character| Some(character) == first) {
        return false;
    }
    let digits: Vec<u32> = compact.chars().filter_map(|c| c.to_digit(10)).collect();
    // The letters of the country may stand before the digits.
    let number = compact.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let is_of_digits = digits.len() == number.len();
    let born = dates::of(scheme).is_none_or(|date| date.is_in(&digits));
    born && match letters::holds(scheme, &compact) {
        Some(holds) => holds,
        None if !is_of_digits => false,
        None => {
            sums::of(scheme).is_none_or(|sums| sums::hold(sums, &digits))
                && digits::holds(scheme, &digits)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{Check, Rules};

    fn schemes() -> Vec<Scheme> {
        let rules = Rules::builtin().unwrap().rules.into_iter();
        let schemes = rules.filter_map(|rule| match rule.check {
            Check::National(scheme) => Some(scheme),
            _ => None,
        });
        schemes.collect()
    }

    /// Those of which no rule has an example.
    #[test]
    fn numbers_that_hold() {
        for (scheme, text, expected) in [
            (Scheme::Cz, "530101123", true),
            (Scheme::Cz, "540101123", false),
            (Scheme::Cz, "7801233540", true),
            (Scheme::Cz, "0471012751", true),
            (Scheme::Ie, "6433435FT", true),
            (Scheme::Ie, "6433435FA", false),
            (Scheme::Kz, "000000000000", false),
            (Scheme::Sg, "S1234567D", true),
            (Scheme::Sg, "M4332674T", true),
            (Scheme::Sg, "X1234567D", false),
            (Scheme::NzNhi, "ZZZ00AC", true),
            (Scheme::NzNhi, "ZZZ0044", false),
            (Scheme::Hk, "E364912(5)", true),
            (Scheme::Hk, "D288754(2)", true),
            (Scheme::Hk, "C668668E", false),
            (Scheme::DeSvnr, "10010490A443", true),
            (Scheme::Luhn, "IT00743110157", true),
            (Scheme::EsCif, "Q2876031B", true),
        ] {
            assert_eq!(holds(scheme, text), expected, "{scheme:?} {text}");
        }
    }

    proptest! {
        /// Patterns of somebody's own rules may hand over anything.
        #[test]
        fn any_text_is_checked(text in "[0-9]{0,25}|[0-9A-Z]{0,25}|[0-9XK. /-]{0,40}|\\PC{0,20}") {
            for scheme in schemes() {
                holds(scheme, &text);
            }
        }
    }
}
