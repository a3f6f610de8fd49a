//! Credentials in URLs and connection strings: `scheme://user:password@host`, `user:password@tcp(host)`.

use crate::engine::Hit;
use crate::rarity::is_random_token;
use crate::value::{before, is_vacant};

/// Appends the credentials of all URLs in a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    for at in memchr::memmem::find_iter(text.as_bytes(), "://") {
        url(text, at + 3, hits);
    }
    for needle in ["@tcp(", "@unix(", "@udp("] {
        for at in memchr::memmem::find_iter(text.as_bytes(), needle) {
            driver(text, at, hits);
        }
    }
}

fn url(text: &str, start: usize, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let length = bytes[start..]
        .iter()
        .take(4096)
        .take_while(|b| !is_url_end(**b))
        .count();
    let rest = &text[start..text.floor_char_boundary(start + length)];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let userinfo = match authority.rfind('@') {
        Some(at) => &rest[..at],
        None => match unescaped_userinfo(rest, authority) {
            Some(userinfo) => userinfo,
            None => return,
        },
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if !is_vacant(password) && !is_placeholder_like(password) {
        let from = start + user.len() + 1;
        hits.push(Hit::secret(from, start + userinfo.len(), "url-password"));
    }
    let token_user = password.is_empty() && user.len() >= 16
        || matches!(password, "x-oauth-basic" | "x-token-auth");
    if user.len() >= 12
        && (is_random_token(user) || token_user && !user.contains('.'))
        && !is_vacant(user)
    {
        hits.push(Hit::secret(start, start + user.len(), "url-user"));
    }
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

/// `user:password@tcp(host:3306)` of Go's `MySQL` driver.
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

    fn found(text: &str) -> Vec<&str> {
        let mut hits = vec![];
        scan(text, &mut hits);
        hits.iter().map(|hit| &text[hit.start..hit.end]).collect()
    }

    #[test]
    fn takes_out_passwords() {
        for (text, expected) in [
            ("postgres://app:s3cr3t@db:5432/x", "s3cr3t"),
            ("amqp://u:p@ss@host/", "p@ss"),
            ("redis://:hunter2@cache:6379/0", "hunter2"),
            ("postgres://app:s3/cr?t@db:5432/x", "s3/cr?t"),
            ("dsn root:hunter2@tcp(db:3306)/x", "hunter2"),
            (
                "https://0123456789abcdef0123456789abcdef@sentry.io/1",
                "0123456789abcdef0123456789abcdef",
            ),
        ] {
            assert_eq!(found(text), [expected], "{text}");
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
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
