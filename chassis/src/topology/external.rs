//! The account that external tools read from, and who they are.
//!
//! Tools see nothing of the pipeline's account. Another account holds copies of streams, sourced by
//! the server through two narrow exports, and each tool is pinned to namespaces of these. See
//! `docs/decisions/0005-account-of-external-tools.md`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use bonesetter_proto::{Namespace, Stage, SubjectError};
use serde::Deserialize;

use super::permissions::acks;
use super::{DAY, DIAGNOSED, DIAGNOSED_JSON, MIB, Permissions, StreamSpec};

/// The account that holds the streams of the pipeline.
pub const PIPELINE_ACCOUNT: &str = "BONESETTER";
/// The account that holds the copies for external tools.
pub const EXTERNAL_ACCOUNT: &str = "EXTERNAL";
/// The pipeline's JetStream API as the external account sees it.
pub const IMPORTED_API: &str = "JS.bonesetter.api";
/// Where the pipeline's account delivers what is copied.
pub const COPY_DELIVERY: &str = "bonesetter-external.deliver";
/// How long a pull of a tool may wait, which is what most clients ask for by themselves: the server remembers
/// where the answer goes for as long.
pub const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// A tool that needs more than this is not limited to namespaces in any useful sense.
pub const MAX_NAMESPACES: usize = 64;

/// A copy of one stream in the account for external tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopySpec {
    /// Its name in the external account.
    pub name: &'static str,
    /// What it is a copy of.
    pub of: StreamSpec,
    /// The stage whose messages are copied.
    pub stage: Stage,
    /// How long a message is kept.
    pub max_age: Duration,
    /// Bytes at which it forgets its oldest messages: a full copy must not hold up the pipeline.
    pub max_bytes: i64,
}

impl CopySpec {
    /// What is copied. Without a filter the server would ask for a consumer in a form that nobody
    /// exports, and the copy would stay empty without an error.
    pub fn filter(&self) -> String {
        self.stage.filter()
    }

    /// The request by which the external account's server makes the consumer that feeds the copy.
    /// The filter is part of the subject, so nothing else of the stream can be had by it.
    pub(super) fn consumer_create(&self) -> String {
        format!("CONSUMER.CREATE.{}.*.{}", self.of.name, self.filter())
    }

    /// Flow control of that consumer.
    pub(super) fn flow_control(&self) -> String {
        format!("$JS.FC.{}.>", self.of.name)
    }
}

/// Every copy. Add a line, and account, provisioning and the permissions of tools follow.
pub const COPIES: &[CopySpec] = &[
    CopySpec {
        name: "EXTERNAL_DIAGNOSED",
        of: DIAGNOSED,
        stage: Stage::Diagnosed,
        max_age: Duration::from_secs(30 * DAY.as_secs()),
        max_bytes: 512 * MIB,
    },
    CopySpec {
        name: "EXTERNAL_DIAGNOSED_JSON",
        of: DIAGNOSED_JSON,
        stage: Stage::DiagnosedJson,
        max_age: Duration::from_secs(30 * DAY.as_secs()),
        max_bytes: 512 * MIB,
    },
];

/// Why a list of external tools is refused.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The file cannot be read.
    #[error("cannot read the list of external tools {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not of the expected form.
    #[error(
        "{path} is not a list of external tools, `external: [{{name: ..., namespaces: [...]}}]`: {reason}"
    )]
    Format {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of a tool becomes part of subjects and file names.
    #[error("external tool {0:?}: a name is an RFC 1123 label, as for a namespace")]
    Name(String),
    /// A namespace becomes part of a permission.
    #[error("external tool {tool:?}: {source}")]
    Namespace {
        /// Whose.
        tool: String,
        /// Which.
        source: SubjectError,
    },
    /// A tool that may see nothing, or more than can be meant.
    #[error(
        "external tool {tool:?} has {count} namespaces; between 1 and {MAX_NAMESPACES} are possible"
    )]
    Count {
        /// Whose.
        tool: String,
        /// How many.
        count: usize,
    },
    /// Two entries of one name.
    #[error("external tool {0:?} is listed twice; name all its namespaces in one entry")]
    Twice(String),
}

