//! One module per command.

pub(crate) mod deploy;
pub(crate) mod diagnose;
pub(crate) mod dlq;
pub(crate) mod incidents;
pub(crate) mod keys;
pub(crate) mod provision;
pub(crate) mod redact;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod show;
pub(crate) mod watch;

/// How a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}
