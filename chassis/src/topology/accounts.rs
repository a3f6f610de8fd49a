//! The accounts of nats-server, as text of its configuration file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use bonesetter_keys::KeyDirectory;

use super::external::{COPIES, COPY_DELIVERY, EXTERNAL_ACCOUNT, IMPORTED_API, PIPELINE_ACCOUNT};
use super::{ExternalUser, Permissions, USERS, User, external_permissions, permissions};

/// Connections of all external tools together.
const EXTERNAL_CONNECTIONS: u32 = 256;

/// The variable that holds a user's public nkey in the generated configuration.
pub fn variable(user: &str) -> String {
    format!("BONESETTER_NKEY_{}", user.replace('-', "_").to_uppercase())
}

/// The `accounts` part of a nats-server configuration without external tools; `nkey` gives the
/// public key of each user.
pub fn authorization(nkey: impl Fn(&User) -> String) -> String {
    let nkey = |name: &str| super::user(name).map(&nkey).unwrap_or_default();
    authorization_with(&[], nkey)
}

/// As [`authorization`], with external tools; `nkey` gives the public key by the name of a user.
pub fn authorization_with(tools: &[ExternalUser], nkey: impl Fn(&str) -> String) -> String {
    let mut text = String::from("accounts {\n");
    let _ = writeln!(text, "  {PIPELINE_ACCOUNT} {{\n    jetstream: enabled");
    text.push_str("    users: [\n");
    let of = |account: &'static str| USERS.iter().filter(move |user| user.account() == account);
    for user in of(PIPELINE_ACCOUNT) {
        write_user(&mut text, user.name, &nkey(user.name), permissions(user));
    }
    text.push_str(
        "    ]\n    # What the copies in the other account are fed by, and nothing else.\n",
    );
    write_exports(&mut text);
    text.push_str("  }\n");
    let _ = writeln!(text, "  {EXTERNAL_ACCOUNT} {{\n    jetstream: enabled");
    let _ = writeln!(
        text,
        "    limits {{ max_connections: {EXTERNAL_CONNECTIONS} }}"
    );
    write_imports(&mut text);
    text.push_str("    users: [\n");
    for user in of(EXTERNAL_ACCOUNT) {
        write_user(&mut text, user.name, &nkey(user.name), permissions(user));
    }
    for tool in tools {
        let user = tool.user();
        write_user(&mut text, &user, &nkey(&user), external_permissions(tool));
    }
    text.push_str("    ]\n  }\n  SYS {}\n}\nsystem_account: SYS\n");
    text
}

fn write_user(text: &mut String, name: &str, nkey: &str, permissions: Permissions) {
    let _ = writeln!(text, "      {{\n        # {name}\n        nkey: {nkey}");
    text.push_str("        permissions {\n");
    for (verb, subjects) in [
        ("publish", permissions.publish),
        ("subscribe", permissions.subscribe),
    ] {
        let _ = writeln!(text, "          {verb} {{ allow: [");
        for subject in subjects {
            let _ = writeln!(text, "            \"{subject}\"");
        }
        text.push_str("          ] }\n");
    }
    text.push_str("        }\n      }\n");
}

fn write_exports(text: &mut String) {
    text.push_str("    exports: [\n");
    for copy in COPIES {
        for service in [
            format!("$JS.API.{}", copy.consumer_create()),
            copy.flow_control(),
        ] {
            let _ = writeln!(
                text,
                "      {{ service: \"{service}\", accounts: [{EXTERNAL_ACCOUNT}] }}"
            );
        }
    }
    let _ = writeln!(
        text,
        "      {{ stream: \"{COPY_DELIVERY}.>\", accounts: [{EXTERNAL_ACCOUNT}] }}\n    ]"
    );
}

fn write_imports(text: &mut String) {
    text.push_str("    imports: [\n");
    for copy in COPIES {
        let create = copy.consumer_create();
        let _ = writeln!(
            text,
            "      {{ service: {{ account: {PIPELINE_ACCOUNT}, subject: \"$JS.API.{create}\" }}, \
             to: \"{IMPORTED_API}.{create}\" }}"
        );
        let _ = writeln!(
            text,
            "      {{ service: {{ account: {PIPELINE_ACCOUNT}, subject: \"{}\" }} }}",
            copy.flow_control()
        );
    }
    let _ = writeln!(
        text,
        "      {{ stream: {{ account: {PIPELINE_ACCOUNT}, subject: \"{COPY_DELIVERY}.>\" }} }}\n    ]"
    );
}

/// A public key cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the public key {path}: {source}; `bonesetter keys init` makes a complete set, \
     `bonesetter keys external` the key of an external tool"
)]
pub struct MissingPublicKey {
    path: PathBuf,
    source: io::Error,
}

/// As [`authorization_with`], with the public keys of a set.
pub fn authorization_of(
    keys: &KeyDirectory,
    tools: &[ExternalUser],
) -> Result<String, MissingPublicKey> {
    let mut public = BTreeMap::new();
    let ours = USERS.iter().map(|user| user.name.to_owned());
    for user in ours.chain(tools.iter().map(ExternalUser::user)) {
        let path = keys.nkey_public(&user);
        let key = fs::read_to_string(&path).map_err(|source| MissingPublicKey {
            path: path.clone(),
            source,
        })?;
        public.insert(user, key.trim().to_owned());
    }
    Ok(authorization_with(tools, |user| {
        public.get(user).cloned().unwrap_or_default()
    }))
}
