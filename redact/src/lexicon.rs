//! Which names announce a secret.

/// How much a name says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Naming {
    /// Nothing.
    Ordinary,
    /// The value is a secret if it looks random.
    Weak,
    /// Any value that is not vacant is a secret.
    Strong,
    /// A password: even words and numbers are secrets.
    Password,
}

const PASSWORDS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "pass",
    "pw",
    "passwort",
    "psw",
];
const PASSWORD_ENDINGS: &[&str] = &["password", "passwd", "passphrase", "passcode", "pwd"];
const STRONG: &[&str] = &[
    "secret",
    "secrets",
    "token",
    "tokens",
    "credential",
    "credentials",
    "creds",
    "cred",
    "apikey",
    "apikeys",
    "apitoken",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "jwt",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "authtoken",
    "sessionid",
    "connectionstring",
    "accountkey",
    "sas",
    "dockerconfigjson",
    "dockercfg",
    "authinfo",
    "otp",
    "mfa",
];
const STRONG_ENDINGS: &[&str] = &[
    "secret",
    "token",
    "credential",
    "credentials",
    "apikey",
    "secretkey",
    "privatekey",
    "accesskey",
    "encryptionkey",
];
const WEAK: &[&str] = &[
    "key",
    "keys",
    "auth",
    "access",
    "private",
    "sig",
    "signature",
    "session",
    "sid",
    "pat",
    "dsn",
    "webhook",
    "salt",
    "nonce",
    "hmac",
    "code",
    "login",
    "license",
    "seed",
    "sign",
    "ssh",
    "pin",
    "pem",
    "credentialsid",
    "assertion",
    "ticket",
    "kubeconfig",
];
const WEAK_ENDINGS: &[&str] = &["key", "auth", "access", "private", "dsn", "sessionid"];
/// A `key` after one of these is a secret.
const KEY_OWNERS: &[&str] = &[
    "api",
    "access",
    "secret",
    "private",
    "encryption",
    "encrypt",
    "decryption",
    "signing",
    "auth",
    "account",
    "shared",
    "master",
    "license",
    "client",
    "service",
    "admin",
    "app",
    "application",
    "hmac",
    "aes",
    "rsa",
    "ssh",
    "storage",
    "session",
    "integration",
    "subscription",
    "consumer",
    "deploy",
    "write",
    "read",
    "ingest",
    "webhook",
    "vault",
    "jwt",
    "ingestion",
    "write",
    "priv",
    "host",
    "root",
    "server",
];
/// A `key` after one of these, or any of these names, is ordinary.
const ORDINARY_OWNERS: &[&str] = &[
    "public",
    "pub",
    "primary",
    "foreign",
    "cache",
    "partition",
    "sort",
    "row",
    "unique",
    "duplicate",
    "routing",
    "idempotency",
    "topology",
    "node",
    "label",
    "annotation",
    "object",
    "hash",
    "shard",
    "index",
    "group",
    "map",
    "column",
    "composite",
    "config",
    "hot",
    "issue",
    "translation",
    "message",
    "event",
    "registry",
    "press",
    "etcd",
    "lock",
    "metric",
    "dedup",
    "max",
    "min",
    "prompt",
    "completion",
    "total",
    "input",
    "output",
    "cached",
    "num",
    "csrf",
    "xsrf",
    "syntax",
    "unexpected",
    "next",
    "page",
    "continuation",
    "continue",
    "publishable",
    "cursor",
    "pagination",
];
/// After one of these at the end, a name says something about the secret and not the secret.
const ABOUT: &[&str] = &[
    "count",
    "counts",
    "type",
    "types",
    "url",
    "uri",
    "endpoint",
    "expiry",
    "expires",
    "expire",
    "expiration",
    "exp",
    "ttl",
    "lifetime",
    "age",
    "name",
    "names",
    "ref",
    "refs",
    "policy",
    "policies",
    "length",
    "len",
    "size",
    "limit",
    "limits",
    "ids",
    "version",
    "format",
    "field",
    "header",
    "provider",
    "issuer",
    "dir",
    "directory",
    "location",
    "enabled",
    "required",
    "valid",
    "status",
    "state",
    "algorithm",
    "alg",
    "index",
    "manager",
    "store",
    "spec",
    "class",
    "rotation",
    "reset",
    "hint",
    "error",
    "errors",
    "usage",
    "budget",
    "cost",
    "rate",
    "per",
    "kind",
    "mode",
    "checksum",
    "fingerprint",
    "prefix",
    "suffix",
    "label",
    "labels",
    "variable",
    "selector",
    "projection",
    "mount",
    "path",
    "file",
    "files",
    "filename",
    "source",
    "space",
    "word",
    "board",
    "frame",
    "validation",
    "validator",
    "seconds",
    "minutes",
    "hours",
    "days",
    "ms",
    "at",
    "time",
    "timeout",
    "date",
    "review",
    "request",
    "requests",
    "controller",
    "server",
    "host",
    "port",
    "service",
    "pool",
    "bucket",
    "cache",
    "hit",
    "hits",
    "ratio",
    "encoding",
    "generator",
    "rotator",
    "helper",
    "handler",
    "scope",
    "scopes",
    "audience",
    "exists",
    "missing",
    "mismatch",
    "failed",
    "failure",
    "agent",
    "bytes",
    "used",
    "available",
    "user",
    "username",
    "email",
    "domain",
    "region",
    "retries",
    "interval",
    "hashes",
    "provisioner",
    "driver",
    "resource",
    "group",
    "role",
    "namespace",
    "interactive",
    "pair",
];

