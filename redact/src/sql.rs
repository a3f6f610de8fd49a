//! Rows that a statement inserts: `INSERT INTO users (login, password) VALUES ('a', 'b')`.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};
use crate::strings::quoted;
use crate::value::before;

/// The longest list of columns, and the longest row.
const LONGEST: usize = 4 << 10;
/// Rows of one statement.
const MOST_ROWS: usize = 1000;

/// Appends the values under secret column names.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&text.as_bytes()[at..], b"(") {
        let open = at + found;
        at = open + 1;
        let head = before(text, open, 12).trim_end();
        let is_values = head
            .len()
            .checked_sub(6)
            .and_then(|start| head.get(start..))
            .is_some_and(|word| word.eq_ignore_ascii_case("values"));
        if is_values {
            at = rows(text, open, hits).max(at);
        }
    }
}

/// Takes the rows that begin at a parenthesis; where they end.
fn rows(text: &str, open: usize, hits: &mut Vec<Hit>) -> usize {
    let Some(columns) = columns(text, open) else {
        return open;
    };
    let mut at = open;
    for _ in 0..MOST_ROWS {
        let Some(end) = row(text, at, &columns, hits) else {
            return at;
        };
        let rest = &text[end..];
        let next = rest.trim_start().strip_prefix(',').map(str::trim_start);
        match next.filter(|next| next.starts_with('(')) {
            Some(next) => at = text.len() - next.len(),
            None => return end,
        }
    }
    at
}

/// What the columns before `VALUES` announce; nothing if none is a secret.
fn columns(text: &str, open: usize) -> Option<Vec<Naming>> {
    let head = before(text, open, LONGEST).trim_end();
    let list = head.get(..head.len() - 6)?.trim_end().strip_suffix(')')?;
    let list = &list[list.rfind('(')? + 1..];
    let marks = ['"', '`', '[', ']', ' ', '\\', '\n'];
    let columns: Vec<Naming> = list
        .split(',')
        .map(|name| classify(name.trim_matches(marks)))
        .collect();
    let announces = columns.iter().any(|naming| *naming >= Naming::Strong);
    announces.then_some(columns)
}

/// One row: where its parenthesis closes.
fn row(text: &str, open: usize, columns: &[Naming], hits: &mut Vec<Hit>) -> Option<usize> {
    let bytes = text.as_bytes();
    let limit = bytes.len().min(open + LONGEST);
    let (mut at, mut column, mut start) = (open + 1, 0, open + 1);
    let mut value = None;
    while at < limit {
        match bytes[at] {
            b',' | b')' => {
                let naming = columns.get(column).copied().unwrap_or(Naming::Ordinary);
                let (from, to) = value.take().unwrap_or((start, at));
                let text = text.get(from..to)?;
                let trimmed = text.trim();
                let from = from + (text.len() - text.trim_start().len());
                if is_secret_value(naming, trimmed) {
                    hits.push(Hit::secret(from, from + trimmed.len(), "sql-row"));
                }
                column += 1;
                start = at + 1;
                if bytes[at] == b')' {
                    return Some(at + 1);
                }
                at += 1;
            }
            b'\'' | b'"' => {
                let (from, to, _) = quoted(text, at)?;
                value = Some((from, to));
                at = (to + 1).max(at + 1);
            }
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_values_of_secret_columns() {
        let found = |text: &str| {
            let mut hits = vec![];
            scan(text, &mut hits);
            hits.iter()
                .map(|hit| text[hit.start..hit.end].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found("INSERT INTO u (login, password) VALUES ('a', 'x,9'), ('b', 'y)9') RETURNING id"),
            ["x,9", "y)9"]
        );
        assert_eq!(
            found("insert into t (`api_key`, n) values(N'x9-abc', 3)"),
            ["x9-abc"]
        );
        for text in [
            "INSERT INTO u (a, b) VALUES ('a', 'b')",
            "values (1, 2)",
            "f(x) VALUES ('",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
