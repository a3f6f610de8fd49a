use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_chassis::topology::{MissingPublicKey, authorization, authorization_of, variable};
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
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Nats { keys } = command;
    pipe::print(&nats(keys.as_ref())?)?;
    Ok(ExitCode::SUCCESS)
}

fn nats(keys: Option<&PathBuf>) -> Result<String, MissingPublicKey> {
    match keys {
        Some(dir) => authorization_of(&KeyDirectory::new(dir)),
        None => Ok(authorization(|user| format!("${}", variable(user.name)))),
    }
}
