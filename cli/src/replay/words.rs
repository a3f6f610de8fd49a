//! How sizes, times and trees look.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::layout;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();

/// `412 B`, `18.2 KiB`.
pub(crate) fn bytes(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let thousands = bytes as f64 / 1024.0;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{thousands:.1} KiB"),
        _ => format!("{:.1} MiB", thousands / 1024.0),
    }
}

/// `820 ms`, `3.1 s`, `2 m 04 s`, `5 h 12 m`, `9 d 03 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..120 => format!("{:.1} s", duration.as_secs_f64()),
        120..7200 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        7200..172_800 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Puts the lines of a block behind a prefix; the first line has its own. On a terminal, lines that
/// are too long are broken, and what follows the break stands behind the prefix too.
pub(crate) fn hang(block: &str, first: &str, rest: &str, indent: usize) -> String {
    let used = rest.chars().count();
    let folded = match layout::terminal() {
        Some(columns) => {
            let left = usize::from(columns).saturating_sub(used).max(20);
            layout::fold(block, indent, left)
        }
        None => block.to_owned(),
    };
    let mut text = String::new();
    for (index, line) in folded.lines().enumerate() {
        let prefix = if index == 0 { first } else { rest };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{DIM}{prefix}{DIM:#}{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_at_a_glance() {
        for (size, text) in [(0, "0 B"), (1023, "1023 B"), (18_637, "18.2 KiB")] {
            assert_eq!(bytes(size), text);
        }
        for (millis, text) in [
            (820, "820 ms"),
            (3_140, "3.1 s"),
            (124_000, "2 m 04 s"),
            (18_720_000, "5 h 12 m"),
            (788_400_000, "9 d 03 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
