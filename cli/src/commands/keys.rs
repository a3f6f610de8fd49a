use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bonesetter_chassis::topology::{ExternalError, USERS, external_user};
use bonesetter_keys::{KeyDirectory, KeyError};
use bonesetter_proto::{Namespace, Writer};
use clap::Subcommand;

use crate::pipe;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make signing, sealing and digest keys and the nkeys of every NATS user. Never overwrites a key.
    Init {
        /// Where; created if it is not there.
        dir: PathBuf,
    },
    /// Make the nkey of an external tool. What is there already stays as it is.
    External {
        /// Directory that `bonesetter keys init` filled.
        dir: PathBuf,
        /// The tool's name, as in the file that `bonesetter deploy nats --external` takes.
        name: String,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Init { dir } => init(dir)?,
        Command::External { dir, name } => external(dir, name)?,
    };
    pipe::print(&done)?;
    Ok(ExitCode::SUCCESS)
}

fn init(dir: &Path) -> Result<String, KeyError> {
    let users: Vec<&str> = USERS.iter().map(|user| user.name).collect();
    bonesetter_keys::init(dir, &users)?;
    Ok(format!(
        "keys of {} users, {} signing services, evidence, digests and webhooks are in {}\n\
         keep them apart: each service gets its own files only (deploy/kubernetes mounts them so)\n",
        users.len(),
        Writer::ALL.len(),
        dir.display()
    ))
}

fn external(dir: &Path, name: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        dir.join("trusted").is_dir(),
        "{} holds no keys; `bonesetter keys init` makes a set",
        dir.display()
    );
    Namespace::new(name).map_err(|_| ExternalError::Name(name.to_owned()))?;
    let user = external_user(name);
    let keys = KeyDirectory::new(dir);
    bonesetter_keys::complete(&keys, &[&user])?;
    Ok(format!(
        "the tool logs in with {}, and with the inbox prefix _INBOX_{user}\n\
         list it for `bonesetter deploy nats --keys {} --external FILE`, and reload nats-server\n",
        keys.nkey_seed(&user).display(),
        dir.display()
    ))
}
