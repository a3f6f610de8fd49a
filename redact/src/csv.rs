//! Tables with a header line: the columns under secret names.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::{Naming, classify};

/// What stands between the fields of a table.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A header that announces a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    delimiter: u8,
    columns: Vec<Naming>,
}

/// Appends the values of columns whose header announces a secret.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    let mut header: Option<Header> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        match header.as_ref().filter(|header| header.has_row(line)) {
            Some(header) => header.row(line, offset, hits),
            None => header = Header::of(line),
        }
        hits.extend(row_of_pair(line, offset));
        offset += line.len();
    }
}

impl Header {
    /// The header in a line; nothing if the line is no header or announces nothing.
    pub(crate) fn of(line: &str) -> Option<Self> {
        let content = content(line);
        let is_name = |field: &str| {
            (1..=40).contains(&field.len())
                && field.matches(' ').count() < 2
                && field
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' '))
        };
        DELIMITERS.into_iter().find_map(|delimiter| {
            // Most lines are told apart from a header by what stands before the first delimiter.
            let lead = frame(content, delimiter);
            let first = lead + memchr::memchr(delimiter, &content.as_bytes()[lead..])?;
            let (start, end) = inside(content, lead, first);
            if !is_name(&content[start..end]) {
                return None;
            }
            let fields = fields(content, delimiter);
            let mut names = fields.iter().map(|&(start, end)| &content[start..end]);
            if fields.len() < 2 || !names.clone().all(is_name) {
                return None;
            }
            let columns: Vec<Naming> = names.by_ref().map(classify).collect();
            let announces = columns.iter().any(|naming| *naming >= Naming::Strong);
            announces.then_some(Self { delimiter, columns })
        })
    }

    /// Whether a line has as many fields, or is a rule between the rows.
    pub(crate) fn has_row(&self, line: &str) -> bool {
        let content = content(line);
        is_rule(content) || fields(content, self.delimiter).len() == self.columns.len()
    }

    fn row(&self, line: &str, offset: usize, hits: &mut Vec<Hit>) {
        let fields = fields(content(line), self.delimiter);
        for ((start, end), naming) in fields.into_iter().zip(&self.columns) {
            if is_secret_value(*naming, &line[start..end]) {
                hits.push(Hit::secret(offset + start, offset + end, "table-column"));
            }
        }
    }
}

/// The value of a row that has its name before it: `| DB_PASSWORD | x7 |`, `password | x7`.
fn row_of_pair(line: &str, offset: usize) -> Option<Hit> {
    memchr::memchr(b'|', line.as_bytes())?;
    let content = content(line);
    let fields = fields(content, b'|');
    let cell = |&(start, end): &(usize, usize)| content[start..end].trim_matches('`');
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let (naming, &(start, end)) = fields.windows(2).find_map(|pair| {
        let name = cell(&pair[0]);
        let is_one = name.len() <= 40 && name.bytes().all(is_name);
        let naming = classify(name);
        (is_one && naming >= Naming::Strong).then_some((naming, &pair[1]))
    })?;
    let value = cell(&(start, end));
    // The name of the next column is a word.
    let is_told =
        value.len() >= 8 && value.bytes().any(|b| b.is_ascii_digit()) && !value.contains(' ');
    let lead = content[start..end].find(value)?;
    let start = offset + start + lead;
    (is_told && is_secret_value(naming, value))
        .then(|| Hit::secret(start, start + value.len(), "table-row"))
}

fn content(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

/// `----+------`, `|:---|---:|`: what databases and Markdown draw under the names of columns.
fn is_rule(line: &str) -> bool {
    let marks = line.trim().as_bytes();
    marks.len() >= 3
        && marks.contains(&b'-')
        && marks
            .iter()
            .all(|b| matches!(b, b'-' | b'+' | b'|' | b':' | b' '))
}

/// The length of the frame that a table of bars has on its left.
fn frame(line: &str, delimiter: u8) -> usize {
    match line.bytes().position(|b| b != b' ') {
        Some(at) if delimiter == b'|' && line.as_bytes()[at] == b'|' => at + 1,
        _ => 0,
    }
}

/// The insides of the fields between delimiters, without their quotes.
fn fields(line: &str, delimiter: u8) -> Vec<(usize, usize)> {
    let mut fields = Vec::new();
    let lead = frame(line, delimiter);
    let line = if lead > 0 {
        let length = line.trim_end().trim_end_matches('|').len();
        &line[..length.max(lead)]
    } else {
        line
    };
    let (mut start, mut quoted) = (lead, false);
    for (index, byte) in line.bytes().enumerate().skip(lead) {
        match byte {
            b'"' => quoted = !quoted,
            byte if byte == delimiter && !quoted => {
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
        assert_eq!(found("user;token\na;hunter2\n"), ["hunter2"]);
        assert_eq!(found("user\ttoken\na\thunter2\n"), ["hunter2"]);
        assert_eq!(
            found(" id | api_token \n----+-----------\n  1 | tok-88-yy\n(1 row)\n"),
            ["tok-88-yy"]
        );
        assert_eq!(
            found(
                "+------+----------+\n| user | password |\n+------+----------+\n| ada  | hunter2  |\n+------+----------+\n"
            ),
            ["hunter2"]
        );
        assert_eq!(
            found("| name | token |\n|---|:---:|\n| a | tok-88-yy |\n"),
            ["tok-88-yy"]
        );
        assert_eq!(
            found("| name | value |\n|---|---|\n| DB_PASSWORD | `hunter22` |\n"),
            ["hunter22"]
        );
        assert!(found("| user | password | role |\n").is_empty());
        assert!(found("a, password was wrong\nb, c\n").is_empty());
        assert!(found("name,size\na,b\n").is_empty());
        for line in [
            "|",
            "||",
            "  |",
            "$2\n|\n",
            "| user | password |\n|---|---|\n|\n",
        ] {
            assert!(found(line).is_empty(), "{line}");
        }
    }
}
