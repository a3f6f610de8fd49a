//! What a value looks like: masked, a reference, a word, or random.

use crate::lexicon::{Section, is_in};
use crate::validate::entropy;
pub(crate) use references::{is_of_shell, is_reference};

mod references;

/// At most the last `limit` bytes before a place: keeps looking back linear.
pub(crate) fn before(text: &str, at: usize, limit: usize) -> &str {
    &text[text.ceil_char_boundary(at.saturating_sub(limit))..at]
}

/// Whether a value is nothing to hide: empty, masked, a reference to somewhere else, or a filler word.
pub(crate) fn is_vacant(value: &str) -> bool {
    let trimmed = value.trim_matches(['"', '\'', '`', '\\', ' ']);
    !trimmed
        .chars()
        .any(|c| c.is_alphanumeric() || is_pictograph(c))
        || trimmed.len() == 1 && trimmed.as_bytes()[0].is_ascii_digit()
        || trimmed.starts_with("+ ")
        || is_masked(trimmed)
        || is_reference(trimmed)
        || is_filler(trimmed)
        || is_stand_in(trimmed)
        || is_algorithm(trimmed)
}

/// A picture such as a key or a lock, of which a password can be made. Signs that mask are no pictures.
fn is_pictograph(character: char) -> bool {
    ('\u{1f300}'..='\u{1faff}').contains(&character)
}

/// `YOUR_API_KEY`, `your-token-here`: to be replaced by whoever reads it. `DATA+OMITTED` is what kubectl writes.
fn is_stand_in(value: &str) -> bool {
    let is_yours = ["YOUR_", "your_", "your-", "<your"]
        .iter()
        .any(|start| value.starts_with(start));
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'<');
    is_yours && value.bytes().all(is_word) || value == "DATA+OMITTED"
}

