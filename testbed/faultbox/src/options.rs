//! Reading the arguments of one step.

use std::str::FromStr;

/// Arguments of one step: flags with a value, flags without one, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Options {
    values: Vec<(String, String)>,
    switches: Vec<String>,
    pub(crate) rest: Vec<String>,
}

impl Options {
    /// Reads `arguments`. `valued` names the flags that take a value (`--port 80` or `--port=80`),
    /// `switches` those that take none.
    pub(crate) fn parse(
        arguments: &[String],
        valued: &[&str],
        switches: &[&str],
    ) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--") else {
                options.rest.push(argument.clone());
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if switches.contains(&name) && inline.is_none() {
                options.switches.push(name.to_owned());
            } else if valued.contains(&name) {
                let value = inline.or_else(|| arguments.next().cloned());
                let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
                options.values.push((name.to_owned(), value));
            } else {
                return Err(format!("unknown option --{flag}"));
            }
        }
        Ok(options)
    }

    /// Every value given for a flag, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The last value given for a flag.
    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.all(name).last() else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|_| format!("--{name}: cannot read {value:?}"))
    }

    /// Whether a switch was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|switch| switch == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn reads_values_switches_and_the_rest() {
        let options = Options::parse(
            &words("A --port 80 --set=a=b --set c=d --secrets B"),
            &["port", "set"],
            &["secrets"],
        )
        .expect("all flags are known");
        assert_eq!(options.get::<u16>("port"), Ok(Some(80)));
        assert_eq!(options.all("set").collect::<Vec<_>>(), ["a=b", "c=d"]);
        assert!(options.has("secrets"));
        assert_eq!(options.rest, ["A", "B"]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(Options::parse(&words("--prot 80"), &["port"], &[]).is_err());
        assert!(Options::parse(&words("--port"), &["port"], &[]).is_err());
        let options = Options::parse(&words("--port x"), &["port"], &[]).expect("known flag");
        assert!(options.get::<u16>("port").is_err());
    }
}
