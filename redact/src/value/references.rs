//! What stands for a value that is elsewhere: variables, expressions, places in stores of secrets.

/// `$VAR`, `${VAR}`, `$(VAR)`, `{{ .Values.x }}`, `%s`, `<your-token>`: a reference or a blank, not a value.
pub(crate) fn is_reference(value: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().any(|b| b.is_ascii_alphabetic())
            && (name.bytes().all(|b| !b.is_ascii_lowercase())
                || name
                    .bytes()
                    .all(|b| !b.is_ascii_uppercase() && !b.is_ascii_digit()))
    };
    value
        .strip_prefix('$')
        .map(|name| match name.split_once("){") {
            Some((variable, fields)) if is_selection(fields) => variable,
            _ => name,
        })
        .map(|name| name.trim_end_matches([';', ',', ')', '$', '/']))
        .is_some_and(|name| is_name(name) || is_member(name))
        || value
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
            .is_some_and(|name| name.contains('_') && is_name(name))
        || is_tag(value)
        || is_of_shell(value)
        || is_of_terraform(value)
        || (value.starts_with("${") && value.contains('}'))
        || is_begun(value, "$(", ")")
        || is_begun(value, "<%", "%>")
        || is_begun(value, "{{", "}}")
        || is_elsewhere(value)
        || is_object(value)
        || value == "<set"
        || value.starts_with("<set ")
        || (value.starts_with('%') && value.len() <= 3)
        || (value.starts_with('<')
            && value.ends_with('>')
            && !value.bytes().any(|b| b.is_ascii_digit()))
}

/// `$db.password`: a member of what a template was given.
fn is_member(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    name.contains('.') && name.split('.').all(is_word)
}

/// `$1`, `$(cmd --flag`, `($(cmd`, `${NAME` as much of it as stands before a blank or a quote, and `.*/x` of `sed`.
pub(crate) fn is_of_shell(value: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let value = value.trim_start_matches('(');
    let command = value
        .strip_prefix("$(")
        .and_then(|rest| rest.split_once(' '));
    let is_command = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-' | b'/'))
    };
    value
        .strip_prefix('$')
        .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
        || value
            .strip_prefix("${")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_name))
        || command.is_some_and(|(word, _)| is_command(word))
        || value
            .strip_prefix("$(")
            .is_some_and(|rest| rest.len() <= 8 && is_command(rest))
        || value.starts_with(".*/") && value.contains(['$', '='])
}

/// `var.db_password`, `local.x`: what an expression of Terraform refers to.
fn is_of_terraform(value: &str) -> bool {
    const ROOTS: [&str; 6] = [
        "var.",
        "local.",
        "data.",
        "module.",
        "each.value.",
        "values.",
    ];
    let is_inside = |b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'[' | b']')
    };
    let path = ROOTS.iter().find_map(|root| value.strip_prefix(*root));
    path.is_some_and(|path| {
        path.contains('_')
            && path.starts_with(|c: char| c.is_ascii_lowercase())
            && path.bytes().all(is_inside)
    })
}

/// The tag of what YAML takes from elsewhere: `!Ref DbPassword`, `!secret db_password`.
fn is_tag(value: &str) -> bool {
    const TAGS: [&str; 12] = [
        "Ref",
        "GetAtt",
        "Sub",
        "ImportValue",
        "FindInMap",
        "Select",
        "Join",
        "If",
        "secret",
        "include",
        "env_var",
        "ENV",
    ];
    value
        .strip_prefix('!')
        .is_some_and(|tag| TAGS.contains(&tag))
}

/// What a query of GraphQL asks for behind its arguments: names and braces.
fn is_selection(fields: &str) -> bool {
    let is_part =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'{' | b'}' | b' ' | b',');
    fields.ends_with('}') && fields.bytes().all(is_part)
}

/// Where a secret is kept (in Vault, in a store of a cloud, in 1Password), or what SOPS has made of it.
fn is_elsewhere(value: &str) -> bool {
    const STORES: [&str; 11] = [
        "vault:",
        ">>vault:",
        "ref+",
        "op://",
        "ssm:/",
        "secretsmanager:",
        "awssm:",
        "arn:aws",
        "<path:",
        "@Microsoft.KeyVault(",
        "urn:k8s:",
    ];
    let place = STORES.iter().find_map(|store| value.strip_prefix(store));
    place.is_some_and(|place| place.contains(['/', ':', '=']))
        || value.starts_with("ENC[AES256_GCM")
}

/// `Token{9f4ef63`, `AuthToken@1b2c3d4e`: what a program shows of an object of its own, the type and the hash by which it is told
/// from others.
fn is_object(value: &str) -> bool {
    let is_type = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.contains(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'$')
    };
    let is_hash = |hash: &str| {
        (6..=8).contains(&hash.len())
            && hash
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && hash.contains(|c: char| c.is_ascii_digit())
            && hash.contains(|c: char| c.is_ascii_lowercase())
    };
    let parts = value.split_once(['{', '@']);
    parts.is_some_and(|(name, rest)| {
        is_type(name) && is_hash(rest.split([' ', '}']).next().unwrap_or_default())
    })
}

/// `{{ .Values.x }}`, or as much of it as stands before the first blank: a name, or nothing.
fn is_begun(value: &str, open: &str, close: &str) -> bool {
    let is_path = |text: &str| {
        text.trim_start_matches(['-', '=', ' '])
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b"._/$-".contains(&b))
    };
    let inner = value.strip_prefix(open);
    inner.is_some_and(|inner| inner.contains(close) || is_path(inner))
}
