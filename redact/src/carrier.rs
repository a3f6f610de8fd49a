//! `name=value` in all its dresses: assignments, YAML, logfmt, headers, struct dumps, XML, call arguments,
//! and a secret word followed by a random string.

mod arguments;
mod assignment;
mod blocks;
mod lists;
pub(crate) mod pairs;
mod phrases;
pub(crate) mod template;
mod told;
pub(crate) mod words;

use self::assignment::Assignment;
pub(crate) use self::assignment::is_message;
pub(crate) use self::lists::LIST;
pub(crate) use self::phrases::is_phrase;
use crate::engine::Hit;
use crate::json::names::{is_name_key, is_value_key};
use crate::lexicon::{Naming, classify, is_signature};
use crate::rarity::is_random_token;
use crate::strings::quoted;
use crate::syntax::{NAME_LIMIT, compares, name_before, value_after};
use crate::value::{before, is_handle, is_path, is_vacant, looks_random};

/// Longer values without quotes are looked at once.
pub(crate) const LONG: usize = 2 << 10;

/// Schemes of the Authorization header: the word before the credential.
const SCHEMES: &[&str] = &[
    "bearer",
    "basic",
    "token",
    "digest",
    "apikey",
    "api-key",
    "negotiate",
    "ntlm",
    "splunk",
    "key",
    "genie",
    "genie-key",
    "snowflake",
    "flyv1",
    "dpop",
    "jwt",
    "ssws",
    "bot",
    "hmac",
    "accesskey",
    "sso-key",
    "apitoken",
    "oauth",
];

/// Appends what names announce in a text.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    assignments(text, hits);
    blocks::scan(text, hits);
    pairs::scan(text, hits);
    words::scan(text, hits);
    arguments::scan(text, hits);
}

fn assignments(text: &str, hits: &mut Vec<Hit>) {
    let bytes = text.as_bytes();
    let mut pair: Option<(usize, Naming)> = None;
    let mut covered = 0;
    for at in memchr::memchr2_iter(b'=', b':', bytes) {
        let Some(name) = name_before(text, at) else {
            continue;
        };
        let name = name.rsplit('@').next().unwrap_or(name);
        let last = name.rsplit(['.', ':', '@']).next().unwrap_or(name);
        let mut naming = naming_of(text, name, at);
        // `templates/secret.yaml:12:20`: a place in a file.
        let is_place = || {
            bytes[at] == b':' && is_path(name) && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
        };
        if naming > Naming::Ordinary && is_place() {
            continue;
        }
        if naming > Naming::Ordinary
            && bytes[at] == b':'
            && is_image(text, name, at)
            && (naming == Naming::Weak || is_version(&text[at + 1..]))
            || is_volume(text, name, at)
        {
            continue;
        }
        if naming > Naming::Ordinary
            && bytes[at] == b':'
            && (is_public(text, name, at) || is_in_reference(text, at))
        {
            naming = Naming::Ordinary;
        }
        if let Some((from, announced)) = pair.filter(|_| is_value_key(last))
            && at.saturating_sub(from) < 80
        {
            naming = naming.max(announced);
        }
        if last.eq_ignore_ascii_case("default") {
            naming = naming
                .max(variable_before(text, at))
                .max(parameter_around(text, at));
        }
        if is_login_of_kafka(text, name, at) {
            naming = Naming::Password;
        }
        if naming == Naming::Ordinary && !is_name_key(last) || at < covered {
            continue;
        }
        if naming >= Naming::Strong
            && let Some(end) = lists::scan(text, (name, at), naming, hits)
        {
            covered = end;
            continue;
        }
        let Some((start, end, quoted)) = value_after(text, at, naming >= Naming::Weak) else {
            continue;
        };
        let value = &text[start..end];
        if is_name_key(last) && value.len() <= NAME_LIMIT {
            pair = Some((end, classify(value)));
            if quoted {
                hits.extend(content_after(text, end, classify(value)));
            }
        }
        let is_compared = compares(bytes, at) && !quoted && !begins_with_equals(naming, value);
        if is_compared || is_message_of_shell(text, name, at) {
            continue;
        }
        if naming > Naming::Ordinary {
            let found = Assignment {
                text,
                name,
                at,
                start,
                end,
                quoted,
                naming,
            };
            if let Some(hit) = found.hit() {
                covered = hit.end;
                hits.extend(successor(text, hit.end, naming));
                hits.push(hit);
            } else if !quoted && end - start > LONG {
                // One endless token of `a=a=a=`: every suffix of it would be looked at.
                covered = end;
            }
        }
    }
}

