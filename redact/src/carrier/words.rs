//! Carriers without a separator: `using token abc123`, `("API_KEY", "abc")`, `<password>abc</password>`.

use crate::carrier::{is_checksum, is_secret_value};
use crate::engine::Hit;
use crate::lexicon::{Naming, classify, is_vendor};
use crate::rarity::{is_random_token, is_token_byte, is_uuid};
use crate::sentences;
use crate::strings::quoted;
use crate::syntax::unquoted_end;
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
];

/// Appends what stands behind such words, in argument pairs and in elements.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    words(text, hits);
    arguments(text, hits);
    elements(text, hits);
}

fn words(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
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
            hits.extend(after_word(text, start, end, false));
            hits.extend(sentences::after(text, start, end));
        } else if (3..=24).contains(&length) && is_vendor(&text[start..end]) {
            hits.extend(after_word(text, start, end, true));
        }
        start = end;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What may stand between the word and the value.
const GAPS: &[&str] = &[
    " is ", " was ", " of ", " value ", " code ", ":\n", ": \n", "\n", ": ", " = ", " == ", " := ",
    " => ", " -> ", " - ", " : ", " :", "\": ", "': ", " \"", " '", " \\\"", " `", "(\"", "('",
    " ", "-", ".", "\t", ",", "|",
];

fn announces(word: &[u8]) -> bool {
    let last = word.last().map(u8::to_ascii_lowercase);
    WORDS.iter().any(|end| {
        end.as_bytes().last().copied() == last
            && word.len() >= end.len()
            && word[word.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    })
}

/// `vendorPRIVATEkey`, `vendorSECRET`: a keyword in capitals joined to a name in small letters.
fn is_glued(word: &[u8]) -> bool {
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
            length >= 3 && KEYWORDS.contains(&&capitals[..length])
        }
    })
}