/// One external tool: a user that is pinned to namespaces of the copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUser {
    name: String,
    namespaces: BTreeSet<Namespace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    external: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    namespaces: Vec<String>,
}

impl ExternalUser {
    /// Accepts labels only; nothing is escaped or corrected, so that no claim can widen a permission.
    pub fn new<N: Into<String>>(
        name: &str,
        namespaces: impl IntoIterator<Item = N>,
    ) -> Result<Self, ExternalError> {
        if Namespace::new(name).is_err() {
            return Err(ExternalError::Name(name.to_owned()));
        }
        let mut seen = BTreeSet::new();
        for namespace in namespaces {
            let namespace =
                Namespace::new(namespace).map_err(|source| ExternalError::Namespace {
                    tool: name.to_owned(),
                    source,
                })?;
            seen.insert(namespace);
        }
        if !(1..=MAX_NAMESPACES).contains(&seen.len()) {
            return Err(ExternalError::Count {
                tool: name.to_owned(),
                count: seen.len(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            namespaces: seen,
        })
    }

    /// Reads `external: [{name: ..., namespaces: [...]}]` from a YAML file.
    pub fn read(path: &Path) -> Result<Vec<Self>, ExternalError> {
        let shown = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| ExternalError::Read {
            path: shown(),
            source,
        })?;
        let list: List = serde_saphyr::from_str(&text).map_err(|error| ExternalError::Format {
            path: shown(),
            reason: error.to_string(),
        })?;
        let mut tools: Vec<Self> = Vec::new();
        for entry in list.external {
            let tool = Self::new(&entry.name, entry.namespaces)?;
            if tools.iter().any(|other| other.name == tool.name) {
                return Err(ExternalError::Twice(tool.name));
            }
            tools.push(tool);
        }
        Ok(tools)
    }

    /// The name as declared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its user, of its key files and of its inbox prefix: no service can have it.
    pub fn user(&self) -> String {
        external_user(&self.name)
    }

    /// The namespaces that it sees.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.iter()
    }

    /// The name of its one consumer for a namespace, on every copy. Labels have no underscore, so no
    /// two pairs of tool and namespace have the same; and the permission to use it ends with the
    /// namespace.
    pub fn consumer(&self, namespace: &Namespace) -> String {
        format!("{}_{namespace}", self.name)
    }

    /// Every consumer that is made for it.
    pub fn consumers(&self) -> impl Iterator<Item = ToolConsumer> {
        COPIES.iter().flat_map(|copy| {
            self.namespaces.iter().map(|namespace| ToolConsumer {
                copy: *copy,
                name: self.consumer(namespace),
                filter: copy.stage.namespace_filter(namespace),
            })
        })
    }

    /// Where it receives replies, and nobody else.
    pub fn inbox_prefix(&self) -> String {
        format!("_INBOX_{}", self.user())
    }
}

/// A durable pull consumer of one tool, one namespace and one copy, with explicit acks. It is made for the
/// tool: who makes a consumer says where it delivers to, which the server does not check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolConsumer {
    /// What it reads.
    pub copy: CopySpec,
    /// Its name.
    pub name: String,
    /// Its one filter.
    pub filter: String,
}

impl ToolConsumer {
    fn path(&self) -> String {
        format!("{}.{}", self.copy.name, self.name)
    }

    /// The long form of the request that makes it, with its literal name and filter.
    pub(super) fn create(&self) -> String {
        format!("$JS.API.CONSUMER.CREATE.{}.{}", self.path(), self.filter)
    }
}

/// The name of the user of an external tool.
pub fn external_user(tool: &str) -> String {
    format!("external-{tool}")
}

