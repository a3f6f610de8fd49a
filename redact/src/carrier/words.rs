//! A word that announces a secret, and the secret without a separator: `using token abc123`.

use crate::carrier::told::{after_dots, directive, is_told, otherwise};
use crate::carrier::{is_checksum, is_secret_value};
use crate::engine::Hit;
use crate::lexicon::{Naming, classify, is_public_owner, is_vendor};
use crate::rarity::{is_random_token, is_token_byte, is_uuid, letters_in_humps};
use crate::sentences;
use crate::value::before;

/// Words after which a random string is a secret, in lower case, as ends of words.
pub(crate) const WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "key",
    "access",
    "private",
    "credential",
    "credentials",
    "bearer",
    "auth",
    "pwd",
    "jwt",
    "apikey",
    "login",
    "basic",
    "passphrase",
    "requirepass",
    "masterauth",
    "secret_id",
    "bindpw",
    "rootpw",
    "_pass",
    "storepass",
    "keypass",
];

/// Appends what stands behind such words.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut run = Run::default();
    let mut start = 0;
    while start < bytes.len() {
        if !is_word(bytes[start]) {
            start += 1;
            continue;
        }
        let length = bytes[start..].iter().take_while(|b| is_word(**b)).count();
        let end = start + length;
        let word = &bytes[start..end];
        if length <= 64 && (announces(word) || is_glued(word)) {
            hits.extend(after_word(text, (start, end), false, &mut run));
            hits.extend(sentences::after(text, start, end));
        } else if (3..=24).contains(&length) && is_vendor(&text[start..end]) {
            hits.extend(after_word(text, (start, end), true, &mut run));
        }
        start = end;
    }
}

/// A run of characters of tokens, and how many words have been followed by it or by the rest of it.
#[derive(Debug, Default)]
struct Run {
    end: usize,
    words: usize,
}

impl Run {
    /// Longer runs are read in pieces, and what more words than these are in one announces nothing.
    const LONGEST: usize = 4 << 10;
    const MOST_WORDS: usize = 16;

