//! Secrets on command lines: `--password value`, `-u user:password`, `-pvalue` of database clients.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};
use crate::rarity::is_random_token;
use crate::strings::quoted;
use crate::syntax::unquoted_end;
use crate::value::{before, is_vacant};

/// What a command-line argument without a value announces for the next one.
pub(crate) fn bare_flag(argument: &str) -> Option<Naming> {
    let name = argument.strip_prefix('-')?;
    let is_read = name.trim_end_matches('.').ends_with("-stdin");
    if argument.contains(['=', ' ', ':']) || name.len() > 64 || is_read {
        return None;
    }
    match classify(name) {
        Naming::Ordinary => None,
        Naming::Weak if is_pin(name) => Some(Naming::Strong),
        naming => Some(naming),
    }
}

/// `--pin`, `--so-pin`: of a token or a store of keys.
fn is_pin(name: &str) -> bool {
    name.ends_with("-pin") || name == "pin"
}

/// What the API server has before each argument of a command that it runs in a container.
const COMMAND: &str = "command=";

/// Appends the values of secret flags in a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    for at in memchr::memchr_iter(b'-', text.as_bytes()) {
        let previous = text.as_bytes()[..at].last().copied().unwrap_or(b' ');
        let begins = matches!(
            previous,
            b' ' | b'"' | b'\'' | b'\t' | b'\n' | b'[' | b'(' | b',' | b'`'
        );
        if !begins && !text[..at].ends_with(COMMAND) {
            continue;
        }
        let length = text.as_bytes()[at..]
            .iter()
            .take(66)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            .count();
        let flag = &text[at..at + length];
        if let Some(naming) = bare_flag(flag) {
            hits.extend(next_argument(text, at + length, naming));
        } else if matches!(flag, "-u" | "--user" | "--proxy-user" | "-U") {
            hits.extend(user_and_password(text, at + length));
        } else if flag == "--from-literal" {
            hits.extend(literal(text, at + length));
        } else if OWN_FLAGS.iter().any(|(_, own)| *own == flag) {
            hits.extend(own_password(text, at, flag));
        } else if flag.starts_with("-p") && flag.len() <= 2 || flag == "-a" || flag == "-w" {
            hits.extend(short_password(text, at, flag));
        } else if flag.starts_with("-p") && !flag.starts_with("-p-") {
            hits.extend(glued_password(text, at));
        }
    }
}

fn next_argument(text: &str, from: usize, naming: Naming) -> Option<Hit> {
    let start = match text[from..]
        .strip_prefix("&")
        .and_then(|rest| rest.strip_prefix(COMMAND))
    {
        Some(rest) => text.len() - rest.len(),
        None => argument_start(text, from)?,
    };
    let (start, end) = argument(text, start)?;
    let value = &text[start..end];
    let is_flag = value.starts_with('-') && !value.bytes().any(|b| b.is_ascii_digit());
    (!is_flag && is_secret_value(naming, value)).then(|| Hit::secret(start, end, "flag"))
}

/// Skips what separates arguments: blanks, quotes and commas of lists, ` a4=` of audit records.
fn argument_start(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len()
        && at < from + 48
        && matches!(
            bytes[at],
            b' ' | b'\t' | b'"' | b'\'' | b',' | b'\\' | b'\n' | b'`'
        )
    {
        if matches!(bytes[at], b'"' | b'\'')
            && at > from
            && matches!(bytes[at - 1], b' ' | b',' | b'\n')
        {
            return Some(at);
        }
        at += 1;
    }
    if at == from || is_other_line(&text[from..at], &text[at..]) {
        return None;
    }
    let yaml = text[at..].strip_prefix("- ");
    let audit = audit_argument(text, at).map(|at| at - 1);
    Some(audit.unwrap_or_else(|| yaml.map_or(at, |rest| text.len() - rest.len())))
}

/// Whether what follows is another command: a line of several words, unless it is of a list or continues the one above.
fn is_other_line(gap: &str, rest: &str) -> bool {
    let above = gap.split_once('\n').map(|(above, _)| above);
    let line = rest.lines().next().unwrap_or_default().trim_end();
    let is_command = line.contains(' ') && !line.starts_with("- ");
    above.is_some_and(|above| !above.ends_with(['\\', ',']) && is_command)
}

/// Behind the quote of the next argument in an audit record: `a1="-u" a2="ada:x"`.
fn audit_argument(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix('a')?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("=\"")?;
    Some(text.len() - rest.len())
}

