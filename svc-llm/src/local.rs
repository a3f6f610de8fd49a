//! Rules of an installation, as data: what its own programs say when they fail, and what it wants done
//! about causes that are known already. `docs/rules.md` describes the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bonesetter_proto::v1::FailureClass;
use regex::{Regex, RegexBuilder};

use crate::rules::CAUSES;

mod file;
mod text;

use file::{EventFile, File, OverrideFile, RuleFile, WhenFile};
pub(crate) use file::{OverrideRemedy, RuleRemedy};
pub(crate) use text::Template;

/// A file of rules is far smaller.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// All of them are tried on every failing container.
const MAX_RULES: usize = 500;
/// A pattern that would become larger than this is refused.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// A cause that is not one of ours begins with this, so that it never becomes one.
const OWN_CAUSE: &str = "x-";

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalRuleError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to read.
    #[error("{0} holds no .yaml or .yml file with rules")]
    Empty(PathBuf),
    /// Not YAML of the documented form.
    #[error("{path} is not a file of rules: {problem}")]
    Form {
        /// Which.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// A rule that cannot be applied.
    #[error("{path}: {cause}: {problem}")]
    Rule {
        /// Which file.
        path: PathBuf,
        /// Which rule, by its cause.
        cause: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More rules than are tried.
    #[error("there are {0} rules and overrides, and at most {MAX_RULES} are tried")]
    TooMany(usize),
}

/// The rules of an installation; none by default.
#[derive(Debug, Default)]
pub struct LocalRules {
    pub(crate) rules: Vec<Rule>,
    pub(crate) overrides: Vec<Override>,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) cause: String,
    pub(crate) when: When,
    pub(crate) confidence: f64,
    pub(crate) summary: Template,
    pub(crate) root_cause: Option<Template>,
    pub(crate) recommendation: Template,
    pub(crate) remedy: RuleRemedy,
}

/// What must be so, all of it.
#[derive(Debug)]
pub(crate) struct When {
    pub(crate) classes: Vec<FailureClass>,
    pub(crate) kinds: Vec<String>,
    pub(crate) container: Option<Regex>,
    pub(crate) image: Option<Regex>,
    pub(crate) exit_codes: Vec<i64>,
    pub(crate) reasons: Vec<String>,
    pub(crate) log: Option<Regex>,
    pub(crate) event: Option<EventWhen>,
    pub(crate) changed: Vec<String>,
}

/// An event that must have been seen.
#[derive(Debug)]
pub(crate) struct EventWhen {
    pub(crate) reasons: Vec<String>,
    pub(crate) message: Option<Regex>,
}

impl When {
    /// Whether it can only be so of a container.
    pub(crate) fn is_about_containers(&self) -> bool {
        self.container.is_some()
            || self.image.is_some()
            || self.log.is_some()
            || !self.exit_codes.is_empty()
            || !self.reasons.is_empty()
            || !self.changed.is_empty()
    }

    /// Whether something that can be cited must be there.
    fn is_grounded(&self) -> bool {
        self.event.is_some() || self.is_about_containers()
    }
}

/// What an installation wants changed in findings of one cause.
#[derive(Debug)]
pub(crate) struct Override {
    pub(crate) cause: String,
    pub(crate) disabled: bool,
    pub(crate) recommendation: Option<String>,
    pub(crate) remedy: OverrideRemedy,
    pub(crate) max_confidence: Option<f64>,
}

impl LocalRules {
    /// Reads every `.yaml` and `.yml` file of a folder, in the order of their names. The examples of
    /// every rule are tried.
    pub fn read(dir: &Path) -> Result<Self, LocalRuleError> {
        let read = |path: &Path, source| LocalRuleError::Read {
            path: path.to_owned(),
            source,
        };
        let mut paths = BTreeSet::new();
        for entry in fs::read_dir(dir).map_err(|source| read(dir, source))? {
            let path = entry.map_err(|source| read(dir, source))?.path();
            let extension = path.extension().and_then(|it| it.to_str());
            if matches!(extension, Some("yaml" | "yml")) {
                paths.insert(path);
            }
        }
        if paths.is_empty() {
            return Err(LocalRuleError::Empty(dir.to_owned()));
        }
        let mut all = Self::default();
        for path in paths {
            let size = fs::metadata(&path).map_err(|source| read(&path, source))?;
            if size.len() > MAX_FILE_BYTES {
                let source = io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes"));
                return Err(read(&path, source));
            }
            let text = fs::read_to_string(&path).map_err(|source| read(&path, source))?;
            all.add(&path, &text)?;
        }
        let count = all.len();
        if count > MAX_RULES {
            return Err(LocalRuleError::TooMany(count));
        }
        Ok(all)
    }

