use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bonesetter_chassis::topology::{ExternalError, USERS, external_user};
use bonesetter_keys::{KeyDirectory, KeyError, KeyState, Login, Rotating};
use bonesetter_proto::{Namespace, Writer};
use clap::Subcommand;

use crate::layout;
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
    /// List the keys that can be rotated, by their ids, and which of them are in use.
    List {
        /// Directory that `bonesetter keys init` filled.
        dir: PathBuf,
    },
    /// First step of a rotation: make a new key that is known to all who read, and not in use.
    Add {
        /// Directory that `bonesetter keys init` filled.
        dir: PathBuf,
        /// Which: `evidence`, `inverse`, `webhook`, a service that signs, or `nats/USER`.
        #[arg(value_parser = key)]
        key: Key,
    },
    /// Second step: put the newest key to use, when all who read have it.
    Promote {
        /// Directory that `bonesetter keys init` filled.
        dir: PathBuf,
        /// Which: `evidence`, `inverse`, `webhook`, a service that signs, or `nats/USER`.
        #[arg(value_parser = key)]
        key: Key,
    },
    /// Last step: forget a key, when nothing is left that was made with it.
    Retire {
        /// Directory that `bonesetter keys init` filled.
        dir: PathBuf,
        /// Which: `evidence`, `inverse`, `webhook`, a service that signs, or `nats/USER`.
        #[arg(value_parser = key)]
        key: Key,
        /// The id, as `list` prints it.
        id: String,
    },
}

/// What can be rotated.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Purpose(Rotating),
    Login(Login),
}

fn key(name: &str) -> Result<Key, String> {
    if let Some(user) = name.strip_prefix(Login::PREFIX) {
        // It becomes part of the name of a file.
        let user = Namespace::new(user).map_err(|error| error.to_string())?;
        return Ok(Key::Login(Login::of(user.as_str())));
    }
    let all = Rotating::all();
    let found = all.iter().find(|key| key.name() == name).copied();
    found.map(Key::Purpose).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|key| key.name()).collect();
        format!(
            "there is no such key; there are {}, and {}USER for every user of NATS",
            names.join(", "),
            Login::PREFIX
        )
    })
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Init { dir } => init(dir)?,
        Command::External { dir, name } => external(dir, name)?,
        Command::List { dir } => list(&KeyDirectory::new(dir))?,
        Command::Add { dir, key } => {
            let keys = KeyDirectory::new(dir);
            match key {
                Key::Purpose(key) => add(&keys, *key)?,
                Key::Login(login) => add_login(&keys, login)?,
            }
        }
        Command::Promote { dir, key } => {
            let keys = KeyDirectory::new(dir);
            match key {
                Key::Purpose(key) => promote(&keys, *key)?,
                Key::Login(login) => promote_login(&keys, login)?,
            }
        }
        Command::Retire { dir, key, id } => {
            let keys = KeyDirectory::new(dir);
            match key {
                Key::Purpose(key) => retire(&keys, *key, id)?,
                Key::Login(login) => retire_login(&keys, login, id)?,
            }
        }
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

fn list(keys: &KeyDirectory) -> anyhow::Result<String> {
    let mut table = layout::table(["KEY", "ID", "STATE"], &[]);
    let mut add = |name: &str, states: Vec<KeyState>| {
        for state in states {
            let use_ = if state.is_in_use { "in use" } else { "known" };
            table.add_row([name, &state.id, use_]);
        }
    };
    for key in Rotating::all() {
        add(key.name(), key.list(keys)?);
    }
    for login in Login::all(keys)? {
        add(&login.to_string(), login.list(keys)?);
    }
    Ok(format!("{table}\n"))
}

/// Whose copies of a file change, and who reads it.
fn holders(key: Rotating) -> &'static str {
    match key {
        Rotating::Evidence => "evidence.key of svc-redactor and svc-enricher",
        Rotating::Inverse => "inverse.key of svc-actuator",
        Rotating::Webhook => "webhook.key of svc-notifier, and that of its receivers",
        Rotating::Signing(Writer::Llm | Writer::Publisher) => {
            "trusted/ of svc-enricher, svc-llm, svc-actuator, svc-notifier (also in its mode `publish`), svc-audit \
             (also in its mode `sweep`) and every external tool"
        }
        Rotating::Signing(_) => {
            "trusted/ of svc-enricher, svc-llm, svc-actuator, svc-notifier (also in its mode `publish`) and \
             svc-audit (also in its mode `sweep`)"
        }
    }
}

fn add(keys: &KeyDirectory, key: Rotating) -> Result<String, KeyError> {
    let id = key.make_known(keys)?;
    Ok(format!(
        "made {id}, known and not in use\n\
         1. copy {}; what runs reads it when it meets the new key\n\
         2. bonesetter keys promote DIR {}\n",
        holders(key),
        key.name()
    ))
}

fn promote(keys: &KeyDirectory, key: Rotating) -> Result<String, KeyError> {
    let id = key.promote(keys)?;
    let (writer, until) = match key {
        Rotating::Evidence => ("svc-enricher", "two days, as long as raw evidence is kept"),
        Rotating::Inverse => (
            "svc-actuator",
            "no change made before is under verification",
        ),
        Rotating::Webhook => ("svc-notifier", "every receiver takes the new one"),
        Rotating::Signing(writer) => (
            writer.service(),
            "90 days, as long as what it signed is kept, or replay will not believe it",
        ),
    };
    Ok(format!(
        "{id} is in use\n\
         1. copy the file to {writer} and start it again\n\
         2. wait: {until}\n\
         3. bonesetter keys retire DIR {} ID, with the old id that `bonesetter keys list DIR` prints\n",
        key.name()
    ))
}

fn retire(keys: &KeyDirectory, key: Rotating, id: &str) -> Result<String, KeyError> {
    key.retire(keys, id)?;
    Ok(format!(
        "forgot {id} of {}; copy the files to where they are mounted; what runs forgets it when it is started \
         again\n",
        key.name()
    ))
}

/// How the server learns whom to admit.
const ADMIT: &str = "give nats-server its accounts anew (bonesetter deploy nats --keys DIR, with --external FILE \
                     where there are tools) and reload it";

fn add_login(keys: &KeyDirectory, login: &Login) -> Result<String, KeyError> {
    let id = login.make_known(keys)?;
    Ok(format!(
        "made {id}, known and not in use\n\
         1. {ADMIT}: it admits both\n\
         2. bonesetter keys promote DIR {login}\n"
    ))
}

fn promote_login(keys: &KeyDirectory, login: &Login) -> Result<String, KeyError> {
    let id = login.promote(keys)?;
    let user = login.user();
    Ok(format!(
        "{id} is in use\n\
         1. copy nats/{user}.nk to all who log in as {user}, and start them again\n\
         2. bonesetter keys retire DIR {login} ID, with the old id that `bonesetter keys list DIR` prints\n"
    ))
}

fn retire_login(keys: &KeyDirectory, login: &Login, id: &str) -> Result<String, KeyError> {
    login.retire(keys, id)?;
    Ok(format!(
        "forgot {id} of {login}; {ADMIT}: it then ends the connections that logged in with it\n"
    ))
}
