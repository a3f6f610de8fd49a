//! Tables with a header line: the columns under secret names.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};

/// Appends the values of columns whose header announces a secret.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let mut columns: Vec<Naming> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let fields = fields(line.trim_end_matches(['\n', '\r']));
        if fields.len() < 2 || fields.len() != columns.len() {
            columns = header(line, &fields);
        } else {
            for (&(start, end), &naming) in fields.iter().zip(&columns) {
                if is_secret_value(naming, &line[start..end]) {
                    hits.push(Hit::secret(offset + start, offset + end, "table-column"));
                }
            }
        }
        offset += line.len();
    }
}

/// How many columns the table has whose header this line is; 0 if it is none that announces a secret.
pub(crate) fn columns(line: &str) -> usize {
    if !line.contains(',') {
        return 0;
    }
    let line = line.trim_end_matches(['\n', '\r']);
    header(line, &fields(line)).len()
}

/// How many columns a line has.
pub(crate) fn columns_of(line: &str) -> usize {
    fields(line.trim_end_matches(['\n', '\r'])).len()
}

/// What the fields of a header announce; nothing if the line is no header or announces nothing.
fn header(line: &str, fields: &[(usize, usize)]) -> Vec<Naming> {
    let is_name = |field: &str| {
        (1..=40).contains(&field.len())
            && field.matches(' ').count() < 2
            && field
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' '))
    };
    if fields.len() < 2
        || !fields
            .iter()
            .all(|&(start, end)| is_name(&line[start..end]))
    {
        return Vec::new();
    }
    let columns: Vec<Naming> = fields
        .iter()
        .map(|&(start, end)| classify(&line[start..end]))
        .collect();
    if columns.iter().any(|naming| *naming >= Naming::Strong) {
        columns
    } else {
        Vec::new()
    }
}

/// The insides of the fields between commas, without their quotes.
fn fields(line: &str) -> Vec<(usize, usize)> {
    let mut fields = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                fields.push(inside(line, start, index));
                start = index + 1;
            }
            _ => {}
        }
    }
    fields.push(inside(line, start, line.len()));
    fields
}

fn inside(line: &str, start: usize, end: usize) -> (usize, usize) {
    let field = &line[start..end];
    let head = field.len() - field.trim_start_matches([' ', '"']).len();
    let tail = field.len() - field.trim_end_matches([' ', '"']).len();
    if head + tail >= field.len() {
        (start, start)
    } else {
        (start + head, end - tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_columns() {
        let found = |text: &str| {
            let mut hits = vec![];
            scan(text, &mut hits);
            hits.iter()
                .map(|hit| text[hit.start..hit.end].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found("user,password\na,hunter2\nb,\"hunter,3\"\n"),
            ["hunter2", "hunter,3"]
        );
        assert!(found("a, password was wrong\nb, c\n").is_empty());
        assert!(found("name,size\na,b\n").is_empty());
    }
}
