//! Which names announce a secret. The words are data: `lexicon.txt`.

use table::{ends_in, may_be_word, sections_of};
pub(crate) use table::{is_in, words};
use words::Words;

mod table;
mod words;

/// The longest name that is looked at, from its end: longer ones are no names.
const LONGEST: usize = 128;

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

/// A section of `lexicon.txt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Password,
    PasswordEnding,
    Strong,
    StrongEnding,
    Weak,
    WeakEnding,
    KeyOwner,
    OrdinaryOwner,
    OrdinaryLead,
    Ordinary,
    About,
    Vendor,
    EmptyValue,
    CommonValue,
}

impl Section {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "password" => Self::Password,
            "password-ending" => Self::PasswordEnding,
            "strong" => Self::Strong,
            "strong-ending" => Self::StrongEnding,
            "weak" => Self::Weak,
            "weak-ending" => Self::WeakEnding,
            "key-owner" => Self::KeyOwner,
            "ordinary-owner" => Self::OrdinaryOwner,
            "ordinary-lead" => Self::OrdinaryLead,
            "ordinary" => Self::Ordinary,
            "about" => Self::About,
            "vendor" => Self::Vendor,
            "empty-value" => Self::EmptyValue,
            "common-value" => Self::CommonValue,
            _ => return None,
        })
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Whether a word is the name of a service that hands out keys, also with `api` or `app` after it.
pub(crate) fn is_vendor(word: &str) -> bool {
    let bytes = word.as_bytes();
    let bare = bytes.len().checked_sub(3).map(|end| bytes.split_at(end));
    let bare = bare
        .filter(|(_, end)| end.eq_ignore_ascii_case(b"api") || end.eq_ignore_ascii_case(b"app"));
    if !may_be_word(bytes) && !bare.is_some_and(|(bare, _)| may_be_word(bare)) {
        return false;
    }
    let mut lower = [0; 40];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return false;
    };
    lower.copy_from_slice(bytes);
    lower.make_ascii_lowercase();
    is_vendor_word(lower)
}

/// Whether a key of that is public: `public`, `primary`, `cache`.
pub(crate) fn is_public_owner(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| is_in(Section::OrdinaryOwner, word))
}

fn is_vendor_word(word: &[u8]) -> bool {
    let is_one = |word: &[u8]| sections_of(word) & Section::Vendor.bit() != 0;
    let bare = word
        .strip_suffix(b"api")
        .or_else(|| word.strip_suffix(b"app"));
    is_one(word) || bare.is_some_and(|bare| bare.len() >= 3 && is_one(bare))
}

/// What a name such as `DB_PASSWORD`, `vaultToken` or `x-api-key` announces.
pub(crate) fn classify(name: &str) -> Naming {
    let Some(name) = without_domain(name) else {
        return Naming::Ordinary;
    };
    let name = &name.as_bytes()[name.len().saturating_sub(LONGEST)..];
    let class = classify_words(&Words::of(name));
    if class == Naming::Ordinary && is_scrambled(name) {
        return classify_words(&Words::of(&name.to_ascii_lowercase()));
    }
    class
}

