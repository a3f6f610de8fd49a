//! Credentials in URLs and connection strings: `scheme://user:password@host`, `user:password@tcp(host)`.

use std::ops::Range;

use crate::engine::Hit;
use crate::rarity::is_random_token;
use crate::value::{before, is_vacant};

/// The longest login and the longest host where there is no scheme.
const LONGEST_NAME: usize = 160;
const SHORTEST_PASSWORD: usize = 4;

/// Appends the credentials of all URLs in a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    for at in memchr::memmem::find_iter(text.as_bytes(), "://") {
        url(text, at + 3, hits);
    }
    for needle in ["@tcp(", "@unix(", "@udp(", "@("] {
        for at in memchr::memmem::find_iter(text.as_bytes(), needle) {
            driver(text, at, hits);
        }
    }
    for at in memchr::memchr_iter(b'@', text.as_bytes()) {
        if let Some(Range { start, end }) = login_at_host(text.as_bytes(), at) {
            hits.push(Hit::secret(start, end, "dsn-password"));
        }
    }
}

/// The password of `user:password@host.example:443/x`, which has no scheme: a port or a path is what tells it from an
/// address of mail behind a name.
pub(crate) fn login_at_host(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    const SCHEMES: [&[u8]; 6] = [b"sip", b"sips", b"mailto", b"acct", b"to", b"from"];
    let is_of_words = |b: &u8| b.is_ascii_lowercase() || *b == b'-';
    let is_host = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let rest = &bytes[at + 1..bytes.len().min(at + 1 + LONGEST_NAME)];
    let host = rest.iter().take_while(is_host).count();
    let port = rest.get(host..).unwrap_or_default();
    let digits = port.iter().skip(1).take_while(|b| b.is_ascii_digit());
    let digits = digits.count();
    let has_port = port.first() == Some(&b':')
        && (2..=5).contains(&digits)
        && !port.get(1 + digits).is_some_and(u8::is_ascii_alphanumeric);
    let has_dot = memchr::memchr(b'.', &rest[..host]).is_some();
    let has_path = has_dot
        && port.first() == Some(&b'/')
        && port.get(1).is_some_and(u8::is_ascii_alphanumeric);
    if host == 0 || !has_port && !has_path {
        return None;
    }
    let head = &bytes[at.saturating_sub(LONGEST_NAME)..at];
    let is_inside = |b: &&u8| b.is_ascii_graphic() && !b"\"'`<>()[]{}=,;|/@".contains(b);
    let length = head.iter().rev().take_while(is_inside).count();
    let login = &head[head.len() - length..];
    let colon = memchr::memchr(b':', login)?;
    let (user, password) = (&login[..colon], &login[colon + 1..]);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_login = !user.is_empty()
        && user.iter().all(is_name)
        && !SCHEMES.contains(&user)
        && password.len() >= SHORTEST_PASSWORD
        && !password.iter().all(is_of_words)
        && (has_port && has_dot || password.iter().any(u8::is_ascii_digit))
        && !is_version(password)
        && !password.contains(&b':');
    is_login.then(|| at - password.len()..at)
}

fn url(text: &str, start: usize, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let domain = domain_of_user(&bytes[start..]);
    let rest = bytes[start + domain..].iter().take(4096);
    let length = domain + rest.take_while(|b| !is_url_end(**b)).count();
    let rest = &text[start..text.floor_char_boundary(start + length)];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let userinfo = match authority.rfind('@') {
        Some(at) => &rest[..at],
        None => match unescaped_userinfo(rest, authority) {
            Some(userinfo) => userinfo,
            None => return,
        },
    };
    let (user, password) = user_and_password(userinfo);
    if !is_vacant(password) && !is_placeholder_like(password) {
        let from = start + user.len() + 1;
        hits.push(Hit::secret(from, start + userinfo.len(), "url-password"));
    }
    let token_user =
        password.is_empty() && user.len() >= 16 && !is_of_actors(&bytes[..start - "://".len()])
            || matches!(password, "x-oauth-basic" | "x-token-auth");
    if user.len() >= 12
        && (is_random_token(user) || token_user && !user.contains('.'))
        && !user.contains("%40")
        && !is_vacant(user)
    {
        hits.push(Hit::secret(start, start + user.len(), "url-user"));
    }
}