    /// Where the run ends that `from` is in; `None` if too many words have been followed by it.
    fn end_at(&mut self, text: &str, from: usize) -> Option<usize> {
        if from >= self.end {
            let rest = text.as_bytes()[from..].iter().take(Self::LONGEST);
            self.end = from + rest.take_while(|b| is_token_byte(**b)).count();
            self.words = 0;
        }
        self.words += 1;
        (self.words <= Self::MOST_WORDS).then_some(self.end)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What may stand between the word and the value.
const GAPS: &[&str] = &[
    " is ", " was ", " set to ", " of ", " value ", " code ", ":\n", ": \n", "\n", ": ", " = ",
    " == ", " := ", " => ", " -> ", " - ", " : ", " :", "\": ", "': ", " \"", " '", " \\\"", " `",
    "(\"", "('", " ", "-", ".", "\t", ",", "|",
];

/// Those of them that stand between a name and an expression in sources.
const CODE: [&str; 4] = [" := ", " => ", " -> ", " - "];

/// Those that stand between the name of a logger and its message.
const LOGGED: [&str; 3] = [" - ", " : ", " :"];

/// A call, or the name of a class.
fn is_code(text: &str, end: usize, value: &str) -> bool {
    let is_class = value.bytes().any(|b| b.is_ascii_uppercase())
        && letters_in_humps(value.as_bytes()) * 2 >= value.len();
    text[end..].starts_with('(') || is_class
}

fn announces(word: &[u8]) -> bool {
    let last = word.last().map(u8::to_ascii_lowercase);
    WORDS.iter().any(|end| {
        end.as_bytes().last().copied() == last
            && word.len() >= end.len()
            && word[word.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    })
}

/// `vendorPRIVATEkey`, `vendorSECRET`: a keyword in capitals joined to a name in small letters.
pub(crate) fn is_glued(word: &[u8]) -> bool {
    const KEYWORDS: [&[u8]; 5] = [b"SECRET", b"PRIVATE", b"ACCESS", b"TOKEN", b"KEY"];
    let begins = |at: usize| {
        word[at].is_ascii_uppercase() && !word[at - 1].is_ascii_uppercase() && word[at - 1] != b'_'
    };
    (1..word.len().saturating_sub(2)).any(|at| {
        begins(at) && {
            let capitals = &word[at..];
            let length = capitals
                .iter()
                .take_while(|b| b.is_ascii_uppercase())
                .count();
            KEYWORDS.contains(&&capitals[..length])
                && matches!(&capitals[length..], b"" | b"key" | b"token")
                && !is_public_owner(&word[..at])
        }
    })
}

fn after_word(
    text: &str,
    (start, end): (usize, usize),
    vendor: bool,
    token: &mut Run,
) -> Option<Hit> {
    let word = &text[start..end];
    let run = run_before(text, start, end);
    let naming = if is_glued(word.as_bytes()) {
        Naming::Strong
    } else {
        classify(run)
    };
    let is_public = before(text, start, 8).eq_ignore_ascii_case(" public ");
    if is_public
        || is_fingerprint(text, (start, end))
        || is_checksum(&text[..start], &text[end..])
        || naming == Naming::Ordinary && !word.eq_ignore_ascii_case("basic")
    {
        return None;
    }
    let told = after_dots(text, end, naming)
        .or_else(|| otherwise(text, (start, end), naming))
        .or_else(|| directive(text, (start, end), naming));
    if told.is_some() {
        return told;
    }
    let (gap, from) = gap_after(text, end)?;
    let value = value_of(text, from, token.end_at(text, from)?)?;
    // The end of a URL, or a line, and the key of the next one.
    let is_next = gap.ends_with('\n')
        && (text[..start].ends_with('/') || text[from + value.len()..].starts_with(':'));
    if is_next {
        return None;
    }
    let is_logger =
        LOGGED.contains(&gap) && (naming < Naming::Strong || text[..start].ends_with('.'));
    if is_logger || CODE.contains(&gap) && is_code(text, from + value.len(), value) {
        return None;
    }
    let hit = |from: usize, value: &str| Some(Hit::secret(from, from + value.len(), "secret-word"));
    if vendor {
        let is_part = match gap {
            "." => value.contains(['.', '/']),
            "-" => value.contains('-') && !is_uuid(value),
            _ => false,
        };
        return if !is_part && is_key_of_service(value) && !is_container(value) {
            hit(from, value)
        } else {
            None
        };
    }
    let of_service =
        || naming >= Naming::Strong || is_compound(word) || is_of_service(text, start, run);
    let secret = if is_uuid(value) {
        of_service()
    } else {
        is_random_token(value)
            || is_told(text, (start, word, run), (gap, from), value, naming)
                && is_secret_value(naming, value)
    };
    if secret {
        return hit(from, value);
    }
    let (from, value) = behind_short_word(text, gap, from)?;
    if is_key_of_service(value) && of_service() {
        hit(from, value)
    } else {
        None
    }
}

/// `using RSA key B34E077B87E459A9F3F50AA81CE3169980FA0F99`: a key of `OpenPGP` is called by its fingerprint, or the end
/// of that.
fn is_fingerprint(text: &str, (start, end): (usize, usize)) -> bool {
    const KINDS: [&str; 4] = ["RSA ", "DSA ", "EDDSA ", "ECDSA "];
    let head = before(text, start, 8);
    let rest = text[end..].strip_prefix(' ').unwrap_or_default();
    let is_inside = |c: char| c.is_ascii_alphanumeric();
    let token = &rest[..rest.len() - rest.trim_start_matches(is_inside).len()];
    let is_digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    KINDS.iter().any(|kind| head.ends_with(kind))
        && matches!(token.len(), 16 | 40)
        && token.bytes().all(is_digit)
}

/// What stands between a word and its value, and where the value begins.
fn gap_after(text: &str, end: usize) -> Option<(&'static str, usize)> {
    let rest = &text[end..];
    let gap = GAPS.iter().find(|gap| rest.starts_with(**gap))?;
    let mut from = end + gap.len();
    while text[from..].starts_with(['"', '\'', ' ', '`', '\\']) && from < end + 24 {
        from += 1;
    }
    Some((gap, from))
}

/// The token there, unless it is an assignment or a URL.
fn value_of(text: &str, from: usize, end: usize) -> Option<&str> {
    let value = text.get(from..end)?.trim_end_matches(['.', ',', ':', ';']);
    let assigned = value.trim_end_matches('=').split_once('=');
    let is_other =
        assigned.is_some_and(|(name, _)| !is_random_token(name)) || value.contains("://");
    (!is_other).then_some(value)
}

/// `license key EU = 'X'`, `SECRET no 1 X`: what stands behind one word of at most four letters or digits, that is
/// neither about the value nor a word of a sentence.
fn behind_short_word<'a>(text: &'a str, gap: &str, from: usize) -> Option<(usize, &'a str)> {
    const OTHERS: [&str; 27] = [
        "id", "uid", "uuid", "kid", "ref", "name", "hash", "for", "in", "on", "to", "of", "by",
        "from", "at", "with", "err", "ok", "not", "and", "or", "has", "was", "is", "the", "as",
        "no",
    ];
    let length = text.as_bytes()[from..]
        .iter()
        .take(5)
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let word = &text[from..from + length];
    let is_other = OTHERS.iter().any(|other| word.eq_ignore_ascii_case(other));
    if !(1..=4).contains(&length) || is_other || gap == "," {
        return None;
    }
    let (_, from) = gap_after(text, from + length)?;
    let end = Run::default().end_at(text, from)?;
    Some((from, value_of(text, from, end)?))
}

/// What services hand out: random, with digits and letters, and not short.
fn is_key_of_service(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    digits >= 2 && letters >= 2 && value.len() >= 16 && is_random_token(value)
}

/// 64 hexadecimal digits: a container, or a digest.
fn is_container(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `codakey`, `shortcutaccess`: a name and a keyword in one word.
fn is_compound(word: &str) -> bool {
    let is_joined = |keyword: &&str| word.len() >= keyword.len() + 3 && word.ends_with(*keyword);
    word.bytes().all(|b| b.is_ascii_lowercase()) && WORDS.iter().any(is_joined)
}

/// Whether the words before a value say what it opens: the name of a service that hands out keys, `API key`,
/// `authenticate with key`.
fn is_of_service(text: &str, start: usize, run: &str) -> bool {
    const OWNERS: [&str; 7] = [
        "api",
        "access",
        "license",
        "client",
        "secret",
        "subscription",
        "consumer",
    ];
    let head = before(text, start, 40);
    let mut words = head
        .trim_end_matches([' ', '-', '_'])
        .rsplit(|c: char| !c.is_ascii_alphanumeric());
    let previous = words.next().unwrap_or_default();
    let owned = head.ends_with(' ')
        && OWNERS
            .iter()
            .any(|owner| previous.eq_ignore_ascii_case(owner));
    let opens = matches!(previous, "with" | "using")
        && words
            .next()
            .is_some_and(|word| word.starts_with("authenticat"));
    owned || opens || run.split(['_', '-']).chain([previous]).any(is_vendor)
}

/// The word with what hyphens join to it: `vendor-private-key`.
fn run_before(text: &str, start: usize, end: usize) -> &str {
    let head = before(text, start, 40);
    let run = head
        .bytes()
        .rev()
        .take_while(|b| is_word(*b) || *b == b'-')
        .count();
    &text[start - run..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_values() {
        for (text, expected) in [
            (
                "using token a1b2c3d4e5f6g7h8i9j0 failed: 401",
                "a1b2c3d4e5f6g7h8i9j0",
            ),
            (
                "vatlayerTOKEN abcdef0123456789abcdef",
                "abcdef0123456789abcdef",
            ),
            (
                "orderlyPRIVATEkey-abcdef01-2345-6789-abcd-ef0123456789",
                "abcdef01-2345-6789-abcd-ef0123456789",
            ),
            (
                "cannot authenticate with key 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e: 401",
                "7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e",
            ),
            (
                "API key 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e was refused",
                "7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e",
            ),
            (
                "license key EU = 'eu01a1b2c3d4e5f60718293a4b5c'",
                "eu01a1b2c3d4e5f60718293a4b5c",
            ),
            (
                "webex token - 'c3d4e5f60718293a4b5c6d7e'",
                "c3d4e5f60718293a4b5c6d7e",
            ),
            ("process.env.DB_PASSWORD || 'hunter2'", "hunter2"),
            ("os.environ.get(\"PASSWORD\") or \"hunter2\"", "hunter2"),
            ("env['DB_PASSWORD'] || 'hunter2'", "hunter2"),
            ("machine h login root password hunter22.", "hunter22"),
            ("base x\nbindpw meadow\nbase y", "meadow"),
            ("keystore x storepass Winter2001 alias y", "Winter2001"),
            ("  AuthLDAPBindPassword \"two words@9\"\n", "two words@9"),
            (
                "vault path datadog.9f0a1b2c3d4e5f60718293a4b5c6d7e8",
                "9f0a1b2c3d4e5f60718293a4b5c6d7e8",
            ),
            ("setopt(curl, CURLOPT_PROXYPASSWORD, \")q!~K(\");", ")q!~K("),
            ("CREATE ROLE a WITH LOGIN PASSWORD hunter22;", "hunter22"),
            ("ENV DB_PASSWORD hunter22", "hunter22"),
            ("ENV\tDB_PASS\thunter22", "hunter22"),
            ("FROM x\nENV DB_PASSWORD meadow\nRUN y", "meadow"),
            ("api key set to 8fk2Kd02kfk20Dks7", "8fk2Kd02kfk20Dks7"),
            ("Config - password........hunter22", "hunter22"),
            ("password.................\"hunter22\"", "hunter22"),
            ("ssl.key.password  hunter22\nport 1", "hunter22"),
            ("user ada insecure-password hp-88-Ww", "hp-88-Ww"),
            ("proxy_set_header X-Auth-Token nx-88-Ww;", "nx-88-Ww"),
            ("created admin with password Xk-77-qq", "Xk-77-qq"),
            ("machine h\n  login a\n  password hunter\n", "hunter"),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "secret \"password\" is missing in object: default/orders",
            "token review cache",
            "password authentication is disabled for user reporting",
            "private-repository-credentials",
            "access denied for service-account-orders",
            "connected with password authentication",
            "service-account-token v1.30.2",
            "process.env.DB_PASSWORD || process.env.OTHER",
            "must be \"secret\" or \"emptyDir\"",
            "one of 'token' || 'cookie9'",
            "(ERR_INVALID_TOKEN, \"token9 is invalid\")",
            "pod paypal-5f6e7d8c9b-x2x4z started",
            "twitter 1234567890123456789 follows",
            "linkedin urn:li:share:7123456789012345678",
            "com.acme.UserLogin - 5f6e7d8c9b0a1f2e3d4c request started",
            "encryption key 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e rotated",
            "v_password || ' is wrong for web-1'",
            "opts.credentials || 'same-origin'",
            "token id: 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e",
            "Revoked token for 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e",
            "token, err := p.client.DNS01ChallengeRecord(chal.Token)",
            "apiKey := getSubnetAPIKeyFromConfigV12(alias)",
            "publicKEY ssh-ed25519-AAAAC3NzaC1lZDI1NTE5AAAA",
            "cache key 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e is not there",
            "https://x.example/oauth2/token\n  oauth2client7k2: x",
            "img.cdn-telegram.org/file/a1b2c3d4e5f6g7h8i9j0",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