/// `tOkEn`, `my.sECreT`: written in letters of changing case, as who tests whether case matters does.
fn is_scrambled(name: &[u8]) -> bool {
    let start = name
        .iter()
        .rposition(|b| !b.is_ascii_alphabetic())
        .map_or(0, |at| at + 1);
    let word = &name[start..];
    let is_change = |pair: &&[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    let changes = word.windows(2).filter(is_change).count();
    changes >= 2 && word.len() <= 3 * changes
}

/// Of `authorization.k8s.io/decision` only the end names the value; `checksum/secret` names a digest.
fn without_domain(name: &str) -> Option<&str> {
    match name.rsplit_once('/') {
        Some(("checksum", _)) => None,
        Some((domain, name)) if domain.contains('.') && !name.is_empty() => Some(name),
        _ => Some(name),
    }
}

fn classify_words(words: &Words) -> Naming {
    let mut end = words.count;
    while end > 1 && (is_counter(words.get(end - 1)) || is_form(words.get(end - 1))) {
        end -= 1;
    }
    if end == 0 {
        return Naming::Ordinary;
    }
    let class = strongest(words, end);
    let class = match class {
        Naming::Strong if is_place(words, end) => Naming::Weak,
        class => class,
    };
    let about = end > 1 && sections_of(words.get(end - 1)) & Section::About.bit() != 0;
    let formed = end < words.count && is_form(words.get(end));
    if about && !formed {
        about_secret(words, end, class)
    } else {
        class
    }
}

/// `keyVaultToStoreSecrets`: where secrets are kept.
fn is_place(words: &Words, end: usize) -> bool {
    let is_store = |index| matches!(words.get(index), b"vault" | b"store");
    words.get(end - 1) == b"secrets" && (0..end - 1).any(is_store)
}

/// Whether one of these is among the words of a name.
pub(crate) fn has_word(name: &str, among: &[&str]) -> bool {
    let words = Words::of(&name.as_bytes()[name.len().saturating_sub(LONGEST)..]);
    (0..words.count).any(|index| among.iter().any(|word| word.as_bytes() == words.get(index)))
}

/// Whether a name is that of a signature: in a URL it gives access, in a document everybody may check it.
pub(crate) fn is_signature(name: &str) -> bool {
    let words = Words::of(&name.as_bytes()[name.len().saturating_sub(LONGEST)..]);
    words.count == 1 && matches!(words.get(0), b"signature" | b"signatures")
}

/// Whether a name says that its value is something about a secret, or public.
pub(crate) fn is_about(name: &str) -> bool {
    let name = &name.as_bytes()[name.len().saturating_sub(LONGEST)..];
    let words = Words::of(name);
    let Some(mut last) = words.count.checked_sub(1).filter(|last| *last > 0) else {
        return false;
    };
    // `checksum-sha256`
    last -= usize::from(last > 1 && words.get(last - 1) == b"sha");
    let ends = sections_of(words.get(last)) & Section::About.bit() != 0;
    let leads = sections_of(words.get(0)) & Section::OrdinaryLead.bit() != 0;
    (ends || leads) && classify_words(&words) == Naming::Ordinary
}

fn is_form(word: &[u8]) -> bool {
    matches!(word, b"content" | b"value" | b"base64" | b"b64")
}

/// `password_hash`, `secret_id` and `access_key_id` are secrets themselves; `token_count` is not.
fn about_secret(words: &Words, end: usize, class: Naming) -> Naming {
    let before = words.get(end - 2);
    match words.get(end - 1) {
        b"hash" | b"sha" if class == Naming::Password => class,
        b"id" if matches!(before, b"secret" | b"session") => Naming::Strong,
        b"id" if end > 2 && before == b"key" && words.get(end - 3) == b"access" => Naming::Weak,
        _ => Naming::Ordinary,
    }
}

fn strongest(words: &Words, end: usize) -> Naming {
    let mut class = Naming::Ordinary;
    let mut sure = false;
    for index in 0..end {
        let word = words.get(index);
        let before = index.checked_sub(1).map(|i| words.get(i));
        class = class.max(one(word, before, index + 1 == end));
        if before == Some(b"pass") && matches!(word, b"phrase" | b"word" | b"code") {
            class = Naming::Password;
        }
        // Of SNMP.
        let is_community = word == b"community" && matches!(before, Some(b"snmp" | b"agent"))
            || matches!(word, b"string" | b"strings") && before == Some(b"community");
        if is_community {
            class = Naming::Password;
        }
        sure |= matches!(
            word,
            b"secret" | b"secrets" | b"credential" | b"credentials" | b"private"
        );
    }
    let leads = end >= 2 && sections_of(words.get(0)) & Section::OrdinaryLead.bit() != 0;
    if leads && class <= Naming::Strong && !sure {
        Naming::Ordinary
    } else {
        class
    }
}

fn one(word: &[u8], before: Option<&[u8]>, last: bool) -> Naming {
    let sections = sections_of(word);
    let is_in = |section: Section| sections & section.bit() != 0;
    if is_in(Section::Ordinary) {
        return Naming::Ordinary;
    }
    if is_in(Section::Password) || ends_in(Section::PasswordEnding, word) {
        return if word == b"pass" && !last && !before.is_some_and(has_password) {
            Naming::Weak
        } else {
            Naming::Password
        };
    }
    if is_in(Section::Strong) || ends_in(Section::StrongEnding, word) {
        return Naming::Strong;
    }
    if matches!(word, b"key" | b"keys") {
        let owner = before.map_or(0, sections_of);
        return match owner {
            owner if owner & Section::OrdinaryOwner.bit() != 0 => Naming::Ordinary,
            owner if owner & Section::KeyOwner.bit() != 0 => Naming::Strong,
            _ => Naming::Weak,
        };
    }
    let weak =
        is_in(Section::Weak) || is_vendor_word(word) || last && ends_in(Section::WeakEnding, word);
    if weak { Naming::Weak } else { Naming::Ordinary }
}

/// What has a `pass` that is no attempt, whatever follows: `DB_PASS_RO`.
fn has_password(owner: &[u8]) -> bool {
    const OWNERS: [&[u8]; 20] = [
        b"db",
        b"database",
        b"sql",
        b"mysql",
        b"pg",
        b"postgres",
        b"redis",
        b"mongo",
        b"mq",
        b"rabbitmq",
        b"kafka",
        b"ldap",
        b"smtp",
        b"mail",
        b"ftp",
        b"ssh",
        b"user",
        b"admin",
        b"root",
        b"proxy",
    ];
    OWNERS.contains(&owner)
}

fn is_counter(word: &[u8]) -> bool {
    const STAGES: &[&[u8]] = &[
        b"v1",
        b"v2",
        b"v3",
        b"prod",
        b"dev",
        b"test",
        b"staging",
        b"old",
        b"new",
        b"current",
        b"previous",
        b"backup",
        b"secondary",
    ];
    word.iter().all(u8::is_ascii_digit) || STAGES.contains(&word)
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
            assert!(classify(name) >= Naming::Strong, "{name}");
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
            assert!(classify(name) >= Naming::Weak, "{name}");
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
            "checksum/secret",
            "authorization.k8s.io/decision",
            "topologyKey",
        ] {
            assert_eq!(classify(name), Naming::Ordinary, "{name}");
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