/// `0x14ede63a5a7001b`: a number of at most 64 bits, a handle or an address in memory.
pub(crate) fn is_handle(value: &str) -> bool {
    value.strip_prefix("0x").is_some_and(|digits| {
        (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `ssh-ed25519`, `scram-sha-256`: how something is signed or hashed, and the fingerprint of a key.
fn is_algorithm(value: &str) -> bool {
    const FAMILIES: [&str; 7] = [
        "ssh-",
        "sk-ssh-",
        "ecdsa-sha2-",
        "rsa-sha2-",
        "scram-sha-",
        "SHA256:",
        "hmac-sha256:",
    ];
    let family = FAMILIES.iter().find(|family| value.starts_with(**family));
    family.is_some_and(|family| match *family {
        "SHA256:" => value.len() == family.len() + 43,
        "hmac-sha256:" => value.len() == family.len() + 64,
        _ => value.len() <= 40,
    })
}

fn is_filler(value: &str) -> bool {
    value.len() <= 14 && is_in(Section::EmptyValue, value)
}

/// `****`, `xxxx`, `......`, `[REDACTED]`, `<hidden>`: something else has been here before.
pub(crate) fn is_masked(value: &str) -> bool {
    let inner = value.trim_matches([
        '[', ']', '<', '>', '(', ')', '{', '}', '*', '#', '-', '_', '.', ' ',
    ]);
    let masks = value
        .bytes()
        .filter(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-' | b'#' | b'_' | b'?'))
        .count();
    inner.is_empty()
        || masks == value.len()
        || (value.len() >= 8
            && masks * 2 >= value.len()
            && (has_run_of(value, b"*.#", 6) || has_run_of(value, b"xX", 6) && shows_little(value)))
        || (inner.len() != value.len() && is_filler(inner))
        || matches!(value, "[secret]" | "<secret>" | "<sensitive>")
        || is_remark(value)
        || [
            "REDACTED",
            "FILTERED",
            "MASKED",
            // What Ansible says.
            "NOT_LOGGING_PASSWORD",
            "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        ]
        .iter()
        .any(|word| inner.eq_ignore_ascii_case(word))
}

/// `(update)`, `(known after apply)`, or its first word: what a tool says in the place of a value.
fn is_remark(value: &str) -> bool {
    if matches!(value, "(known" | "(sensitive") {
        return true;
    }
    let inner = value
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_lowercase() || b == b' '))
}

/// Whether what is left of a value masked with letters says nothing: those may be its own.
fn shows_little(value: &str) -> bool {
    let shown: String = value.chars().filter(|c| !matches!(c, 'x' | 'X')).collect();
    let Shape {
        lower,
        upper,
        digits,
        ..
    } = Shape::of(&shown);
    lower + upper + digits < 8 || lower == 0 || upper == 0 || digits < 2
}

fn has_run_of(value: &str, bytes: &[u8], length: usize) -> bool {
    let mut run = 0;
    let mut last = 0;
    for byte in value.bytes() {
        run = match bytes.contains(&byte) {
            true if byte == last => run + 1,
            true => 1,
            false => 0,
        };
        last = byte;
        if run >= length {
            return true;
        }
    }
    false
}

/// How mixed a string is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) lower: usize,
    pub(crate) upper: usize,
    pub(crate) digits: usize,
    pub(crate) other: usize,
}

impl Shape {
    pub(crate) fn of(value: &str) -> Self {
        let mut shape = Self::default();
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' => shape.lower += 1,
                b'A'..=b'Z' => shape.upper += 1,
                b'0'..=b'9' => shape.digits += 1,
                _ => shape.other += 1,
            }
        }
        shape
    }

    pub(crate) fn classes(self) -> usize {
        [self.lower, self.upper, self.digits, self.other]
            .iter()
            .filter(|n| **n > 0)
            .count()
    }
}

/// Whether a value after a weak name is random enough to be a secret.
pub(crate) fn looks_random(value: &str) -> bool {
    let shape = Shape::of(value);
    let letters = shape.lower + shape.upper;
    let length = value.len();
    if length < 12 || (shape.digits == 0 && !(length >= 20 && is_single_random_word(value))) {
        return false;
    }
    if letters == 0 {
        return length >= 16;
    }
    entropy(value) >= if length >= 20 { 2.8 } else { 3.0 }
}

/// A long run of letters without separators that changes case inside, or is longer than any word.
fn is_single_random_word(value: &str) -> bool {
    let shape = Shape::of(value);
    let letters = shape.lower + shape.upper;
    letters * 10 >= value.len() * 9
        && entropy(value) >= 3.5
        && (case_changes(value) >= 5 || (shape.lower == 0 || shape.upper == 0) && value.len() >= 28)
}

/// How often the case changes between neighbours, camelCase words counting little.
pub(crate) fn case_changes(value: &str) -> usize {
    let bytes = value.as_bytes();
    bytes
        .windows(2)
        .filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
        .count()
        + bytes
            .windows(3)
            .filter(|w| {
                w[0].is_ascii_uppercase() && w[1].is_ascii_uppercase() && w[2].is_ascii_lowercase()
            })
            .count()
}

/// Whether a value is distinctive enough to be searched for in other texts.
pub(crate) fn is_distinctive(value: &str) -> bool {
    let digits_only = value.bytes().all(|b| b.is_ascii_digit());
    let shortest = if digits_only { 9 } else { 6 };
    let common = || is_in(Section::CommonValue, value);
    let alphanumeric = || value.bytes().any(|b| b.is_ascii_alphanumeric());
    value.len() >= shortest && !is_vacant(value) && alphanumeric() && !common()
}

/// An unquoted value that starts like a path or a file name.
pub(crate) fn is_path(value: &str) -> bool {
    let rooted = value.starts_with('/')
        || value.starts_with("./")
        || value.starts_with("../")
        || value.starts_with("~/")
        || value.starts_with("file:");
    let file = value.rsplit_once('.').is_some_and(|(stem, extension)| {
        const EXTENSIONS: &[&str] = &[
            "pem",
            "key",
            "crt",
            "cer",
            "cert",
            "p12",
            "pfx",
            "jks",
            "json",
            "yaml",
            "yml",
            "txt",
            "conf",
            "properties",
            "toml",
            "ini",
            "env",
            "xml",
            "go",
            "py",
            "rs",
            "js",
            "ts",
            "java",
            "c",
            "h",
            "sh",
            "html",
            "md",
            "log",
            "keystore",
            "service",
            "dll",
            "exe",
            "php",
            "rb",
        ];
        !stem.is_empty() && EXTENSIONS.contains(&extension)
    });
    let segments = value.bytes().filter(|b| *b == b'/').count();
    (rooted && segments >= 1 && !looks_random(value.rsplit('/').next().unwrap_or_default()))
        || (file && value.len() < 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vacant_values() {
        for value in [
            "",
            "\"\"",
            "true",
            "null",
            "****",
            "xxxxxxxx",
            "[REDACTED]",
            "<hidden>",
            "$TOKEN",
            "$p){token}}",
            "${TOKEN}",
            "$(TOKEN)",
            "{{ .x }}",
            "{{",
            "{{.Values.auth.password",
            "{{- include",
            "$(cat",
            "$(cat /run/secrets/db)",
            "<%=",
            "<%= token %>",
            "$DB_PASS$",
            "$db.password",
            "$2",
            "$(get_password root)",
            "$(aws ecr get-login-password --region ",
            "($(az",
            "${LDAP_BIND_PW",
            ".*/REDIS_PASSWORD=$NEW/",
            "var.db_password",
            "urn:k8s:secret:jwt:signingSecret",
            "NOT_LOGGING_PASSWORD",
            "{DB_PASSWORD}",
            "!Ref",
            "<set",
            "<set to the key 'x' in secret 'y'>",
            "vault:secret/data/mysql#MYSQL_PASSWORD",
            "ssm:/prod/s3/secret_access_key",
            "op://prod/db/password",
            "ENC[AES256_GCM,data:0f33DbYXhSfKrvRl,type:str]",
            "ref+vault://secret/db#password",
            "<path:kv/data/prod/db#password>",
            "@Microsoft.KeyVault(VaultName=shop;SecretName=db)",
            "YOUR_API_KEY",
            "your-token-here",
            "DATA+OMITTED",
            "%s",
            "<your-token>",
            "ghp_xxxxxxxxxxxxxxxx",
            "AKIAXXXXXXXXXXXX1234",
            "Q7kf**********H5a",
            "...",
            "Token{9f4ef63",
            "Token{9f4ef63 ActivityRecord{de9231d u0}}",
            "SessionKey@1b2c3d4e",
        ] {
            assert!(is_vacant(value), "{value}");
        }
        for value in [
            "hunter2",
            "p",
            "$ecret1X",
            "correct-horse",
            "x9",
            "Xk3xxq",
            "\u{1f511} \u{1f512}",
            "{hunter22}",
            "$2y",
            "var.Hunter22",
            "$db.Hunter",
            "Welcome@12345678",
            "Summer@2024b",
            "Q7kfxxxxxxxxH5aax4",
            "$1$28772684$iEwNOgGugqO9",
            "{{hunter22xyz",
            "$(Summer2024!x9",
            "<%Summer2024!x9",
            "<set9Summer2024!",
            "vault:9Summer2024",
            "your7Summer2024!",
        ] {
            assert!(!is_vacant(value), "{value}");
        }
    }

    #[test]
    fn random_values() {
        for value in [
            "0123456789abcdef0123456789abcdef",
            "s2s1gfcuatgbi61n8h5s",
            "QpQcm9jLVR5cGU6IDQs",
            "abcDEFghiJKLmnoPQRstuVWX",
        ] {
            assert!(looks_random(value), "{value}");
        }
        for value in [
            "default",
            "orders-worker",
            "kubernetes-dashboard-certs",
            "internationalization",
            "short1",
        ] {
            assert!(!looks_random(value), "{value}");
        }
    }

    #[test]
    fn distinctive_values() {
        for value in ["hunter22", "correct-horse", "s3cr3t"] {
            assert!(is_distinctive(value), "{value}");
        }
        for value in [
            "true",
            "default",
            "production",
            "8080",
            "123456",
            "abc",
            "${TOKEN}",
            "------",
        ] {
            assert!(!is_distinctive(value), "{value}");
        }
    }

    #[test]
    fn paths() {
        for value in [
            "/etc/tls/tls.key",
            "./cert.p12",
            "env/cert.p12",
            "/var/run/secrets/token",
        ] {
            assert!(is_path(value), "{value}");
        }
        for value in ["abc/def+123=", "/3w1u2+X2Y4GJAFCRC2AZR80xk9", "hunter2"] {
            assert!(!is_path(value), "{value}");
        }
    }
}
