//! The accounts of nats-server, as text of its configuration file.
//!
//! Nobody logs in where the streams are. Every user is alone in an account without JetStream that imports
//! the subjects of its permissions and nothing else: the server does not check where it is asked to send an
//! answer, and from there an answer reaches nothing that its user could not reach anyway. See
//! `docs/decisions/0017-an-account-for-each-user.md`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::iter;
use std::time::Duration;

use bonesetter_keys::{KeyDirectory, KeyError, Login};

use super::external::{
    COPIES, COPY_DELIVERY, EXTERNAL_ACCOUNT, IMPORTED_API, PIPELINE_ACCOUNT, PULL_EXPIRES,
};
use super::{ExternalUser, Permissions, USERS, User, external_permissions, permissions_with};

/// Connections of one external tool.
const TOOL_CONNECTIONS: u32 = 64;

/// Who may not ask this has it imported as well: where nobody answers it, the server imports the whole API
/// by itself, and answers every request a second time with the word that JetStream is not enabled here.
const INFO: &str = "$JS.API.INFO";

/// A request that is answered by any number of messages, not by one.
const PULL: &str = "$JS.API.CONSUMER.MSG.NEXT.";

/// How long the server remembers where the answers to a request of a service go, counted from the last
/// answer; it looks as often, so up to twice as long. Services wait two seconds, and five for a pull.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// As [`ANSWERED_WITHIN`], for external tools, whose pulls wait [`PULL_EXPIRES`] at the most.
const TOOLS_ANSWERED_WITHIN: Duration = Duration::from_secs(40);
const _: () = assert!(PULL_EXPIRES.as_secs() < TOOLS_ANSWERED_WITHIN.as_secs());

/// The variable that holds a user's public nkey in the generated configuration.
pub fn variable(user: &str) -> String {
    format!("BONESETTER_NKEY_{}", user.replace('-', "_").to_uppercase())
}

/// The `accounts` part of a nats-server configuration, with external tools; `nkeys` gives the public keys by
/// the name of a user: each of them logs in as that user.
pub fn authorization_with(tools: &[ExternalUser], nkeys: impl Fn(&str) -> Vec<String>) -> String {
    let ours = USERS.iter().map(|user| Member::ours(user, tools));
    let members: Vec<Member> = ours.chain(tools.iter().map(Member::tool)).collect();
    let mut text = String::from("accounts {\n");
    write_pipeline(&mut text, &members);
    write_external(&mut text, &members);
    for member in &members {
        member.write_account(&mut text, &nkeys(&member.name));
    }
    text.push_str("  SYS {}\n}\nsystem_account: SYS\n");
    text
}

/// A user, alone in an account of its name.
struct Member {
    name: String,
    /// The account that holds the streams it uses.
    streams: &'static str,
    permissions: Permissions,
    max_connections: Option<u32>,
}

impl Member {
    fn ours(user: &User, tools: &[ExternalUser]) -> Self {
        Self {
            name: user.name.to_owned(),
            streams: user.streams(),
            permissions: permissions_with(user, tools),
            max_connections: None,
        }
    }

    fn tool(tool: &ExternalUser) -> Self {
        Self {
            name: tool.user(),
            streams: EXTERNAL_ACCOUNT,
            permissions: external_permissions(tool),
            max_connections: Some(TOOL_CONNECTIONS),
        }
    }

    /// What it needs of the account that holds the streams.
    fn shares(&self) -> impl Iterator<Item = Share> {
        let publish = self.permissions.publish.iter();
        let services = publish.filter(|subject| *subject != INFO).cloned();
        let streams = self.permissions.subscribe.iter().cloned();
        iter::once(Share::Service(INFO.to_owned()))
            .chain(services.map(Share::Service))
            .chain(streams.map(Share::Stream))
    }

    fn write_account(&self, text: &mut String, nkeys: &[String]) {
        let _ = writeln!(text, "  {} {{", self.name);
        if let Some(limit) = self.max_connections {
            let _ = writeln!(text, "    limits {{ max_connections: {limit} }}");
        }
        text.push_str("    imports: [\n");
        for share in self.shares() {
            write_import(text, self.streams, &share, None);
        }
        text.push_str("    ]\n    users: [\n");
        for nkey in nkeys {
            self.write_user(text, nkey);
        }
        text.push_str("    ]\n  }\n");
    }

    fn write_user(&self, text: &mut String, nkey: &str) {
        let _ = writeln!(
            text,
            "      {{\n        nkey: {nkey}\n        permissions {{"
        );
        let Permissions {
            publish,
            subscribe,
            inbox,
        } = &self.permissions;
        write_allowed(text, "publish", publish);
        write_allowed(text, "subscribe", [inbox].into_iter().chain(subscribe));
        text.push_str("        }\n      }\n");
    }
}

/// What one account offers to another: to answer requests, or to pass on what is published.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    Service(String),
    Stream(String),
}

