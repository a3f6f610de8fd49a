//! Kubernetes quantities of memory.
//!
//! Written in the canonical form that the API server would make of them, so that what is read back
//! after a write is byte for byte what was written
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

const BINARY: [(&str, u32); 6] = [
    ("Ei", 60),
    ("Pi", 50),
    ("Ti", 40),
    ("Gi", 30),
    ("Mi", 20),
    ("Ki", 10),
];
const DECIMAL: [(&str, i32); 10] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("", 0),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];

/// The bytes of a quantity, rounded up; `None` where it is malformed, negative or too large.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = number.len() <= 24
        && number.bytes().any(|byte| byte.is_ascii_digit())
        && !fraction.contains('.');
    if !is_number {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return scale(digits.checked_mul(1 << shift)?, -places);
    }
    let exponent = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => *exponent,
        None => suffix.strip_prefix(['e', 'E'])?.parse::<i8>().ok()?.into(),
    };
    scale(digits, exponent - places)
}

fn scale(digits: u128, exponent: i32) -> Option<u64> {
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    let bytes = if exponent < 0 {
        digits.div_ceil(power)
    } else {
        digits.checked_mul(power)?
    };
    u64::try_from(bytes).ok()
}

/// The shortest canonical quantity of some bytes, in binary units where that is no longer.
pub fn format_bytes(bytes: u64) -> String {
    let binary = BINARY
        .iter()
        .find(|(_, shift)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift))
        .map(|(suffix, shift)| format!("{}{suffix}", bytes >> shift));
    let decimal = DECIMAL
        .iter()
        .filter(|(_, exponent)| *exponent > 0)
        .find_map(|(suffix, e)| {
            let power = 10_u64.checked_pow(e.unsigned_abs())?;
            (bytes >= power && bytes.is_multiple_of(power))
                .then(|| format!("{}{suffix}", bytes / power))
        });
    let found = binary.into_iter().chain(decimal);
    found
        .min_by_key(String::len)
        .unwrap_or_else(|| bytes.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_form_that_the_api_server_takes() {
        let cases = [
            ("64Mi", Some(64 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("67108864", Some(64 << 20)),
            ("128974848000m", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("1E3", Some(1000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("1k", Some(1000)),
            (".5k", Some(500)),
            ("+1", Some(1)),
            ("1n", Some(1)),
            ("0", Some(0)),
            ("-1", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("1KB", None),
            ("16Ei", None),
            ("1e99", None),
            ("64 Mi", None),
            ("9999999999999999999999999", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn writes_the_canonical_form() {
        let cases = [
            (0, "0"),
            (512 << 20, "512Mi"),
            (1 << 30, "1Gi"),
            (3 << 29, "1536Mi"),
            (1_000_000_000, "1G"),
            (128_000_000, "128M"),
            (1000 << 20, "1000Mi"),
            (1500, "1500"),
            (1023, "1023"),
        ];
        for (bytes, text) in cases {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
        }
    }
}
