//! Certificates and public keys in PEM (RFC 7468): random to look at, and no secret.

use std::ops::Range;

use memchr::memmem;

/// Longer blocks are read like anything else.
const LONGEST: usize = 16 << 10;
const BEGIN: &str = "-----BEGIN ";
/// What anybody may read.
const LABELS: [&str; 9] = [
    "CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "X509 CRL",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "PGP PUBLIC KEY BLOCK",
    "DH PARAMETERS",
];

/// Where such blocks stand, in order. They are whole, and there is nothing in them but base64, the ends of lines
/// and what quotes them in other texts.
pub(crate) fn public_blocks(text: &str) -> Vec<Range<usize>> {
    let blocks = memmem::find_iter(text.as_bytes(), BEGIN);
    blocks.filter_map(|start| block_at(text, start)).collect()
}

/// Whether a line may be one within a block.
pub(crate) fn is_base64(line: &str) -> bool {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    line.trim().bytes().all(is_digit)
}

fn block_at(text: &str, start: usize) -> Option<Range<usize>> {
    let label = &text[start + BEGIN.len()..];
    let label = LABELS.iter().find(|known| {
        let rest = label.strip_prefix(**known);
        rest.is_some_and(|rest| rest.starts_with("-----"))
    })?;
    let body = start + BEGIN.len() + label.len() + "-----".len();
    let window = &text.as_bytes()[body..text.len().min(body + LONGEST)];
    let end = format!("-----END {label}-----");
    let length = memmem::find(window, end.as_bytes())?;
    let is_body = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\\ \t\r\n\"',|#".contains(byte);
    let is_whole = window[..length].iter().all(is_body);
    is_whole.then(|| start..body + length + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_blocks_are_whole_and_public() {
        let count = |text: &str| public_blocks(text).len();
        let block =
            |label: &str, body: &str| format!("-----BEGIN {label}-----{body}-----END {label}-----");
        assert_eq!(count(&block("CERTIFICATE", "\nMIIC5zCC\nAc+g\n")), 1);
        assert_eq!(count(&block("PUBLIC KEY", "\\nMIIC5zCC\\n")), 1);
        assert_eq!(
            count(&format!("{0}\n{0}", block("PUBLIC KEY", "\nMIIC\n"))),
            2
        );
        for text in [
            block("PRIVATE KEY", "\nMIIC5zCC\n"),
            block("RSA PRIVATE KEY", "\nMIIC5zCC\n"),
            block("CERTIFICATE", "\ntoken: MIIC5zCC\n"),
            block("CERTIFICATE", &"A".repeat(LONGEST)),
            "-----BEGIN CERTIFICATE-----\nMIIC5zCC".to_owned(),
            "-----BEGIN ".to_owned(),
        ] {
            assert_eq!(count(&text), 0, "{text}");
        }
    }
}
