//! How errors are told.

/// An error and what caused it in one line, once each: many an error of a library already says in
/// its own text what its cause says.
pub fn chain(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if told.contains(&text) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&text);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it: {0}")]
    struct Says(#[from] std::io::Error);

    #[test]
    fn no_cause_is_told_twice_and_none_is_left_out() {
        let denied = || std::io::Error::other("denied");
        let error = anyhow::Error::from(Says(denied())).context("start");
        assert_eq!(chain(&error), "start: cannot read it: denied");
        let error = anyhow::Error::from(denied()).context("start");
        assert_eq!(chain(&error), "start: denied");
    }
}