fn argument(text: &str, start: usize) -> Option<(usize, usize)> {
    if let Some((start, end, _)) = quoted(text, start) {
        return Some((start, end));
    }
    let end = unquoted_end(text, start);
    (start < end).then_some((start, end))
}

/// `-u user:password`.
fn user_and_password(text: &str, from: usize) -> Option<Hit> {
    let rest = &text[from..];
    let start = from
        + (rest.len()
            - rest
                .trim_start_matches([' ', '"', '\'', '=', '\\', ','])
                .len());
    if start == from || start > from + 6 {
        return None;
    }
    let start = audit_argument(text, start).unwrap_or(start);
    let opens = text[..start].ends_with(['"', '\'']) && !text[..start].ends_with(['\\']);
    let inside = opens.then(|| quoted(text, start - 1)).flatten();
    let end = match inside {
        Some((_, end, _)) if !text[start..end].contains('\n') => end,
        _ => unquoted_end(text, start),
    };
    let (user, password, end) = match text[start..end].split_once(':') {
        Some((user, password)) => (user, password, end),
        None if text[end..].starts_with(':') => (&text[start..end], "", end + 1),
        None => return None,
    };
    if password.is_empty() {
        let own = inside.is_none().then(|| quoted(text, end)).flatten();
        return behind_user(text, own, (start, user));
    }
    let plausible = (!user.is_empty() || inside.is_some())
        && !password.starts_with("//")
        && !is_vacant(password);
    let group = password.bytes().all(|b| b.is_ascii_digit()) && password.len() < 6;
    (plausible && !group).then(|| Hit::secret(start + user.len() + 1, end, "user-flag"))
}

/// The password in `user:password`, an argument by itself that begins at `start`.
pub(crate) fn password_of_user(argument: &str, start: usize) -> Option<Hit> {
    let (user, password) = argument.split_once(':')?;
    let from = start + user.len() + 1;
    is_secret_value(Naming::Password, password)
        .then(|| Hit::secret(from, from + password.len(), "user-flag"))
}

/// `user:'a password'`, and a key in the place of the name: `sk_live_abc123:`.
fn behind_user(
    text: &str,
    own: Option<(usize, usize, bool)>,
    (start, user): (usize, &str),
) -> Option<Hit> {
    match own {
        Some((from, to, _)) if !is_vacant(&text[from..to]) => {
            Some(Hit::secret(from, to, "user-flag"))
        }
        _ => is_random_token(user).then(|| Hit::secret(start, start + user.len(), "user-flag")),
    }
}

/// `kubectl create secret generic db --from-literal=key=value`.
fn literal(text: &str, from: usize) -> Option<Hit> {
    let line = before(text, from, 400).rsplit('\n').next()?;
    let rest = &text[from..text.floor_char_boundary(from + 100)];
    let (name, _) = rest.strip_prefix(['=', ' '])?.split_once('=')?;
    if !line.contains("secret ") || name.contains(['\n', ' ']) {
        return None;
    }
    let (start, end) = argument(text, from + name.len() + 2)?;
    let end = if name.starts_with(['"', '\'']) {
        start + text[start..end].trim_end_matches(['"', '\'']).len()
    } else {
        end
    };
    is_secret_value(Naming::Password, &text[start..end]).then(|| Hit::secret(start, end, "flag"))
}

/// Programs whose `-p` or `-a` is a password.
fn is_password_program(text: &str, at: usize) -> bool {
    let line = before(text, at, 400)
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    [
        "mysql",
        "mariadb",
        "redis-cli",
        "valkey-cli",
        "keydb-cli",
        "sshpass",
        "docker login",
        "podman login",
        "helm registry",
        "ldap",
        "mongo",
        "PsExec",
        "psexec",
        "rabbitmq",
        "curl",
        "smbclient",
        "sqlcmd",
        "osql",
        "bcp",
        "az login",
        "nexus",
        "oc login",
        "argocd login",
        "net use",
        "login -u",
        "wmic",
        "pscp",
        "plink",
        "putty",
        "isql",
        "cqlsh",
        "influx",
        "kinit",
        "keytool",
        "snowsql",
        "-u ",
        "-U ",
    ]
    .iter()
    .any(|program| line.contains(program))
}

/// Programs with a flag for a password that means something else for most others.
const OWN_FLAGS: &[(&str, &str)] = &[
    ("unzip ", "-P"),
    ("ipmitool ", "-P"),
    ("sqlcmd ", "-P"),
    ("osql ", "-P"),
    ("bcp ", "-P"),
    ("mosquitto_", "-P"),
    ("snmp", "-A"),
    ("snmp", "-X"),
    ("openssl ", "-k"),
    ("isql ", "-P"),
    ("slappasswd ", "-s"),
];

