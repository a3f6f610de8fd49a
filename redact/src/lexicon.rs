//! Which names announce a secret. The words are data: `lexicon.txt`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

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

/// The sections of `lexicon.txt`.
struct Lexicon {
    sections: HashMap<&'static str, HashSet<&'static str>>,
    /// The sections of endings, as lists.
    endings: HashMap<&'static str, Vec<&'static str>>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut sections: HashMap<_, HashSet<_>> = HashMap::new();
    let mut section = "";
    for line in include_str!("../lexicon.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        match line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            Some(name) => section = name,
            None => sections
                .entry(section)
                .or_default()
                .extend(line.split_whitespace()),
        }
    }
    let endings = sections
        .iter()
        .map(|(name, words)| (*name, words.iter().copied().collect()));
    Lexicon {
        endings: endings.collect(),
        sections,
    }
});

/// Whether a word, in lower case, is in a section of `lexicon.txt`.
pub(crate) fn is_in(section: &str, word: &str) -> bool {
    LEXICON
        .sections
        .get(section)
        .is_some_and(|words| words.contains(word))
}

fn ends_in(section: &str, word: &str) -> bool {
    word.len() > 5
        && LEXICON
            .endings
            .get(section)
            .into_iter()
            .flatten()
            .any(|end| word.ends_with(end))
}

/// Whether a word is the name of a service that hands out keys, also with `api` or `app` after it.
pub(crate) fn is_vendor(word: &str) -> bool {
    let bare = word
        .strip_suffix("api")
        .or_else(|| word.strip_suffix("app"))
        .unwrap_or(word);
    is_in("vendor", word) || bare.len() >= 3 && is_in("vendor", bare)
}

/// What a name such as `DB_PASSWORD`, `vaultToken` or `x-api-key` announces.
pub(crate) fn classify(name: &str) -> Naming {
    let words = split(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_form = |word: &str| matches!(word, "content" | "value" | "base64" | "b64");
    let mut end = words.len();
    while end > 1 && (is_counter(words[end - 1]) || is_form(words[end - 1])) {
        end -= 1;
    }
    let class = strongest(&words[..end]);
    let about = end > 1 && is_in("about", words[end - 1]);
    let formed = words.get(end).is_some_and(|word| is_form(word));
    if about && !formed {
        about_secret(&words[..end], class)
    } else {
        class
    }
}

/// `password_hash`, `secret_id` and `access_key_id` are secrets themselves; `token_count` is not.
fn about_secret(words: &[&str], class: Naming) -> Naming {
    let before = words[words.len() - 2];
    match words[words.len() - 1] {
        "hash" if class == Naming::Password => class,
        "id" if before == "secret" || before == "session" => Naming::Strong,
        "id" if words.ends_with(&["access", "key", "id"]) => Naming::Weak,
        _ => Naming::Ordinary,
    }
}

fn strongest(words: &[&str]) -> Naming {
    let mut class = Naming::Ordinary;
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| words[i]);
        class = class.max(one(word, before, index + 1 == words.len()));
    }
    let leads = words.len() >= 2 && is_in("ordinary-lead", words[0]) && class <= Naming::Strong;
    let sure = |word: &&str| {
        matches!(
            *word,
            "secret" | "secrets" | "credential" | "credentials" | "private"
        )
    };
    if leads && !words.iter().any(sure) {
        Naming::Ordinary
    } else {
        class
    }
}

fn one(word: &str, before: Option<&str>, last: bool) -> Naming {
    if is_in("ordinary", word) {
        return Naming::Ordinary;
    }
    if is_in("password", word) || ends_in("password-ending", word) {
        return if word == "pass" && !last {
            Naming::Weak
        } else {
            Naming::Password
        };
    }
    if is_in("strong", word) || ends_in("strong-ending", word) {
        return Naming::Strong;
    }
    if matches!(word, "key" | "keys") {
        return match before {
            Some(owner) if is_in("ordinary-owner", owner) => Naming::Ordinary,
            Some(owner) if is_in("key-owner", owner) => Naming::Strong,
            _ => Naming::Weak,
        };
    }
    let weak = is_in("weak", word) || is_vendor(word) || last && ends_in("weak-ending", word);
    if weak { Naming::Weak } else { Naming::Ordinary }
}

fn is_counter(word: &str) -> bool {
    const STAGES: &[&str] = &[
        "v1",
        "v2",
        "v3",
        "prod",
        "dev",
        "test",
        "staging",
        "old",
        "new",
        "current",
        "previous",
        "backup",
        "secondary",
    ];
    word.bytes().all(|b| b.is_ascii_digit()) || STAGES.contains(&word)
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
