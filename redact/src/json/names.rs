//! What the names of members say of their values.

use std::borrow::Cow;

use crate::carrier::is_secret_value;
use crate::json::text::unescape;
use crate::lexicon::{Naming, is_about};
use crate::view::is_invisible;

/// Digits of the shortest payment card; in shorter numbers nothing is looked for.
pub(crate) const SHORTEST_CARD: usize = 12;

/// Whether a number is a secret by its name: a code of four digits is one where the name is a password's.
pub(crate) fn is_secret_number(naming: Naming, digits: &str) -> bool {
    naming >= Naming::Strong && digits.len() >= 4 && is_secret_value(naming, digits)
}

pub(crate) fn is_data(name: &str) -> bool {
    matches!(name, "data" | "stringData" | "binaryData")
}

/// Whether a value is random because it is the only one of its kind, and no secret for that.
pub(crate) fn is_identity(name: &str) -> bool {
    const NAMES: [&str; 5] = ["id", "_id", "uid", "uuid", "etag"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || is_about(name)
}

/// A name as it is meant: without escapes (`pass\u0077ord`), and without what nobody sees.
pub(crate) fn unescaped(name: &str) -> Cow<'_, str> {
    if name.is_ascii() && !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    let mut meant = unescape(name, 0).text;
    meant.retain(|character| !is_invisible(character));
    Cow::Owned(meant)
}

/// What stands before `Value` in the name of a member.
pub(crate) fn value_stem(name: &str) -> Option<&str> {
    let stem = name
        .strip_suffix("Value")
        .or_else(|| name.strip_suffix("_value"));
    stem.filter(|stem| !stem.is_empty())
}

pub(crate) fn is_name_key(key: &str) -> bool {
    [
        "name",
        "key",
        "variable",
        "header",
        "param",
        "parameter",
        "k",
        "field",
        "option",
        "env",
        "property",
    ]
    .iter()
    .any(|k| key.eq_ignore_ascii_case(k))
}

pub(crate) fn is_value_key(key: &str) -> bool {
    [
        "value",
        "val",
        "v",
        "content",
        "default",
        "defaultvalue",
        "data",
        "values",
        "new_value",
        "before",
        "after",
    ]
    .iter()
    .any(|k| key.eq_ignore_ascii_case(k))
}
