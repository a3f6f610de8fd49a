//! Checking a configuration the way services do at start-up: the first bad value ends it, and the
//! last log line names the key.

use std::collections::BTreeMap;

/// Keys that are checked when a step names none, with their types.
const DEFAULT_SCHEMA: [(&str, &str); 6] = [
    ("pool_size", "int"),
    ("port", "port"),
    ("request_timeout", "duration"),
    ("debug", "bool"),
    ("database_url", "url"),
    ("log_level", "string"),
];

/// Prefix of the environment variables that replace values of the file.
const ENVIRONMENT_PREFIX: &str = "FAULTBOX_CONFIG_";

/// Reads lines `key=value`; blank lines and those that begin with `#` are skipped.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("config: line {}: expected key=value", number + 1))?;
        values.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(values)
}

/// The types to check: from words `key=type`, or those of [`DEFAULT_SCHEMA`] when there are none.
pub(crate) fn schema(words: &[String]) -> Result<Vec<(String, String)>, String> {
    if words.is_empty() {
        let owned = |(key, kind): &(&str, &str)| ((*key).to_owned(), (*kind).to_owned());
        return Ok(DEFAULT_SCHEMA.iter().map(owned).collect());
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, kind)) => Ok((key.to_owned(), kind.to_owned())),
            None => Err(format!("expected KEY=TYPE, found {word:?}")),
        })
        .collect()
}

/// Lays the environment over the values of a file.
pub(crate) fn overlay_environment(values: &mut BTreeMap<String, String>) {
    for (name, value) in std::env::vars() {
        if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
            values.insert(key.to_ascii_lowercase(), value);
        }
    }
}

/// Checks every key of the schema. With `required`, a key that is absent is an error too.
pub(crate) fn check(
    values: &BTreeMap<String, String>,
    schema: &[(String, String)],
    required: bool,
) -> Result<(), String> {
    for (key, kind) in schema {
        let Some(value) = values.get(key) else {
            if required {
                return Err(format!("config: key {key:?}: is required and not set"));
            }
            continue;
        };
        if let Err(expected) = check_value(kind, value) {
            return Err(format!(
                "config: key {key:?}: invalid value {value:?}: {expected}"
            ));
        }
    }
    Ok(())
}

fn check_value(kind: &str, value: &str) -> Result<(), String> {
    let valid = match kind {
        "int" => value.parse::<i64>().is_ok(),
        "port" => value.parse::<u16>().is_ok_and(|port| port > 0),
        "bool" => matches!(value, "true" | "false"),
        "duration" => is_duration(value),
        "url" => value.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/')
        }),
        "string" => !value.is_empty(),
        other => return Err(format!("unknown type {other:?} in the schema")),
    };
    let expected = match kind {
        "int" => "expected an integer",
        "port" => "expected a port between 1 and 65535",
        "bool" => "expected true or false",
        "duration" => "expected a duration such as 500ms, 30s or 5m",
        "url" => "expected a URL",
        _ => "expected a value that is not empty",
    };
    if valid {
        Ok(())
    } else {
        Err(expected.to_owned())
    }
}

fn is_duration(value: &str) -> bool {
    ["ms", "s", "m", "h"]
        .iter()
        .filter_map(|unit| value.strip_suffix(unit))
        .any(|number| number.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{check, parse, schema};

    #[test]
    fn names_the_key_and_what_was_expected() {
        let schema = schema(&[]).expect("the default schema is valid");
        for (text, expected) in [
            (
                "pool_size=10\nrequest_timeout=30s\n# note\n\ndebug=true",
                None,
            ),
            (
                "pool_size=ten",
                Some(r#"config: key "pool_size": invalid value "ten": expected an integer"#),
            ),
            (
                "request_timeout=30",
                Some(
                    r#"config: key "request_timeout": invalid value "30": expected a duration such as 500ms, 30s or 5m"#,
                ),
            ),
            (
                "debug=yes",
                Some(r#"config: key "debug": invalid value "yes": expected true or false"#),
            ),
            (
                "database_url=db:5432",
                Some(r#"config: key "database_url": invalid value "db:5432": expected a URL"#),
            ),
        ] {
            let values = parse(text).expect("lines are key=value");
            assert_eq!(
                check(&values, &schema, false).err().as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_required_key_may_not_be_absent() {
        let schema = schema(&["region=string".to_owned()]).expect("key=type");
        let error = check(&parse("").expect("empty"), &schema, true).expect_err("region is absent");
        assert_eq!(error, r#"config: key "region": is required and not set"#);
    }
}
