//! Tables of two columns that blanks separate: what `vault kv get` prints.

use crate::carrier::is_secret_value;
use crate::engine::Hit;
use crate::lexicon::classify;

/// Appends the values of rows whose name announces a secret.
pub(crate) fn scan(text: &str, hits: &mut Vec<Hit>) {
    if memchr::memmem::find(text.as_bytes(), b"\n---").is_none() {
        return;
    }
    let mut table = Table::Outside;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let row = cells(line);
        table = match (table, row) {
            (_, Some((name, (start, end)))) if is_header(name, &line[start..end]) => Table::Header,
            (Table::Header | Table::Rows, Some((name, (start, end))))
                if is_rule(name) && is_rule(&line[start..end]) =>
            {
                Table::Rows
            }
            (Table::Rows, Some((name, (start, end)))) => {
                let value = &line[start..end];
                let is_list = value.starts_with(['[', '{']) || value.starts_with("map[");
                if !is_list && is_secret_value(classify(name), value) {
                    hits.push(Hit::secret(offset + start, offset + end, "table-row"));
                }
                Table::Rows
            }
            // A value without a name, or a name without a value, is within the table.
            (Table::Rows, None) if !line.trim().is_empty() => Table::Rows,
            _ => Table::Outside,
        };
        offset += line.len();
    }
}

/// Where in a table a line is.
#[derive(Debug, Clone, Copy)]
enum Table {
    Outside,
    /// Behind the names of the columns.
    Header,
    Rows,
}

/// The name in the first column, and the place of what is in the second.
fn cells(line: &str) -> Option<(&str, (usize, usize))> {
    let content = line.trim_end();
    let name = content.split(' ').next()?;
    let rest = content[name.len()..].trim_start();
    let start = content.len() - rest.len();
    let is_row = !name.is_empty() && !rest.is_empty() && start > name.len() + 1;
    is_row.then_some((name, (start, content.len())))
}

fn is_header(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("key") && value.eq_ignore_ascii_case("value")
}

fn is_rule(cell: &str) -> bool {
    cell.len() >= 3 && cell.bytes().all(|b| b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_a_secret_name() {
        let found = |text: &str| {
            let mut hits = vec![];
            scan(text, &mut hits);
            let values = hits.iter().map(|hit| text[hit.start..hit.end].to_owned());
            values.collect::<Vec<_>>()
        };
        let table = "== Data ==\nKey         Value\n---         -----\ndb_password    copper kettle\nuser    ada\n";
        assert_eq!(found(table), ["copper kettle"]);
        let table = "Key               Value\n---               -----\ntoken             hvs.meadow\ntoken_duration    768h\ntoken_policies    [\"default\"]\n";
        assert_eq!(found(table), ["hvs.meadow"]);
        let table = "Key   Value\n---   -----\nempty\ndb_password    meadow7\n";
        assert_eq!(found(table), ["meadow7"]);
        for text in [
            "Key         Value\npassword    meadow\n",
            "NAME    READY\n---     -----\ntoken   meadow\n",
            "Key   Value\n---   -----\n\npassword    meadow\n",
            "a\n---\npassword    meadow\n",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
    }
}
