use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_chassis::topology::USERS;
use clap::Subcommand;

use crate::pipe;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make signing, sealing and digest keys and the nkeys of every NATS user. Never overwrites a key.
    Init {
        /// Where; created if it is not there.
        dir: PathBuf,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Init { dir } = command;
    let users: Vec<&str> = USERS.iter().map(|user| user.name).collect();
    bonesetter_keys::init(dir, &users)?;
    pipe::print(&format!(
        "keys of {} users, 3 signing services, evidence, digests and webhooks are in {}\n\
         keep them apart: each service gets its own files only (deploy/kubernetes mounts them so)\n",
        users.len(),
        dir.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
