//! Encodings that something may have put a value into.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

pub(crate) const COUNT: usize = 9;

/// A text in one of the encodings.
pub(crate) fn encode(which: usize, text: &str) -> String {
    match which {
        0 => text.to_owned(),
        1 => {
            let quoted = json!(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        2 => percent(text),
        3 => STANDARD.encode(text),
        4 => STANDARD.encode(format!("a{text}b")),
        5 => URL_SAFE_NO_PAD.encode(format!("ab{text}")),
        6 => hex(text.as_bytes()),
        7 => hex(text.as_bytes()).to_uppercase(),
        _ => text.replace('&', "&amp;").replace('/', "&#47;"),
    }
}

fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect::<Vec<_>>().concat()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}