impl Share {
    const fn subject(&self) -> &String {
        let (Self::Service(subject) | Self::Stream(subject)) = self;
        subject
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service(_) => "service",
            Self::Stream(_) => "stream",
        })
    }
}

/// What the copies are fed by: the request to make a consumer under another prefix, flow control, and
/// what that consumer delivers.
fn feeding() -> impl Iterator<Item = (Share, Option<String>)> {
    let requests = COPIES.iter().flat_map(|copy| {
        let create = copy.consumer_create();
        let renamed = format!("{IMPORTED_API}.{create}");
        [
            (Share::Service(format!("$JS.API.{create}")), Some(renamed)),
            (Share::Service(copy.flow_control()), None),
        ]
    });
    requests.chain([(Share::Stream(format!("{COPY_DELIVERY}.>")), None)])
}

fn write_pipeline(text: &mut String, members: &[Member]) {
    let _ = writeln!(text, "  {PIPELINE_ACCOUNT} {{\n    jetstream: enabled");
    let feeding = feeding().map(|(share, _)| (share, EXTERNAL_ACCOUNT));
    let shares = shares_of(PIPELINE_ACCOUNT, members).chain(feeding);
    write_exports(text, shares, ANSWERED_WITHIN);
    text.push_str("  }\n");
}

fn write_external(text: &mut String, members: &[Member]) {
    let _ = writeln!(text, "  {EXTERNAL_ACCOUNT} {{\n    jetstream: enabled");
    text.push_str("    # What the copies are fed by, and nothing else.\n    imports: [\n");
    for (share, renamed) in feeding() {
        write_import(text, PIPELINE_ACCOUNT, &share, renamed.as_deref());
    }
    text.push_str("    ]\n");
    let shares = shares_of(EXTERNAL_ACCOUNT, members);
    write_exports(text, shares, TOOLS_ANSWERED_WITHIN);
    text.push_str("  }\n");
}

fn shares_of<'a>(
    account: &'static str,
    members: &'a [Member],
) -> impl Iterator<Item = (Share, &'a str)> {
    members
        .iter()
        .filter(move |member| member.streams == account)
        .flat_map(|member| member.shares().map(|share| (share, member.name.as_str())))
}

/// Each share once, with everybody who has it.
fn write_exports<'a>(
    text: &mut String,
    shares: impl Iterator<Item = (Share, &'a str)>,
    answered_within: Duration,
) {
    let mut takers = BTreeMap::<Share, Vec<&str>>::new();
    for (share, account) in shares {
        takers.entry(share).or_default().push(account);
    }
    text.push_str("    exports: [\n");
    for (share, accounts) in takers {
        let answers = answers(&share, answered_within);
        let subject = share.subject();
        let accounts = accounts.join(", ");
        let _ = writeln!(
            text,
            "      {{ {share}: \"{subject}\"{answers}, accounts: [{accounts}] }}"
        );
    }
    text.push_str("    ]\n");
}

/// How many answers there may be, and until when.
fn answers(share: &Share, within: Duration) -> String {
    let many = match share {
        Share::Stream(_) => return String::new(),
        Share::Service(subject) if subject.starts_with(PULL) => ", response_type: Stream",
        Share::Service(_) => "",
    };
    format!("{many}, response_threshold: \"{}s\"", within.as_secs())
}

fn write_import(text: &mut String, account: &str, share: &Share, renamed: Option<&str>) {
    let subject = share.subject();
    let to = renamed.map_or_else(String::new, |to| format!(", to: \"{to}\""));
    let _ = writeln!(
        text,
        "      {{ {share}: {{ account: {account}, subject: \"{subject}\" }}{to} }}"
    );
}

fn write_allowed<'a>(
    text: &mut String,
    verb: &str,
    subjects: impl IntoIterator<Item = &'a String>,
) {
    let _ = writeln!(text, "          {verb} {{ allow: [");
    for subject in subjects {
        let _ = writeln!(text, "            \"{subject}\"");
    }
    text.push_str("          ] }\n");
}

/// The public keys of a user cannot be told.
#[derive(Debug, thiserror::Error)]
#[error(
    "no public keys of {user}: {source}; `bonesetter keys external` makes those of an external tool"
)]
pub struct MissingPublicKey {
    user: String,
    source: KeyError,
}

/// As [`authorization_with`], with the public keys of a set.
pub fn authorization_of(
    keys: &KeyDirectory,
    tools: &[ExternalUser],
) -> Result<String, MissingPublicKey> {
    let mut public = BTreeMap::new();
    let ours = USERS.iter().map(|user| user.name.to_owned());
    for user in ours.chain(tools.iter().map(ExternalUser::user)) {
        let known = Login::of(&user).public_keys(keys);
        let known = known.map_err(|source| MissingPublicKey {
            user: user.clone(),
            source,
        })?;
        public.insert(user, known);
    }
    Ok(authorization_with(tools, |user| {
        public.get(user).cloned().unwrap_or_default()
    }))
}