/// What an external tool may do: listen to its namespaces, and use its consumer for each: ask how far it
/// is, pull, acknowledge, and begin again elsewhere.
pub fn external_permissions(tool: &ExternalUser) -> Permissions {
    let mut permissions = Permissions {
        inbox: format!("{}.>", tool.inbox_prefix()),
        ..Permissions::default()
    };
    for consumer in tool.consumers() {
        let path = consumer.path();
        let publish = &mut permissions.publish;
        for verb in ["INFO", "MSG.NEXT", "RESET"] {
            publish.push(format!("$JS.API.CONSUMER.{verb}.{path}"));
        }
        publish.extend(acks(&path));
        permissions.subscribe.push(consumer.filter);
    }
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Vec<ExternalUser>, ExternalError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("external.yaml");
        fs::write(&path, text).unwrap();
        ExternalUser::read(&path)
    }

    #[test]
    fn a_list_is_read_and_what_is_no_label_is_refused() {
        let tools = file(
            "external:\n- {name: siem, namespaces: [shop, pay]}\n- {name: b, namespaces: [x]}",
        )
        .unwrap();
        assert_eq!(tools.len(), 2);
        assert_eq!(tools[0].namespaces().count(), 2);
        for (text, part) in [
            ("external: [{name: a, namespaces: ['*']}]", "\"*\""),
            ("external: [{name: a, namespaces: ['>']}]", "\">\""),
            ("external: [{name: a, namespaces: ['a.>']}]", "\"a.>\""),
            ("external: [{name: a, namespaces: ['_']}]", "\"_\""),
            ("external: [{name: a, namespaces: ['']}]", "\"\""),
            ("external: [{name: a, namespaces: [Shop]}]", "\"Shop\""),
            ("external: [{name: a, namespaces: []}]", "0 namespaces"),
            ("external: [{name: 'a.b', namespaces: [x]}]", "a name is"),
            ("external: [{name: 'a_b', namespaces: [x]}]", "a name is"),
            (
                "external: [{name: a, namespaces: [x]}, {name: a, namespaces: [y]}]",
                "twice",
            ),
            ("external: [{name: a, namespace: x}]", "is not a list"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn more_namespaces_than_anybody_means_are_refused() {
        let names = |count: usize| (0..count).map(|number| format!("n{number}"));
        assert!(ExternalUser::new("a", names(MAX_NAMESPACES)).is_ok());
        assert!(matches!(
            ExternalUser::new("a", names(MAX_NAMESPACES + 1)),
            Err(ExternalError::Count { count: 65, .. })
        ));
    }

    #[test]
    fn every_subject_of_a_tool_names_the_tool_or_one_of_its_namespaces() {
        let tool = ExternalUser::new("siem", ["shop", "pay"]).unwrap();
        let permissions = external_permissions(&tool);
        for subject in &permissions.publish {
            let names_consumer = subject.contains(".siem_shop") || subject.contains(".siem_pay");
            assert!(names_consumer, "{subject}");
            let makes_or_ends = subject.contains("CREATE") || subject.contains("DELETE");
            assert!(!makes_or_ends, "{subject}");
        }
        assert_eq!(permissions.inbox, "_INBOX_external-siem.>");
        assert_eq!(
            permissions.subscribe,
            [
                "bonesetter.v1.diagnosed.*.pay.>",
                "bonesetter.v1.diagnosed.*.shop.>",
                "bonesetter.v1.diagnosed-json.*.pay.>",
                "bonesetter.v1.diagnosed-json.*.shop.>"
            ]
        );
    }

    #[test]
    fn no_two_tools_share_a_consumer() {
        let namespace = |name: &str| Namespace::new(name).unwrap();
        let one = ExternalUser::new("a-b", ["c"]).unwrap();
        let other = ExternalUser::new("a", ["b-c"]).unwrap();
        assert_ne!(
            one.consumer(&namespace("c")),
            other.consumer(&namespace("b-c"))
        );
    }
}