/// `password==x7+y`: what would be compared is no name and no number, so the second sign is part of it.
fn begins_with_equals(naming: Naming, value: &str) -> bool {
    let has = |is: fn(&u8) -> bool| value.bytes().any(|b| is(&b));
    naming == Naming::Password
        && value.len() >= 8
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && has(|b| {
            matches!(
                b,
                b'+' | b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'?' | b'~'
            )
        })
        && !value.contains(['(', ')', '[', ']', '.'])
}

/// `${DB_PASSWORD:?is not set}`, `${DB_PASSWORD:+--auth}`: what the shell says if the variable is not there, and what it takes
/// if it is.
fn is_message_of_shell(text: &str, name: &str, at: usize) -> bool {
    (text[at..].starts_with(":?") || text[at..].starts_with(":+"))
        && text[..at].ends_with(name)
        && before(text, at - name.len(), 2) == "${"
}

/// `registry.example.com/team/api:448f9a2b`: a name behind a path, and its tag.
fn is_image(text: &str, name: &str, at: usize) -> bool {
    let head = text[..at].strip_suffix(name);
    head.is_some_and(|head| head.ends_with('/'))
        && text[at + 1..].starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a name is within a reference: `arn:aws:secretsmanager:eu-west-2:6602:secret:dev/db-WEHbH0`,
/// `{{resolve:secretsmanager:x:SecretString:password}}`, `${file:/etc/db.secret:password}`.
fn is_in_reference(text: &str, at: usize) -> bool {
    let head = before(text, at, NAME_LIMIT);
    let start = head
        .rfind([' ', '"', '\'', '=', '\n', ',', ';'])
        .map_or(0, |place| place + 1);
    let token = &head[start..];
    let open = token.rsplit_once("${").map(|(_, inner)| inner);
    token.starts_with("arn:")
        || token.starts_with("urn:")
        || token.starts_with("{{resolve:")
        || open.is_some_and(|inner| {
            inner.contains(':') && !inner.contains([' ', '}']) && !inner.contains(":-")
        })
}

/// `v0.8.1`, `1.25`: the tag of an image.
fn is_version(rest: &str) -> bool {
    let rest = rest.strip_prefix('v').unwrap_or(rest);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest[digits..].starts_with('.')
}

/// `MountVolume.SetUp failed for volume "creds" : secret "db" not found`: what is the matter with a volume.
fn is_volume(text: &str, name: &str, at: usize) -> bool {
    let head = before(text, at, NAME_LIMIT).strip_suffix("\" ");
    let head = head.and_then(|head| head.strip_suffix(name));
    head.is_some_and(|head| head.trim_end_matches(['\\', '"']).ends_with("volume "))
}

/// Whether a name in a document is that of something public: a signature, the digest of a Secret.
fn is_public(text: &str, name: &str, at: usize) -> bool {
    let head = before(text, at, NAME_LIMIT).trim_end_matches(['"', '\'', '\\', ' ']);
    is_signature(name)
        || (head.strip_suffix(name)).is_some_and(|head| is_checksum(head, &text[at..]))
}

/// Whether a name between these is that of a digest, and what follows is one: `checksum/secret`, by which Helm rolls
/// pods out.
pub(crate) fn is_checksum(head: &str, rest: &str) -> bool {
    let value = rest.trim_start_matches(['"', '\'', '\\', ':', '=', ' ']);
    let value = value.strip_prefix("sha256:").unwrap_or(value);
    let digits = value.bytes().take_while(u8::is_ascii_hexdigit).count();
    head.ends_with("checksum/") && matches!(digits, 32 | 40 | 64)
}

/// The content of what has a name attribute: `<entry key="password">X</entry>`, and a part of a form:
/// `name="password"`, an empty line, the value.
fn content_after(text: &str, quote: usize, naming: Naming) -> Option<Hit> {
    let rest = text.get(quote + 1..)?;
    let (lead, end) = if rest.starts_with('>') {
        (1, '<')
    } else {
        let blank = ["\r\n\r\n", "\n\n"]
            .into_iter()
            .find(|blank| rest.starts_with(blank))?;
        (blank.len(), '\n')
    };
    let body = &rest[lead..rest.floor_char_boundary(lead + 2048)];
    let body = body.split(end).next()?;
    let value = body.trim();
    let start = quote + 1 + lead + (body.len() - body.trim_start().len());
    is_secret_value(naming, value).then(|| Hit::secret(start, start + value.len(), "content"))
}

/// The name in `env("DB_PASSWORD", default=`, before the last word.
fn argument_before(head: &str) -> Option<&str> {
    let call = head.strip_suffix("default")?.trim_end_matches(' ');
    let call = call.strip_suffix(',')?.strip_suffix(['"', '\''])?;
    let (function, name) = call.rsplit_once(['"', '\''])?;
    function.ends_with('(').then_some(name)
}

/// What the name of a variable announces for its default: `variable "db_password" { default = "x" }`,
/// `env("DB_PASSWORD", default="x")`.
fn variable_before(text: &str, at: usize) -> Naming {
    let head = before(text, at, 200);
    let name = head
        .rsplit_once("variable \"")
        .filter(|(_, block)| !block.contains('}'))
        .and_then(|(_, block)| block.split('"').next());
    name.or_else(|| argument_before(head))
        .map_or(Naming::Ordinary, classify)
}

/// What the name of a parameter announces for its default, on a line of its own:
/// `DbPassword:`, then `Type: String`, then `Default: x`.
fn parameter_around(text: &str, at: usize) -> Naming {
    let depth = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let head = before(text, at, 4 * NAME_LIMIT);
    let mut lines = head.rsplit('\n');
    let own = depth(lines.next().unwrap_or_default());
    let outer = lines.find(|line| !line.trim().is_empty() && depth(line) < own);
    let outer = outer.unwrap_or_default().trim();
    let opens = outer.ends_with(':') || outer.ends_with('{');
    let name = outer
        .trim_end_matches(['{', ' ', ':', '='])
        .trim_matches(['"', '\'', '-', ' ']);
    match classify(name) {
        Naming::Password if opens => Naming::Password,
        Naming::Strong if opens => Naming::Weak,
        _ => Naming::Ordinary,
    }
}

/// `user_ada="x"` among the options of a login module: the password of a user of the broker.
fn is_login_of_kafka(text: &str, name: &str, at: usize) -> bool {
    name.starts_with("user_")
        && before(text, at, LONG)
            .rsplit_once("PlainLoginModule")
            .is_some_and(|(_, options)| !options.contains(';'))
}

/// What a plan changes a secret to: `"X" -> "Y"`.
fn successor(text: &str, end: usize, naming: Naming) -> Option<Hit> {
    let rest = text.get(end..)?.trim_start_matches(['"', '\'']);
    let value = rest
        .strip_prefix(" -> ")
        .or_else(|| rest.strip_prefix(" => "))?;
    let (start, end, _) = quoted(text, text.len() - value.len())?;
    is_secret_value(naming, &text[start..end]).then(|| Hit::secret(start, end, "key-value"))
}

/// Whether a value after a name of this class is to be taken out.
pub(crate) fn is_secret_value(naming: Naming, value: &str) -> bool {
    if naming == Naming::Ordinary || is_vacant(value) {
        return false;
    }
    let numeric = value.bytes().all(|b| {
        b.is_ascii_digit() || matches!(b, b'.' | b',' | b'%' | b'/' | b's' | b'm' | b'h' | b'-')
    }) || value.parse::<f64>().is_ok();
    let plain_url = value.contains("://")
        && !value.contains('@')
        && !value.contains('?')
        && !value.rsplit('/').next().is_some_and(looks_random);
    match naming {
        Naming::Ordinary => false,
        Naming::Weak if value.contains("://") || value.contains(['(', '{']) => false,
        Naming::Weak => is_random_token(value) && !is_path(value),
        Naming::Strong if value.len() < 4 || is_handle(value) => false,
        Naming::Strong if numeric && value.len() < 9 || is_list_of_numbers(value) => false,
        Naming::Strong => !is_path(value) && !is_path_of_words(value) && !plain_url,
        Naming::Password if is_sample(value) => false,
        Naming::Password if value.starts_with(['/', '.']) => !is_path(value) && !plain_url,
        Naming::Password => !plain_url,
    }
}

/// `[539711640 8817312678]`: places in a ring, which are called tokens.
fn is_list_of_numbers(value: &str) -> bool {
    value.starts_with('[')
        && value
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'[' | b']' | b' ' | b','))
}

