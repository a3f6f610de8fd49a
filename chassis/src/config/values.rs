use serde::de::DeserializeOwned;

/// Reads YAML 1.2, in which `no`, `on` and `y` are texts: namespaces may be called so.
pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

/// A list, or one string with commas; blanks are dropped.
pub mod comma_list {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        List(Vec<String>),
        Text(String),
    }

    /// Reads either form.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
        let expected = "expected a list, or one text with commas";
        let either = Either::deserialize(input).map_err(|_| D::Error::custom(expected))?;
        let parts = match either {
            Either::List(list) => list,
            Either::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        Ok(parts
            .into_iter()
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect())
    }

    /// Writes a list.
    pub fn serialize<S: Serializer>(list: &[String], output: S) -> Result<S::Ok, S::Error> {
        list.serialize(output)
    }
}

/// A whole number with a unit: `250ms`, `30s`, `15m`, `2h`, `1d`.
pub mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];

    /// Reads a number with a unit; a bare 0 needs none.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong = || format!("{text:?} is not a duration such as 250ms, 30s, 15m, 2h or 1d");
        let text = text.trim();
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, millis) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number
            .checked_mul(*millis)
            .map(Duration::from_millis)
            .ok_or_else(wrong)
    }

    /// The shortest exact form.
    pub fn format(duration: Duration) -> String {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        unit.map_or_else(
            || "0".to_owned(),
            |(name, unit)| format!("{}{name}", millis / unit),
        )
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }

    /// Reads [`parse`]'s form, and a 0 that YAML takes for a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let expected = "expected a duration such as 250ms, 30s, 15m, 2h or 1d";
        match Either::deserialize(input).map_err(|_| D::Error::custom(expected))? {
            Either::Text(text) => parse(&text).map_err(D::Error::custom),
            Either::Number(number) => parse(&number.to_string()).map_err(D::Error::custom),
        }
    }

    /// Writes [`format`]'s form.
    pub fn serialize<S: Serializer>(duration: &Duration, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&format(*duration))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn durations_read_and_write() {
            for (text, millis) in [
                ("0", 0),
                ("250ms", 250),
                ("30s", 30_000),
                ("15m", 900_000),
                ("2h", 7_200_000),
                ("1d", 86_400_000),
            ] {
                assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
                assert_eq!(format(Duration::from_millis(millis)), text);
            }
        }

        #[test]
        fn zero_needs_no_unit_in_a_file_either() {
            let read = |value: serde_json::Value| deserialize(value).map_err(|e| e.to_string());
            assert_eq!(read(0.into()), Ok(Duration::ZERO));
            assert!(read(15.into()).unwrap_err().contains("15m"));
            assert!(read(true.into()).unwrap_err().contains("15m"));
        }

        #[test]
        fn what_is_not_a_duration_is_refused() {
            for text in [
                "",
                "15",
                "m",
                "1.5h",
                "-1s",
                "1 s",
                "99999999999999999999d",
                "10000000000000000d",
            ] {
                assert!(parse(text).is_err(), "{text}");
            }
        }
    }
}
