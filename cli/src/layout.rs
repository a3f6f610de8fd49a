//! How text fits into a terminal.

use anstream::adapter::strip_str;
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

/// Where the text of a line begins, see [`crate::render::line`].
pub const LINE_INDENT: usize = 28;
/// Where the text of a field begins, see [`crate::render::diagnosis`].
pub const FIELD_INDENT: usize = 18;
/// From so many columns on, names in tables are not broken.
const ROOMY: u16 = 110;
/// What tables of a fixed width get where there is no terminal.
const FALLBACK: u16 = 120;

/// The columns of the terminal that standard output is; `None` for a file or a pipe, whose lines
/// are left as they are, so that they can be searched.
pub fn terminal() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// How wide tables are.
pub fn width() -> u16 {
    terminal().unwrap_or(FALLBACK)
}

/// A table as wide as the terminal at most. The columns `whole` hold names, which are for copying
/// and are not broken where there is room for the others.
pub fn table<const N: usize>(header: [&str; N], whole: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    let columns = terminal();
    if let Some(columns) = columns {
        table.set_width(columns);
    }
    if columns.is_none_or(|columns| columns >= ROOMY) {
        for index in whole {
            if let Some(column) = table.column_mut(*index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    table
}

/// Breaks lines that are too long for the terminal between words; what follows a break is indented.
pub fn fit(text: &str, indent: usize) -> String {
    match terminal() {
        Some(columns) => fold(text, indent, usize::from(columns)),
        None => text.to_owned(),
    }
}

/// As [`fit`], for so many columns. Escape sequences take no room.
pub fn fold(text: &str, indent: usize, columns: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut used = 0;
        for (index, word) in line.split(' ').enumerate() {
            let length = strip_str(word.trim_end_matches('\n')).to_string();
            let length = length.chars().count();
            if index == 0 {
                used = length;
            } else if used > indent && used + 1 + length > columns && length > 0 {
                folded.push('\n');
                folded.push_str(&" ".repeat(indent));
                used = indent + length;
            } else {
                folded.push(' ');
                used += 1 + length;
            }
            folded.push_str(word);
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_indented() {
        for (text, expected) in [
            ("a bb ccc", "a bb ccc"),
            ("12345 789 bcd\n", "12345 789\n  bcd\n"),
            (
                "12345 789\nbcd efg hij klm\n",
                "12345 789\nbcd efg\n  hij klm\n",
            ),
            ("    x  y", "    x  y"),
            ("a-word-that-is-too-long b", "a-word-that-is-too-long\n  b"),
            (
                "ab \u{1b}[1mcd\u{1b}[0m efgh",
                "ab \u{1b}[1mcd\u{1b}[0m efgh",
            ),
        ] {
            assert_eq!(fold(text, 2, 10), expected, "{text:?}");
        }
    }
}
