use std::borrow::Cow;

/// The name of a field as a token of a JSON pointer (RFC 6901, section 3).
///
/// ```
/// assert_eq!(bonesetter_proto::pointer_token("a/b~c"), "a~1b~0c");
/// ```
pub fn pointer_token(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        name.replace('~', "~0").replace('/', "~1").into()
    } else {
        name.into()
    }
}

/// The name of the field that a token of a JSON pointer stands for; the inverse of [`pointer_token`].
///
/// ```
/// assert_eq!(bonesetter_proto::pointer_name("a~1b~0c~01"), "a/b~c~1");
/// ```
pub fn pointer_name(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        token.replace("~1", "/").replace("~0", "~").into()
    } else {
        token.into()
    }
}
