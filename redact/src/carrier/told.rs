//! What the words around a value say of it: `created with password X`, `password......X`, `env.PASSWORD || "X"`.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::Naming;
use crate::strings::quoted;
use crate::syntax::unquoted_end;
use crate::value::before;

/// Whether the words around a value say that it is one, even if it does not look random. `name` is what ends with the
/// word at `start`, and all that hyphens join to it.
pub(super) fn is_told(
    text: &str,
    (start, word, name): (usize, &str, &str),
    (gap, from): (&str, usize),
    value: &str,
    naming: Naming,
) -> bool {
    let quoted = matches!(text.as_bytes()[from - 1], b'"' | b'\'');
    let told = naming == Naming::Password && gap == " is " && quoted && value.len() >= 4;
    let has_digit = value.bytes().any(|b| b.is_ascii_digit());
    let is_name = word.contains('_')
        || name
            .get(..2)
            .is_some_and(|lead| lead.eq_ignore_ascii_case("x-"))
        || name.contains('-') && naming == Naming::Password;
    let environment = is_name
        && !matches!(gap, "-" | ".")
        && naming >= Naming::Strong
        && value.len() >= 8
        && has_digit;
    let head = before(text, start, 8);
    let with = ["with ", "WITH ", "LOGIN "]
        .iter()
        .any(|word| head.ends_with(word))
        && gap == " ";
    let given = with && naming == Naming::Password && value.len() >= 6 && has_digit;
    // Of keytool: `storepass x7 keypass y7`.
    let keytool = matches!(word, "storepass" | "keypass") && gap == " " && has_digit;
    let lone = naming == Naming::Password
        && gap == " "
        && (value.bytes().any(|b| !b.is_ascii_alphabetic())
            || follows_login(text, start)
            || matches!(word, "bindpw" | "rootpw" | "requirepass" | "masterauth"))
        && is_alone(text, start, from + value.len());
    // Of an image: `ENV DB_PASSWORD meadow`.
    let line = before(text, start, 80)
        .rsplit('\n')
        .next()
        .unwrap_or_default();
    let dockerfile =
        gap == " " && naming >= Naming::Strong && matches!(line.trim_start(), "ENV " | "ARG ");
    environment || told || given || lone || dockerfile || keytool
}

/// `password......value`: a line of dots leads to the value.
pub(super) fn after_dots(text: &str, end: usize, naming: Naming) -> Option<Hit> {
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

/// `AuthLDAPBindPassword "x"`: a directive of a server on a line of its own.
pub(super) fn directive(text: &str, (start, end): (usize, usize), naming: Naming) -> Option<Hit> {
    let line = before(text, start, 80).rsplit('\n').next()?;
    let is_name = text[start..end].starts_with(|c: char| c.is_ascii_uppercase());
    if naming < Naming::Strong || !is_name || !line.trim().is_empty() {
        return None;
    }
    let rest = text[end..].strip_prefix(" \"")?;
    let (start, end, _) = quoted(text, text.len() - rest.len() - 1)?;
    let behind = text.get(end + 1..)?.lines().next().unwrap_or_default();
    let is_last = behind.trim().is_empty();
    (is_last && is_secret_value(naming, &text[start..end]))
        .then(|| Hit::secret(start, end, "secret-word"))
}

/// What stands in for a variable that is not set, `env["DB_PASSWORD"] || "x"`, and the value of an option of curl,
/// `CURLOPT_PASSWORD, "x"`.
pub(super) fn otherwise(text: &str, (start, end): (usize, usize), naming: Naming) -> Option<Hit> {
    const OPERATORS: [&str; 3] = [" || ", " ?? ", " ?: "];
    if naming < Naming::Strong {
        return None;
    }
    let rest = &text[end..];
    let value = if let Some(value) = rest.strip_prefix(',') {
        let is_option = text[start..end].starts_with("CURLOPT_");
        is_option.then(|| value.trim_start_matches(' '))
    } else {
        let unquoted = rest.trim_start_matches(['"', '\'']);
        let expression = unquoted.trim_start_matches([')', ']']);
        // A name in quotes alone is that of something: `"secret" or "token"`.
        let is_call = expression.len() < unquoted.len();
        let is_name = unquoted.len() < rest.len() && !is_call;
        let mut operators = OPERATORS.iter().copied().chain(is_call.then_some(" or "));
        let value = operators.find_map(|operator| expression.strip_prefix(operator));
        value.filter(|_| !is_name)
    };
    let (start, end, _) = quoted(text, text.len() - value?.len())?;
    let (value, rest) = (&text[start..end], &text[end + 1..]);
    // In SQL `||` joins what is said; what is compared is not given.
    let is_said = value.starts_with(' ')
        || [" ||", " ===", " =="]
            .iter()
            .any(|sign| rest.starts_with(*sign));
    let is_secret = naming == Naming::Password || value.bytes().any(|b| b.is_ascii_digit());
    (!is_said && is_secret && is_secret_value(naming, value))
        .then(|| Hit::secret(start, end, "secret-word"))
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
    let rest = text[end..].trim_start_matches(['.', ',', ':', ';']);
    netrc && (rest.is_empty() || rest.starts_with(['\n', '\r']))
}
