//! What the application was told is missing or wrong.

use super::finding::{Finding, Group};
use super::reading::{Reading, Subject, read};
use crate::case::{Case, Container, EnvChangeKind, Rollout};
use crate::remedy::{Blame, blame};

/// Fields that hold what an application is told.
const TOLD: [&str; 5] = ["/env", "/envFrom", "/args", "/command", "/volumeMounts"];

/// A variable that the application requires is not there, above all because the last rollout took
/// it away.
pub(crate) fn missing_env_variable(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    container.crash()?;
    let words = case.last_words(container);
    let reading = read(&words, &[Subject::MissingEnv])?;
    let name = container.name;
    let variable = reading.what.unwrap_or("a variable");
    let is_set = reading
        .what
        .is_some_and(|variable| sets(container, variable));
    let finding = crashed(
        container,
        Finding::new(
            "missing-env-variable",
            Group::Application,
            format!(
                "{}: container {name} ends because the environment variable {variable} is missing.",
                case.subject()
            ),
        ),
        &reading,
    )
    .because(format!(
        "Container {name} requires the environment variable {variable}, and it is not set: {}",
        reading.quote()
    ))
    .advise(format!("Set {variable} for container {name}."))
    .fits_if(0.4, reading.what.is_some() && !is_set)
    .against_if(0.3, is_set);
    let Some(rollout) = case.rollout() else {
        return Some(finding);
    };
    match removed(case, &rollout, container, reading.what) {
        Some(blame) => Some(finding.blamed_on(case, container, &blame)),
        // The new image may require what the old one did not.
        None => Some(finding.blaming(case, container, &["/image", "/envFrom"])),
    }
}

/// The change by which the last rollout took the variable away.
fn removed<'a>(
    case: &Case<'a>,
    rollout: &Rollout<'_, 'a>,
    container: &Container<'_>,
    variable: Option<&str>,
) -> Option<Blame<'a>> {
    let change = rollout
        .env_changes(container.name)
        .into_iter()
        .find(|change| {
            change.kind != EnvChangeKind::Added && variable.is_none_or(|name| name == change.name)
        })?;
    Some(blame(case, container, &["/env"])?.at(change.path))
}

fn sets(container: &Container<'_>, variable: &str) -> bool {
    let env = container.get("/env").and_then(serde_json::Value::as_array);
    env.into_iter()
        .flatten()
        .any(|entry| entry["name"] == variable)
}

/// A value of the configuration is wrong: the log names its key, and often the last rollout changed
/// what holds it.
pub(crate) fn bad_config_value(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    container.crash()?;
    let words = case.last_words(container);
    let subjects = [
        Subject::BadValue,
        Subject::UnknownOption,
        Subject::BadConfigFile,
    ];
    let reading = read(&words, &subjects)?;
    let name = container.name;
    let (cause, wrong) = match (reading.subject, reading.what) {
        (Subject::BadConfigFile, Some(what)) => (
            "bad-config-file",
            format!("its configuration ({what}) cannot be read"),
        ),
        (Subject::BadConfigFile, None) => (
            "bad-config-file",
            "its configuration cannot be read".to_owned(),
        ),
        (Subject::UnknownOption, what) => (
            "unknown-option",
            format!(
                "it does not know the option {}",
                what.unwrap_or("it was given")
            ),
        ),
        (_, Some(key)) => (
            "bad-config-value",
            format!("the configuration value of {key} is not valid"),
        ),
        (_, None) => (
            "bad-config-value",
            "a configuration value is not valid".to_owned(),
        ),
    };
    let finding = crashed(
        container,
        Finding::new(
            cause,
            Group::Application,
            format!("{}: container {name} ends because {wrong}.", case.subject()),
        ),
        &reading,
    )
    .because(format!(
        "Container {name} refuses its configuration: {}",
        reading.quote()
    ))
    .advise(match reading.what {
        Some(key) => format!("Correct {key}."),
        None => "Correct the configuration.".to_owned(),
    })
    .fits_if(0.3, reading.what.is_some());
    Some(match changed(case, container, reading.what) {
        Some(blame) => finding.blamed_on(case, container, &blame),
        None => finding.blaming(case, container, &["/image", "/spec/volumes"]),
    })
}

/// The change that holds the key, or else any change of what the application is told.
fn changed<'a>(case: &Case<'a>, container: &Container<'_>, key: Option<&str>) -> Option<Blame<'a>> {
    let first = blame(case, container, &TOLD)?;
    let rollout = case.rollout()?;
    let names_key = |text: &str| key.is_some_and(|key| mentions(text, key));
    let env = rollout.env_changes(container.name);
    let by_variable = env
        .iter()
        .find(|change| names_key(&change.name))
        .map(|change| change.path);
    let by_text = || {
        let changes = rollout.touching(container.name, &TOLD);
        let holds = |side: &str| names_key(side);
        changes
            .into_iter()
            .find(|change| holds(&change.before) || holds(&change.after))
            .map(|change| change.path.as_str())
    };
    Some(match by_variable.or_else(by_text) {
        Some(path) => first.at(path),
        None => first,
    })
}

/// Whether a text names a key, in whichever of the usual spellings.
fn mentions(text: &str, key: &str) -> bool {
    let plain = |text: &str| -> String {
        let same = |c: char| {
            if matches!(c, '.' | '-' | '/' | ' ') {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        };
        text.chars().map(same).collect()
    };
    let key = plain(key.trim_start_matches('-'));
    !key.is_empty() && plain(text).contains(&key)
}

/// What every crash with a last line has in common.
fn crashed(container: &Container<'_>, finding: Finding, reading: &Reading<'_>) -> Finding {
    let end = container.termination();
    finding
        .fits(reading.weight())
        .cite(reading.line.cite())
        .cite(end.and_then(|end| container.object.cite(&format!("{}/exitCode", end.pointer))))
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn keys_are_found_in_every_spelling() {
        for (text, key, found) in [
            ("FAULTBOX_CONFIG_POOL_SIZE", "pool_size", true),
            ("\"--set\",\"pool_size=ten\"", "pool_size", true),
            ("SERVER_PORT", "server.port", true),
            ("--log-level=loud", "log_level", true),
            ("--verbos", "--verbos", true),
            ("TIMEOUT", "pool_size", false),
            ("anything", "", false),
        ] {
            assert_eq!(mentions(text, key), found, "{text} {key}");
        }
    }
}