    /// How many rules and overrides there are.
    pub fn len(&self) -> usize {
        self.rules.len() + self.overrides.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), LocalRuleError> {
        let file: File = File::parse(text).map_err(|problem| LocalRuleError::Form {
            path: path.to_owned(),
            problem,
        })?;
        let wrong = |cause: &str, problem| LocalRuleError::Rule {
            path: path.to_owned(),
            cause: cause.to_owned(),
            problem,
        };
        for rule in file.rules {
            let cause = rule.cause.clone();
            let is_taken = self.rules.iter().any(|known| known.cause == cause);
            let rule = compile(rule).map_err(|problem| wrong(&cause, problem))?;
            if is_taken {
                return Err(wrong(
                    &cause,
                    "there are two rules for this cause".to_owned(),
                ));
            }
            self.rules.push(rule);
        }
        for change in file.overrides {
            let cause = change.cause.clone();
            let change = accept(change).map_err(|problem| wrong(&cause, problem))?;
            self.overrides.push(change);
        }
        Ok(())
    }
}

fn compile(rule: RuleFile) -> Result<Rule, String> {
    check_cause(&rule.cause)?;
    check_confidence(rule.confidence)?;
    let examples = rule.when.examples.clone();
    let counterexamples = rule.when.counterexamples.clone();
    let when = conditions(rule.when)?;
    if !when.is_grounded() {
        return Err("`when` must ask for something that can be cited: log, event, reasons, exit_codes, container, image or changed".to_owned());
    }
    if rule.remedy == RuleRemedy::RollBack && when.changed.is_empty() {
        return Err(
            "`remedy: roll-back` needs `changed`: only a rollout that touched it is taken back"
                .to_owned(),
        );
    }
    let matches = |line: &String| when.log.as_ref().is_some_and(|log| log.is_match(line));
    if let Some(line) = examples.iter().find(|line| !matches(line)) {
        return Err(format!("`log` does not match its example {line:?}"));
    }
    if let Some(line) = counterexamples.iter().find(|line| matches(line)) {
        return Err(format!("`log` matches its counterexample {line:?}"));
    }
    let names = placeholders(&when);
    let template = |text: &str| Template::parse(text, &names);
    Ok(Rule {
        summary: template(&rule.summary)?,
        root_cause: rule.root_cause.as_deref().map(template).transpose()?,
        recommendation: template(&rule.recommendation)?,
        cause: rule.cause,
        confidence: rule.confidence,
        remedy: rule.remedy,
        when,
    })
}

fn conditions(when: WhenFile) -> Result<When, String> {
    let classes = when
        .classes
        .iter()
        .map(|name| crate::evidence_json::class_of(name).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    if let Some(path) = when.changed.iter().find(|path| !path.starts_with('/')) {
        return Err(format!(
            "`changed` holds {path:?}, which is not a JSON pointer such as /env or /spec/volumes"
        ));
    }
    Ok(When {
        classes,
        kinds: when.kinds,
        container: pattern("container", when.container)?,
        image: pattern("image", when.image)?,
        exit_codes: when.exit_codes,
        reasons: when.reasons,
        log: pattern("log", when.log)?,
        event: when.event.map(event).transpose()?,
        changed: when.changed,
    })
}

fn event(event: EventFile) -> Result<EventWhen, String> {
    if event.reasons.is_empty() && event.message.is_none() {
        return Err("`event` names neither reasons nor a message".to_owned());
    }
    Ok(EventWhen {
        reasons: event.reasons,
        message: pattern("event.message", event.message)?,
    })
}

fn pattern(name: &str, text: Option<String>) -> Result<Option<Regex>, String> {
    let build = |text: String| {
        RegexBuilder::new(&text)
            .size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|error| format!("`{name}` is not a regular expression: {error}"))
    };
    text.map(build).transpose()
}

/// What texts may refer to.
fn placeholders(when: &When) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = BTreeSet::from(["workload".to_owned()]);
    if when.is_about_containers() {
        names.extend(["container".to_owned(), "image".to_owned()]);
    }
    let message = when.event.as_ref().and_then(|event| event.message.as_ref());
    for (pattern, whole) in [(when.log.as_ref(), "line"), (message, "message")] {
        let Some(pattern) = pattern else { continue };
        names.insert(whole.to_owned());
        names.extend(pattern.capture_names().flatten().map(str::to_owned));
    }
    names
}

fn accept(change: OverrideFile) -> Result<Override, String> {
    check_cause(&change.cause)?;
    change.max_confidence.map_or(Ok(()), check_confidence)?;
    let says_nothing = !change.disabled
        && change.recommendation.is_none()
        && change.remedy == OverrideRemedy::Keep
        && change.max_confidence.is_none();
    if says_nothing {
        return Err("the override changes nothing".to_owned());
    }
    Ok(Override {
        cause: change.cause,
        disabled: change.disabled,
        recommendation: change.recommendation,
        remedy: change.remedy,
        max_confidence: change.max_confidence,
    })
}

fn check_cause(cause: &str) -> Result<(), String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if CAUSES.contains(&cause) || cause.strip_prefix(OWN_CAUSE).is_some_and(is_name) {
        return Ok(());
    }
    Err(format!(
        "the cause is neither one of ours nor a name such as {OWN_CAUSE}licence-server-down"
    ))
}

fn check_confidence(confidence: f64) -> Result<(), String> {
    if (0.0..=0.97).contains(&confidence) {
        Ok(())
    } else {
        Err("confidence must lie between 0 and 0.97".to_owned())
    }
}

#[cfg(test)]
mod tests;