fn after_word(text: &str, start: usize, end: usize, vendor: bool) -> Option<Hit> {
    let word = &text[start..end];
    let run = run_before(text, start, end);
    let naming = if is_glued(word.as_bytes()) {
        Naming::Strong
    } else {
        classify(run)
    };
    let is_public = before(text, start, 8).eq_ignore_ascii_case(" public ");
    if is_public
        || is_checksum(&text[..start], &text[end..])
        || naming == Naming::Ordinary && !word.eq_ignore_ascii_case("basic")
    {
        return None;
    }
    let told = after_dots(text, end, naming).or_else(|| otherwise(text, (start, end), naming));
    if told.is_some() {
        return told;
    }
    let (gap, from) = gap_after(text, end)?;
    let value = token_at(text, from)?;
    let hit = |from: usize, value: &str| Some(Hit::secret(from, from + value.len(), "secret-word"));
    if vendor {
        return if gap != "." && is_key_of_service(value) {
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
            || is_told(text, (start, end), (gap, from), value, naming)
                && is_secret_value(naming, value)
    };
    if secret {
        return hit(from, value);
    }
    let (from, value) = behind_short_word(text, from)?;
    if is_key_of_service(value) && of_service() {
        hit(from, value)
    } else {
        None
    }
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

/// The token that begins there, unless it is an assignment or a URL.
fn token_at(text: &str, from: usize) -> Option<&str> {
    let length = text.as_bytes()[from..]
        .iter()
        .take_while(|b| is_token_byte(**b))
        .count();
    let value = text
        .get(from..from + length)?
        .trim_end_matches(['.', ',', ':', ';']);
    let assigned = value.trim_end_matches('=').split_once('=');
    let is_other =
        assigned.is_some_and(|(name, _)| !is_random_token(name)) || value.contains("://");
    (!is_other).then_some(value)
}

/// `license key EU = 'X'`, `SECRET no 1 X`: what stands behind one word of at most four letters or digits.
fn behind_short_word(text: &str, from: usize) -> Option<(usize, &str)> {
    let length = text.as_bytes()[from..]
        .iter()
        .take(5)
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    if !(1..=4).contains(&length) {
        return None;
    }
    let (_, from) = gap_after(text, from + length)?;
    Some((from, token_at(text, from)?))
}

/// What services hand out: random, with digits, and not short.
fn is_key_of_service(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    digits >= 2 && value.len() >= 16 && is_random_token(value)
}

/// `codakey`, `shortcutaccess`: a name and a keyword in one word.
fn is_compound(word: &str) -> bool {
    let is_joined = |keyword: &&str| word.len() >= keyword.len() + 3 && word.ends_with(*keyword);
    word.bytes().all(|b| b.is_ascii_lowercase()) && WORDS.iter().any(is_joined)
}

/// Whether the words before a value say what it opens: the name of a service that hands out keys, `API key`,
/// `authenticate with key`.
fn is_of_service(text: &str, start: usize, run: &str) -> bool {
    let head = before(text, start, 40);
    let mut words = head
        .trim_end_matches([' ', '-', '_'])
        .rsplit(|c: char| !c.is_ascii_alphanumeric());
    let previous = words.next().unwrap_or_default();
    let owned = head.ends_with(' ') && classify(&format!("{previous} {run}")) >= Naming::Strong;
    let opens = matches!(previous, "with" | "using")
        && words
            .next()
            .is_some_and(|word| word.starts_with("authenticat"));
    owned || opens || run.split(['_', '-']).chain([previous]).any(is_vendor)
}

/// Whether the words around a value say that it is one, even if it does not look random.
fn is_told(
    text: &str,
    (start, end): (usize, usize),
    (gap, from): (&str, usize),
    value: &str,
    naming: Naming,
) -> bool {
    let quoted = matches!(text.as_bytes()[from - 1], b'"' | b'\'');
    let told = naming == Naming::Password && gap == " is " && quoted && value.len() >= 4;
    let has_digit = value.bytes().any(|b| b.is_ascii_digit());
    let name = run_before(text, start, end);
    let is_name = text[start..end].contains('_')
        || name
            .get(..2)
            .is_some_and(|lead| lead.eq_ignore_ascii_case("x-"))
        || name.contains('-') && naming == Naming::Password;
    let environment = is_name && naming >= Naming::Strong && value.len() >= 8 && has_digit;
    let head = before(text, start, 8);
    let with = ["with ", "WITH ", "LOGIN "]
        .iter()
        .any(|word| head.ends_with(word))
        && gap == " ";
    let given = with && naming == Naming::Password && value.len() >= 6 && has_digit;
    let lone = naming == Naming::Password
        && gap == " "
        && (value.bytes().any(|b| !b.is_ascii_alphabetic()) || follows_login(text, start))
        && is_alone(text, start, from + value.len());
    environment || told || given || lone
}

/// `password......value`: a line of dots leads to the value.
fn after_dots(text: &str, end: usize, naming: Naming) -> Option<Hit> {
    let rest = &text[end..];
    let value = rest.trim_start_matches('.');
    let dots = rest.len() - value.len();
    if dots < 4 || naming < Naming::Strong {
        return None;
    }
    let start = end + dots;
    let (start, end, _) =
        quoted(text, start).unwrap_or_else(|| (start, unquoted_end(text, start), false));
    is_secret_value(naming, text.get(start..end)?).then(|| Hit::secret(start, end, "secret-word"))
}

/// What stands in for a variable that is not set, `env.DB_PASSWORD || "x"`, and the value of an option that is named by
/// a constant, `CURLOPT_PASSWORD, "x"`.
fn otherwise(text: &str, (start, end): (usize, usize), naming: Naming) -> Option<Hit> {
    const OPERATORS: [&str; 4] = [" or ", " || ", " ?? ", " ?: "];
    if naming < Naming::Strong {
        return None;
    }
    let rest = &text[end..];
    let value = if let Some(value) = rest.strip_prefix(',') {
        let is_constant = |b: u8| b.is_ascii_uppercase() || b == b'_';
        let word = &text[start..end];
        (word.contains('_') && word.bytes().all(is_constant)).then(|| value.trim_start_matches(' '))
    } else {
        let rest = rest.trim_start_matches(['"', '\'', ')', ']', '}']);
        let mut operators = OPERATORS.iter();
        operators.find_map(|operator| rest.strip_prefix(operator))
    };
    let (start, end, _) = quoted(text, text.len() - value?.len())?;
    is_secret_value(naming, &text[start..end]).then(|| Hit::secret(start, end, "secret-word"))
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

/// Whether the line before, or this one, has `login NAME` as in `.netrc` files.
fn follows_login(text: &str, start: usize) -> bool {
    let mut lines = before(text, start, 160).rsplit('\n');
    let here = lines.next().unwrap_or_default();
    let above = lines.next().unwrap_or_default().trim();
    here.contains("login ") || above.starts_with("login ") && above.matches(' ').count() == 1
}

/// Whether nothing but the name and its value is on the line, as in `.netrc` files and properties.
fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let head = before(text, start, 80);
    let head = head.rsplit('\n').next().unwrap_or_default();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let name = head.trim_start();
    let is_first = name.is_empty() || name.ends_with('.') && name.bytes().all(is_name);
    let netrc = is_first || head.contains("login ");
    netrc && (text[end..].is_empty() || text[end..].starts_with(['\n', '\r']))
}

/// `"API_KEY", "value"`, also with one quote of each kind, as in calls, tuples and CSV.
fn arguments(text: &str, hits: &mut Vec<Hit>) {
    for needle in ["\\\",", "\",", "',"] {
        for at in memchr::memmem::find_iter(text.as_bytes(), needle) {
            let name = before(text, at, 100)
                .rsplit(is_no_argument_name)
                .next()
                .unwrap_or_default();
            let head = before(text, at, 120).strip_suffix(name).unwrap_or_default();
            let is_value = head
                .trim_end_matches(['"', '\'', '\\', ' '])
                .ends_with([':', '=', '>']);
            let is_link = head.ends_with('/')
                && (head.rsplit(['"', '\'']).next()).is_some_and(|path| path.contains("://"));
            if is_value
                || is_link
                || name.is_empty()
                || name.len() > 80
                || name.contains([' ', '=', ':'])
            {
                continue;
            }
            let naming = classify(name);
            let rest = &text[at + needle.len()..];
            let from = at + needle.len() + (rest.len() - rest.trim_start().len());
            let Some((start, end, _)) = quoted(text, from) else {
                continue;
            };
            if naming >= Naming::Weak
                && is_secret_value(naming, &text[start..end])
                && (!text[start..end].starts_with('-') || is_random_token(&text[start..end]))
            {
                hits.push(Hit::secret(start, end, "arguments"));
            }
        }
    }
}

/// What ends the name of an argument. A space, `=` and `:` show that there is a value in its place.
fn is_no_argument_name(c: char) -> bool {
    c == '\n' || c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '.' | '$' | '@' | '=' | ':')
}

/// `<password>value</password>`.
fn elements(text: &str, hits: &mut Vec<Hit>) {
    for at in memchr::memmem::find_iter(text.as_bytes(), "</") {
        let name: &str = text[at + 2..text.floor_char_boundary(at + 84)]
            .split(['>', ' ', '\n'])
            .next()
            .unwrap_or_default();
        if name.is_empty() || name.len() > 80 {
            continue;
        }
        let naming = classify(name.rsplit(':').next().unwrap_or(name));
        if naming == Naming::Ordinary {
            continue;
        }
        let Some((open, end)) = content(text, at) else {
            continue;
        };
        let body = &text[open..end];
        let value = body.trim();
        let start = open + (body.len() - body.trim_start().len());
        if is_secret_value(naming, value) {
            hits.push(Hit::secret(start, start + value.len(), "element"));
        }
    }
}

/// Where the content of the element that is closed at `at` begins and ends.
fn content(text: &str, at: usize) -> Option<(usize, usize)> {
    const OPEN: &str = "<![CDATA[";
    const CLOSE: &str = "]]>";
    let head = before(text, at, 2048);
    let floor = at - head.len();
    match head.strip_suffix(CLOSE) {
        Some(data) => Some((floor + data.rfind(OPEN)? + OPEN.len(), at - CLOSE.len())),
        None => Some((floor + head.rfind('>')? + 1, at)),
    }
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
            ("setProperty(\"ACCESS_TOKEN\", \"abc12345\")", "abc12345"),
            ("('x-api-key', 'PMAK-1')", "PMAK-1"),
            ("process.env.DB_PASSWORD || 'hunter2'", "hunter2"),
            ("os.environ.get(\"PASSWORD\") or \"hunter2\"", "hunter2"),
            ("setopt(curl, CURLOPT_PROXYPASSWORD, \")d!~O(\");", ")d!~O("),
            ("CREATE ROLE a WITH LOGIN PASSWORD hunter22;", "hunter22"),
            ("<vaultToken>\n  s3cr3t9\n</vaultToken>", "s3cr3t9"),
            ("<password><![CDATA[a<b>9]]></password>", "a<b>9"),
            ("ENV DB_PASSWORD hunter22", "hunter22"),
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
            "limits(max_tokens\", \"value9\")",
            "cost;max_tokens\",\"value9\"",
            "see https://platform.example.com/account/api-keys.', 'type': 'invalid_request_error'",
            "connected with password authentication",
            "service-account-token v1.30.2",
            "process.env.DB_PASSWORD || process.env.OTHER",
            "cache key 7b0c9d1e-4a5f-4b6c-8d7e-9f0a1b2c3d4e is not there",
            "img.cdn-telegram.org/file/a1b2c3d4e5f6g7h8i9j0",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