/// What a name such as `DB_PASSWORD`, `vaultToken` or `x-api-key` announces.
pub(crate) fn classify(name: &str) -> Naming {
    let words = split(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut end, mut about) = (words.len(), false);
    while end > 1
        && (is_counter(words[end - 1])
            || words[end - 1] == "content"
            || words[end - 1] == "value"
            || words[end - 1] == "base64"
            || words[end - 1] == "b64")
    {
        end -= 1;
    }
    if end > 1 && ABOUT.contains(&words[end - 1]) {
        about = true;
    }
    let head = &words[..end];
    let class = strongest(head);
    if !about {
        return class;
    }
    let before_content =
        end < words.len() && matches!(words[end], "content" | "value" | "base64" | "b64");
    if before_content {
        class
    } else {
        Naming::Ordinary
    }
}

fn strongest(words: &[&str]) -> Naming {
    let mut class = Naming::Ordinary;
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| words[i]);
        class = class.max(one(word, before, index + 1 == words.len()));
    }
    if words.len() >= 2
        && words.first().is_some_and(|w| ORDINARY_OWNERS.contains(w))
        && class <= Naming::Strong
        && !words.iter().any(|w| {
            matches!(
                *w,
                "secret" | "secrets" | "credential" | "credentials" | "private"
            )
        })
    {
        return Naming::Ordinary;
    }
    class
}

fn one(word: &str, before: Option<&str>, last: bool) -> Naming {
    if PASSWORDS.contains(&word)
        || (word.len() > 5 && PASSWORD_ENDINGS.iter().any(|end| word.ends_with(end)))
    {
        return if word == "pass" && !last {
            Naming::Weak
        } else {
            Naming::Password
        };
    }
    if STRONG.contains(&word) || STRONG_ENDINGS.iter().any(|end| word.ends_with(end)) {
        return Naming::Strong;
    }
    if matches!(word, "key" | "keys") {
        return match before {
            Some(owner) if ORDINARY_OWNERS.contains(&owner) => Naming::Ordinary,
            Some(owner) if KEY_OWNERS.contains(&owner) => Naming::Strong,
            _ => Naming::Weak,
        };
    }
    if WEAK.contains(&word)
        || (last
            && word.len() > 5
            && !is_ordinary_word(word)
            && WEAK_ENDINGS.iter().any(|end| word.ends_with(end)))
    {
        return Naming::Weak;
    }
    Naming::Ordinary
}