/// `kv/data/web/db`: where a secret is kept.
fn is_path_of_words(value: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_'))
    };
    value.contains('/') && value.split('/').all(is_word)
}

/// `abc`, `123`: nothing that anybody logs in with.
fn is_sample(value: &str) -> bool {
    let (first, rest) = value.as_bytes().split_first().unwrap_or((&b' ', &[]));
    let alike = |byte: &u8| {
        byte.is_ascii_lowercase() && first.is_ascii_lowercase()
            || byte.is_ascii_digit() && first.is_ascii_digit()
    };
    (1..3).contains(&rest.len()) && rest.iter().all(alike)
}

/// The credential of `Bearer abc`; the whole text if there is no scheme.
pub(crate) fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.trim().is_empty() => rest.trim_start(),
        _ => value,
    }
}

pub(crate) fn is_scheme(word: &str) -> bool {
    SCHEMES
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// What the name announces, together with the word before it where that decides (`API Key: ...`).
fn naming_of(text: &str, name: &str, at: usize) -> Naming {
    let alone = classify(name);
    let is_value = alone == Naming::Ordinary && matches!(name, "value" | "Value");
    if alone != Naming::Weak && !is_value {
        return alone;
    }
    let head = before(text, at, 160);
    let head = head
        .rfind(name)
        .and_then(|start| head[..start].strip_suffix(' '));
    let word = head.and_then(|head| head.rsplit(|c: char| !c.is_ascii_alphanumeric()).next());
    match word {
        // `secret value: X`
        Some(word) if is_value => classify(word),
        Some(word) if !word.is_empty() && word.len() <= 20 => classify(&format!("{word} {name}")),
        _ => alone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::found_by;

    #[test]
    fn takes_out_values() {
        for (text, expected) in [
            ("password=hunter2 user=x", "hunter2"),
            ("DB_PASSWORD: hunter2", "hunter2"),
            ("{\\\"password\\\": \\\"hunter2\\\"}", "hunter2"),
            ("'client_secret': 'abc def1'", "abc def1"),
            ("config[\"api_key\"] = \"abcd1234\"", "abcd1234"),
            ("token := \"abcd1234\"", "abcd1234"),
            ("{ [\"password\"] = \"abcd1234\", a = 1 }", "abcd1234"),
            ("secret => 'abcd1234',", "abcd1234"),
            ("Authorization: Bearer abc.def", "abc.def"),
            ("-H Authorization:Bearer abcdef", "abcdef"),
            ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
            ("Cookie: a=b; c=d", "a=b; c=d"),
            ("Set-Cookie: sid=abc123; Path=/", "abc123"),
            ("&{Host:x Password:hunter2 Port:1}", "hunter2"),
            ("[password=hunter2, endpoint=x]", "hunter2"),
            ("GET /?token=abcd1234&page=2", "abcd1234"),
            (
                "jdbc:sqlserver://h;user=sa;password=Hunter2;encrypt=true",
                "Hunter2",
            ),
            ("<add key=\"ClearTextPassword\" value=\"x%y\" />", "x%y"),
            ("- name: DB_PASSWORD\n  value: hunter2\n", "hunter2"),
            ("API Key: 0123456789abcdef0123", "0123456789abcdef0123"),
            ("<entry key=\"db.password\">x9</entry>", "x9"),
            ("form-data; name=\"password\"\r\n\r\nx9\r\n--b", "x9"),
            ("CREATE LOGIN a WITH PASSWORD = N'x9'", "x9"),
            ("password: Secret(\"x9\")", "x9"),
            ("password: Optional(\"x9\")", "x9"),
            ("password: &pw x9-anchored", "x9-anchored"),
            ("password: !!str \"x9\"", "x9"),
            ("password='it''s x9' host=db", "it''s x9"),
            (
                "token: \"abc-7-\\\n  def-8\"\nhost: db",
                "abc-7-\\\n  def-8",
            ),
            ("password=\"Kq83n\nfPz61\" host=db", "Kq83n\nfPz61"),
            ("api.key=abc1\\\n    def2\nport=1", "abc1\\\n    def2"),
            ("password = <<EOF\n  x9 y\n  EOF\nport = 1", "x9 y"),
            ("map[authorization:[Bearer abc.def] a:[b]]", "abc.def"),
            ("a=b\0DB_PASSWORD=x9\0HOME=/root\0", "x9"),
            ("Environment=\"DB_PASSWORD=x 9\" LOG=debug", "x 9"),
            ("variable \"db_password\" {\n  default = \"x9\"\n}", "x9"),
            ("Property: db.password\n  Value: \"x9\"", "x9"),
            (
                "\"AdminPassword\"=hex(1):66,00,\\\n  6a,00\n\"a\"=1",
                "hex(1):66,00,\\\n  6a,00",
            ),
            ("#{<<\"password\">> => <<\"x9\">>}", "x9"),
            ("password = 0x55d0 \"x9\", port = 1", "x9"),
            ("[\"password\"]=>\n  string(2) \"x9\"\n}", "x9"),
            ("-> db.password: Str(x 9)\n", "x 9"),
            ("token: Some(\n    Token(\n  \"x9-abc\",\n)", "x9-abc"),
            ("password = \"\"\"x\n9\"\"\"\nport = 1", "x\n9"),
            ("**API Key**: x9-abcd", "x9-abcd"),
            ("*Password:* `x9`", "x9"),
            ("<b>Password:</b> x9<br>", "x9"),
            ("password: <%= \"x9\" %>", "x9"),
            ("password: \"{{ 'x9' }}\"", "x9"),
            ("x.PlainLoginModule required\n  user_ada=\"x9\";", "x9"),
            ("tokens {\n  default = \"hx-81-ab\"\n}", "hx-81-ab"),
            ("{password: meadow, user: ada}", "meadow"),
            ("db: {secret: two words, user: ada}", "two words"),
            ("passphrase: copper kettle", "copper kettle"),
            ("checksum/password: hunter2zq", "hunter2zq"),
            ("put(\"/config/db/password\", \"hunter22\")", "hunter22"),
            ("host: db\npassword: copper kettle\n", "copper kettle"),
            ("val password: String = \"x9\", // of Kotlin", "x9"),
            ("headers[authorization:abc123def] = 'y'", "abc123def"),
            ("password: hunter22 = \"x\"", "hunter22"),
            ("def login(passwd: str = \"x9\"):", "x9"),
            (
                "Secret: []byte{18, 9, 100, 11, 45, 16, 134,\n 217, 26},",
                "[]byte{18, 9, 100, 11, 45, 16, 134,\n 217, 26}",
            ),
            ("PSWD=x9-abcd", "x9-abcd"),
            ("KEY = env('DB_PASSWORD', default='x9')", "x9"),
            ("Authorization: Bearer meadowlark\nHost: x", "meadowlark"),
            ("MYSQL_PASS_RO=meadow", "meadow"),
            ("x-shop-appkey: meadow", "meadow"),
            ("here is my secret value: x9abcd", "x9abcd"),
            ("role=arn:aws:iam::1:role/x;password:hunter22", "hunter22"),
            ("confirm_password=\"Blue Horse 42\"", "Blue Horse 42"),
            ("db_password_env: hunter22xyz", "hunter22xyz"),
            ("password={HUNTER22}", "{HUNTER22}"),
            ("password=var.hunter2", "var.hunter2"),
            ("spring.password==volcano+454quilt", "volcano+454quilt"),
            ("DbPassword:\n  Type: String\n  Default: meadow\n", "meadow"),
            (
                "\"DbPassword\": {\n  \"Type\": \"String\",\n  \"Default\": \"meadow\"\n}",
                "meadow",
            ),
            ("community_string: meadow", "meadow"),
            ("tOkEn: x9abcd", "x9abcd"),
        ] {
            assert_eq!(found_by(scan, text), [expected], "{text}");
        }
    }

    #[test]
    fn leaves_the_rest() {
        for text in [
            "password: authentication failed for user",
            "password=${DB_PASSWORD}",
            "token: <set to the key 'x' in secret 'y'>",
            "primary_key=17 keyspace=default max_tokens=4096",
            "password = get_password()",
            "if token == nil { return }",
            "std::token::Kind",
            "tls key: /etc/tls/tls.key",
            "token=********",
            "password = \"123\"",
            "password = <<EOF",
            "sessionid: 0x14ede63a5a7001b, timeout",
            "renew session 0x24ede93119420016 at /10.10.34.12:43382",
            "signature\":\"9RITWb3I3kAnSyUolcVJq4gwM17JRnQK8\"",
            "pod=orders-5c9d8f7b6-x2x4z key=orders/default",
            "password: <%= ENV[\"DB_PASS\"] %>",
            "password: !Ref MasterPassword",
            "AuthToken: '{{resolve:secretsmanager:x:SecretString:password}}'",
            "password=\"${file:/etc/my-secret:my-password-key}\";",
            "password: @Microsoft.KeyVault(SecretUri=https://x.example/secrets/db)",
            "DbPassword:\n  Type: String\nDefault: meadow\n",
            "community: meadow",
            "error at (crm/templates/secret.yaml:12:20): x is required",
            "  + secret_id   = (known after apply)",
            "rotateSecret: createSecret: put it",
            "failed for volume \"creds\" : secret \"db-creds\" not found",
            "ghcr.io/external-secrets/external-secrets:v0.8.1",
            "run ${REDIS_PASSWORD:+--requirepass ${REDIS_PASSWORD}}",
            "-Dx.trustStorePassword= -Dx.keyStoreType=JKS",
            "- secretKey: db-host\n  remoteRef:\n    key: x",
            "grep \"Initial Root Token:\" | sed -e \"s/x//g\"",
            "password = GloAuth->lookup()",
            "$dbPass = self::$sourceDb->getPass();",
            "default_password_scheme = SHA512-CRYPT",
            "\"passwordNotEqual\": \"Die Passworte sind nicht gleich.\"",
            "\"sendOneTimePassword\": \"Send a code\"",
            "password: !Sub '{{resolve:secretsmanager:x::password}}'",
            "password = random_password.password.result",
            "password=arn:aws:secretsmanager:eu-1:660254676590:secret:dev/db-WEHbH0",
            "Authorization: Bearer authentication failed",
            "credentials: 'same-origin'",
            "x.PlainLoginModule required; user_ada=\"x9\"",
            "passphrase: please try again",
            "password: copper kettle",
            "user_ada=\"x9\"",
            "checksum/secret: e4e1ebf122f1981251974a9294c4b4c2",
            "{Token: has expired, Code: 401}",
            "rpc error: {code: Unauthenticated, token: is expired}",
            "errors: {password: too short, name: required}",
        ] {
            assert_eq!(found_by(scan, text), Vec::<&str>::new(), "{text}");
        }
    }
}
