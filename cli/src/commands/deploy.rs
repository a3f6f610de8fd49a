use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_chassis::topology::{ExternalUser, authorization_of, authorization_with, variable};
use bonesetter_keys::KeyDirectory;
use clap::Subcommand;

use crate::pipe;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The accounts of nats-server, generated from the one table of permissions.
    ///
    /// Without --keys the public nkeys are variables, which nats-server takes from its environment.
    Nats {
        /// Directory that `bonesetter keys init` filled; its public keys are written in.
        #[arg(long)]
        keys: Option<PathBuf>,
        /// YAML file with the external tools, `external: [{name: ..., namespaces: [...]}]`; each sees
        /// the diagnoses of its namespaces and nothing else.
        #[arg(long, value_name = "FILE")]
        external: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Nats { keys, external } = command;
    let tools = match external {
        Some(path) => ExternalUser::read(path)?,
        None => Vec::new(),
    };
    let text = match keys {
        Some(dir) => authorization_of(&KeyDirectory::new(dir), &tools)?,
        None => authorization_with(&tools, |user| vec![format!("${}", variable(user))]),
    };
    pipe::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