fn is_ordinary_word(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "monkey",
        "donkey",
        "turkey",
        "hockey",
        "jockey",
        "whiskey",
        "publickey",
        "primarykey",
        "foreignkey",
        "hotkey",
        "turnkey",
        "passkey",
        "cachekey",
        "partitionkey",
        "pubkey",
        "mickey",
        "lowkey",
        "rowkey",
        "sortkey",
    ];
    WORDS.contains(&word)
}

fn is_counter(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
        || matches!(
            word,
            "v1" | "v2"
                | "v3"
                | "prod"
                | "dev"
                | "test"
                | "staging"
                | "old"
                | "new"
                | "current"
                | "previous"
                | "backup"
                | "secondary"
        )
}

/// Splits a name at separators, camelCase humps and between letters and digits; in lower case.
pub(crate) fn split(name: &str) -> Vec<String> {
    let bytes = name.as_bytes();
    let mut words = Vec::new();
    let mut word = String::new();
    for (index, &byte) in bytes.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            push(&mut words, &mut word);
            continue;
        }
        let previous = index.checked_sub(1).map_or(b' ', |i| bytes[i]);
        let next = bytes.get(index + 1).copied().unwrap_or(b' ');
        let hump = byte.is_ascii_uppercase()
            && (previous.is_ascii_lowercase()
                || previous.is_ascii_digit()
                || (previous.is_ascii_uppercase() && next.is_ascii_lowercase()));
        if hump {
            push(&mut words, &mut word);
        }
        word.push(char::from(byte.to_ascii_lowercase()));
    }
    push(&mut words, &mut word);
    words
}

fn push(words: &mut Vec<String>, word: &mut String) {
    let trimmed = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if !trimmed.is_empty() && trimmed.len() < word.len() && trimmed.len() > 2 {
        let digits = word[trimmed.len()..].to_owned();
        words.push(trimmed.to_owned());
        words.push(digits);
        word.clear();
    } else if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// The rule of the specification for env names: contains one of five words, in any case.
pub(crate) fn is_secret_env(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["SECRET", "TOKEN", "PASSWORD", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| upper.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "DB_PASSWORD",
            "dbPassword",
            "PGPASSWORD",
            "client_secret",
            "clientSecret",
            "authToken",
            "X-Api-Key",
            "apiKey",
            "APIKEY",
            "AWS_SECRET_ACCESS_KEY",
            "vaultToken",
            "holisticTOKEN",
            "some_api_token_123",
            "PASSWORD_FILE_CONTENT",
            "secret_key_base",
            "bot_token6",
            "registry.auth.password",
            "Encryption_Key",
            "db.pass",
            "SASL_PASSWORD",
            "azure_credentials",
            "--password",
        ] {
            assert!(classify(name) >= Naming::Strong, "{name} {:?}", split(name));
        }
    }

    #[test]
    fn names_of_maybe_secrets() {
        for name in [
            "SENTRY_key",
            "key",
            "finnhub_access",
            "buddynsPRIVATE",
            "sentry_dsn",
            "auth",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert!(classify(name) >= Naming::Weak, "{name} {:?}", split(name));
        }
    }

    #[test]
    fn ordinary_names() {
        for name in [
            "MONKEY",
            "primary_key",
            "keyspace",
            "token_count",
            "max_tokens",
            "prompt_tokens",
            "secretName",
            "secret_name",
            "keyCount",
            "public_key",
            "token_url",
            "tokenExpiry",
            "passwordPolicy",
            "keyboard",
            "user",
            "compass",
            "author",
            "password_file",
            "TokenFile",
            "partitionKey",
            "kubernetes",
            "topologyKey",
        ] {
            assert_eq!(classify(name), Naming::Ordinary, "{name} {:?}", split(name));
        }
    }

    #[test]
    fn the_broad_rule_of_env_names() {
        for name in [
            "MONKEY",
            "my_token_count",
            "Secretary",
            "aPasswordX",
            "CREDENTIALS",
        ] {
            assert!(is_secret_env(name), "{name}");
        }
        assert!(!is_secret_env("PGPASS"));
    }
}