fn own_password(text: &str, at: usize, flag: &str) -> Option<Hit> {
    let line = before(text, at, 400);
    let line = line.rsplit('\n').next().unwrap_or_default();
    let mut own = OWN_FLAGS.iter().filter(|(_, own)| *own == flag);
    own.any(|(program, _)| line.contains(program))
        .then(|| next_argument(text, at + flag.len(), Naming::Password))
        .flatten()
}

fn short_password(text: &str, at: usize, flag: &str) -> Option<Hit> {
    if !is_password_program(text, at) {
        return None;
    }
    let line = before(text, at, 400)
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let applies = match flag {
        "-a" => ["redis-cli", "valkey-cli", "keydb-cli"]
            .iter()
            .any(|program| line.contains(program)),
        "-w" => line.contains("ldap"),
        _ => true,
    };
    let hit = next_argument(text, at + flag.len(), Naming::Password)?;
    let value = &text[hit.start..hit.end];
    let port = value.bytes().all(|b| b.is_ascii_digit() || b == b':');
    (applies && !port && !value.contains("://")).then_some(hit)
}

fn glued_password(text: &str, at: usize) -> Option<Hit> {
    if !is_password_program(text, at) {
        return None;
    }
    let (start, end) = argument(text, at + 2)?;
    let value = &text[start..end];
    let plausible = value.len() >= 4
        && !value.starts_with("ort")
        && !value.starts_with("ass")
        && !value.starts_with('=');
    // MySQL has a capital P for ports.
    let is_number = value.bytes().all(|b| b.is_ascii_digit());
    let mysql = is_number && value.len() >= 5 && before(text, at, 400).contains("mysql");
    let port = value.bytes().all(|b| b.is_ascii_digit() || b == b':') && !mysql;
    (plausible && !port && !is_vacant(value)).then(|| Hit::secret(start, end, "flag"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_values() {
        for (text, expected) in [
            ("server --password hunter2 --verbose", "hunter2"),
            ("exec '--api-key', 'abc-1'", "abc-1"),
            ("a3=\"--password\" a4=\"hunter2\"", "hunter2"),
            ("a1=\"-u\" a2=\"ada:hunter2\"", "hunter2"),
            ("curl -u admin:hunter2 http://x", "hunter2"),
            ("mysql -u root -phunter2 db", "hunter2"),
            ("redis-cli -h x -a hunter2 ping", "hunter2"),
            ("valkey-cli -h x -a hunter2 ping", "hunter2"),
            ("curl --user 'svc:hunter 2' http://x", "hunter 2"),
            ("curl --user svc:'hunter 2' http://x", "hunter 2"),
            ("curl -u \":hunter2\" http://x", "hunter2"),
            (
                "curl https://x -u sk_a1b2c3d4e5f6g7h8:",
                "sk_a1b2c3d4e5f6g7h8",
            ),
            (
                "kubectl create secret generic db --from-literal=x=hunter2",
                "hunter2",
            ),
            (
                "exec?command=psql&command=--password&command=hunter2&tty=true",
                "hunter2",
            ),
            ("args:\n- --token\n- hunter2\n", "hunter2"),
            ("run --token \\\n  hunter2", "hunter2"),
            ("isql -U sa -P hunter2 -S x", "hunter2"),
            ("slappasswd -s hunter2", "hunter2"),
            ("args: --token\n  hunter22xyz", "hunter22xyz"),
            ("mysql -uroot -p239758 -e x", "239758"),
            ("ipmitool -I lanplus -U root -P hunter2 chassis", "hunter2"),
            ("unzip -P hunter2 x.zip", "hunter2"),
            ("sqlcmd -S db -U SA -P 'hunter 2' -C", "hunter 2"),
            ("openssl enc -aes-256-cbc -k hunter2 -in a", "hunter2"),
            ("pkcs11-tool --login --so-pin hunter2 -O", "hunter2"),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "ssh -p 2222 host",
            "is insecure. Use --password-stdin.\nLogin Succeeded",
            "run --key-count 5",
            "docker run -u 1000:1000 x",
            "chown -u deploy: x",
            "--token --verbose",
            "curl --tlspassword\ncurl https://x",
            "nginx -p /etc/nginx",
            "scp -P hunter2 h: && curl -k hunter2",
            "a - b: password",
            "kubectl create configmap db --from-literal=x=hunter2",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
