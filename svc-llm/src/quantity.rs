//! Kubernetes quantities, as far as memory and CPU need them.
//!
//! Form: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

const SUFFIXES: [(&str, u128); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

/// Thousandths of a quantity, rounded up: millicores for CPU. `None` where it is not a quantity
/// that a container can have.
pub(crate) fn parse_milli(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 24 || fraction.contains('.') {
        return None;
    }
    let mantissa: u128 = digits.parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let thousandths = match suffix {
        "m" => mantissa,
        "u" => mantissa.div_ceil(1_000),
        "n" => mantissa.div_ceil(1_000_000),
        _ => mantissa
            .checked_mul(1_000)?
            .checked_mul(multiplier(suffix)?)?,
    };
    u64::try_from(thousandths.div_ceil(scale)).ok()
}

/// Whole units of a quantity, rounded up: bytes for memory.
pub(crate) fn parse_units(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if matches!(suffix, "m" | "u" | "n") || number.contains('.') {
        return parse_milli(text).map(|milli| milli.div_ceil(1_000));
    }
    let product = number
        .parse::<u128>()
        .ok()?
        .checked_mul(multiplier(suffix)?)?;
    u64::try_from(product).ok()
}

fn multiplier(suffix: &str) -> Option<u128> {
    if let Some(exponent) = suffix.strip_prefix(['e', 'E'])
        && !exponent.is_empty()
        && exponent != "i"
    {
        return 10_u128.checked_pow(exponent.parse().ok()?);
    }
    let found = SUFFIXES.iter().find(|(known, _)| *known == suffix)?;
    Some(found.1)
}

/// Bytes as people write them: the largest binary unit that divides them.
pub(crate) fn format_bytes(bytes: u64) -> String {
    for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        let size = 1_u64 << shift;
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// Bytes as people compare them: one decimal of the largest binary unit below them.
pub(crate) fn format_roughly(bytes: u64) -> String {
    for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        let size = 1_u64 << shift;
        if bytes >= size {
            let tenths = u128::from(bytes) * 10 / u128::from(size);
            return match tenths % 10 {
                0 => format!("{}{unit}", tenths / 10),
                tenth => format!("{}.{tenth}{unit}", tenths / 10),
            };
        }
    }
    bytes.to_string()
}

/// Millicores as people write them.
pub(crate) fn format_cpu(milli: u64) -> String {
    if milli.is_multiple_of(1_000) {
        (milli / 1_000).to_string()
    } else {
        format!("{milli}m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_the_api_writes_them() {
        for (text, milli) in [
            ("1", Some(1_000)),
            ("500m", Some(500)),
            ("0.5", Some(500)),
            ("1.5k", Some(1_500_000)),
            ("2e3", Some(2_000_000)),
            ("1n", Some(1)),
            ("100u", Some(1)),
            ("0", Some(0)),
            ("", None),
            (".", None),
            ("-1", None),
            ("1.2.3", None),
            ("1Xi", None),
            ("99999999999999999999", None),
            ("1E", None),
        ] {
            assert_eq!(parse_milli(text), milli, "{text}");
        }
        for (text, bytes) in [
            ("64Mi", Some(64 << 20)),
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("128974848", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("129M", Some(129_000_000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("128974848000m", Some(128_974_848)),
            ("99Ei", None),
            ("lots", None),
        ] {
            assert_eq!(parse_units(text), bytes, "{text}");
        }
    }

    #[test]
    fn quantities_are_written_as_people_do() {
        assert_eq!(format_bytes(64 << 20), "64Mi");
        assert_eq!(format_bytes(1 << 30), "1Gi");
        assert_eq!(format_bytes(1_000), "1000");
        assert_eq!(format_roughly(24_581_256 << 10), "23.4Gi");
        assert_eq!(format_roughly(900 << 30), "900Gi");
        assert_eq!(format_roughly(1_000), "1000");
        assert_eq!(format_roughly(u64::MAX), "17179869183.9Gi");
        assert_eq!(format_cpu(64_000), "64");
        assert_eq!(format_cpu(250), "250m");
    }
}
