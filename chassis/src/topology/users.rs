use bonesetter_proto::Stage;

use super::{EXTERNAL_ACCOUNT, PIPELINE_ACCOUNT};

/// What a NATS user is for; its permissions follow from this and from the consumer and bucket tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A service that publishes its stages, binds to its own durables and uses its own buckets.
    Service {
        /// The stages that it writes, besides dead letters.
        writes: &'static [Stage],
    },
    /// Creates streams, consumers and buckets.
    Provisioner,
    /// Reads every stream but the raw one; writes nothing.
    Operator,
    /// Reads the raw stream, sealed as it is, for `svc-redactor replay`; writes nothing.
    RawReader,
    /// Publishes what is overdue, and judges by the place of the ledger's consumers how far the ledger
    /// is complete. Of the stages' messages it reads what was detected, which holds no free text.
    Sweeper,
    /// Publishes what was archived, and asks how full the stream is that holds it.
    Archivist,
    /// Purges streams that fill up. It asks how far consumers are, and reads dead letters, which are
    /// references.
    Keeper,
    /// Reads what the operator reads and decides about dead letters; writes nothing else.
    Redriver,
    /// Creates the copies for external tools.
    ExternalProvisioner,
}

/// One identity on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The name: of the service, of its key files and of its inbox prefix.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
}

impl User {
    /// The account that holds the streams it uses.
    pub const fn streams(&self) -> &'static str {
        match self.role {
            Role::ExternalProvisioner => EXTERNAL_ACCOUNT,
            _ => PIPELINE_ACCOUNT,
        }
    }

    /// Replies come here and nobody else may listen.
    pub fn inbox_prefix(&self) -> String {
        format!("_INBOX_{}", self.name)
    }
}

const fn service(name: &'static str, writes: &'static [Stage]) -> User {
    User {
        name,
        role: Role::Service { writes },
    }
}

/// Every user.
pub const USERS: &[User] = &[
    service("svc-watcher", &[Stage::Detected]),
    service("svc-enricher", &[Stage::Enriched]),
    service("svc-redactor", &[Stage::Redacted, Stage::Security]),
    service("svc-llm", &[Stage::Diagnosed]),
    service("svc-actuator", &[Stage::Acted]),
    service("svc-notifier", &[Stage::Notified]),
    service("svc-notifier-publish", &[Stage::DiagnosedJson]),
    service("svc-audit", &[]),
    User {
        name: "svc-audit-export",
        role: Role::Archivist,
    },
    User {
        name: "svc-audit-sweep",
        role: Role::Sweeper,
    },
    User {
        name: "keeper",
        role: Role::Keeper,
    },
    User {
        name: "provisioner",
        role: Role::Provisioner,
    },
    User {
        name: "operator",
        role: Role::Operator,
    },
    User {
        name: "svc-redactor-replay",
        role: Role::RawReader,
    },
    User {
        name: "redriver",
        role: Role::Redriver,
    },
    User {
        name: "provisioner-external",
        role: Role::ExternalProvisioner,
    },
];

/// The user of that name.
pub fn user(name: &str) -> Option<&'static User> {
    USERS.iter().find(|user| user.name == name)
}