/// `akka.tcp://sparkDriver@host:4040`, `spark://CoarseGrainedScheduler@host`: before the host stands the name of a system of actors.
fn is_of_actors(head: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 4] = [b"akka", b"akka.tcp", b"pekko", b"spark"];
    SCHEMES.iter().any(|scheme| {
        let before = head.strip_suffix(*scheme);
        before.is_some_and(|before| !before.last().is_some_and(u8::is_ascii_alphanumeric))
    })
}

/// `v1.2.3`: the tag of an image.
fn is_version(tag: &[u8]) -> bool {
    let tag = tag.strip_prefix(b"v").unwrap_or(tag);
    tag.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

/// Both sides of the colon that is in no variable: `${DB_USER:-app}:${DB_PASSWORD}`.
fn user_and_password(userinfo: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some(open) = userinfo[from..].find("${").map(|at| from + at)
        && !userinfo[from..open].contains(':')
        && let Some(length) = userinfo[open..].find('}')
    {
        from = open + length;
    }
    match userinfo[from..].find(':') {
        Some(colon) => (&userinfo[..from + colon], &userinfo[from + colon + 1..]),
        None => (userinfo, ""),
    }
}

/// The length of the domain before a user of Windows: `CORP\\ada:x@host`, escaped or not.
fn domain_of_user(rest: &[u8]) -> usize {
    let is_name = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let name = rest.iter().take(64).take_while(is_name).count();
    let slashes = rest[name..].iter().take_while(|b| **b == b'\\').count();
    let user = rest[name + slashes..]
        .iter()
        .take(64)
        .take_while(is_name)
        .count();
    let is_login = name > 0
        && (1..=2).contains(&slashes)
        && user > 0
        && rest.get(name + slashes + user) == Some(&b':');
    if is_login { name + slashes } else { 0 }
}

/// Whether a password is the name of where it comes from.
fn is_placeholder_like(password: &str) -> bool {
    password.starts_with("${")
        || password.starts_with("$(")
        || password.starts_with("{{")
        || password.starts_with("%s")
}

fn is_url_end(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\')
        || byte == b'|'
}

/// A password with an unescaped `/`, `?` or `#`: there is no port after the colon, and an `@` later.
fn unescaped_userinfo<'a>(rest: &'a str, authority: &str) -> Option<&'a str> {
    let (_, after) = authority.split_once(':')?;
    let port = after.bytes().all(|b| b.is_ascii_digit()) && !after.is_empty();
    let at = rest.rfind('@')?;
    (!port && !rest[..at].contains("://")).then(|| &rest[..at])
}

/// `user:password@tcp(host:3306)`, `user:password@(host:3306)` of Go's `MySQL` driver.
fn driver(text: &str, at: usize, hits: &mut Vec<Hit>) {
    let head = before(text, at, 1024);
    let floor = at - head.len();
    let start = head
        .rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '='))
        .map_or(0, |i| i + 1);
    let head = head.get(start..).unwrap_or_default();
    if let Some((user, password)) = head.split_once(':')
        && !is_vacant(password)
    {
        hits.push(Hit::secret(
            floor + start + user.len() + 1,
            at,
            "dsn-password",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_passwords() {
        for (text, expected) in [
            ("postgres://app:s3cr3t@db:5432/x", "s3cr3t"),
            ("amqp://u:p@ss@host/", "p@ss"),
            ("redis://:hunter2@cache:6379/0", "hunter2"),
            ("postgres://app:s3/cr?t@db:5432/x", "s3/cr?t"),
            ("dsn root:hunter2@tcp(db:3306)/x", "hunter2"),
            ("DATA_SOURCE_NAME=root:hunter2@(db:3306)/", "hunter2"),
            ("http://corp\\\\ada:hunter2@proxy:3128", "hunter2"),
            ("ada:hunter2@eu1.example.com:443/RAW", "hunter2"),
            (
                "https://0123456789abcdef0123456789abcdef@sentry.io/1",
                "0123456789abcdef0123456789abcdef",
            ),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "http://db:5432/path@2x.png",
            "https://host/path",
            "postgres://$USER:${PW}@db/x",
            "ssh://git@github.com/a/b",
            "a://b:****@c",
            "to:ada@mail.example.com:25",
            "user:ada@example.com",
            "https://h.example.com\\n",
            "[akka.tcp://sparkExecutorActorSystem@mesos-slave-07:55904]",
            "https://ada.lovelace%40example.com@p28-contacts.example.com/1/principal",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
