const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The first `characters` characters of RFC 4648 base32 in lower case, without padding.
pub(crate) fn base32(bytes: &[u8], characters: usize) -> String {
    let bit = |index: usize| {
        bytes
            .get(index / 8)
            .map_or(0, |byte| usize::from(byte >> (7 - index % 8) & 1))
    };
    let character = |position: usize| {
        let value = (0..5).fold(0, |value, offset| value << 1 | bit(position * 5 + offset));
        char::from(ALPHABET[value])
    };
    (0..characters).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_that_of_rfc_4648() {
        assert_eq!(base32(b"foobar", 10), "mzxw6ytboi");
    }
}
