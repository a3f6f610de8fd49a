//! Standard output and standard error.

use std::io::{self, Write as _};

/// Writes a text for people, whose colours only a terminal gets. A reader who has gone away (`| head`) is no
/// error, and does not change what the exit code says.
pub(crate) fn print(text: &str) -> io::Result<()> {
    is_printed(text).map(|_| ())
}

/// As [`print`], and says whether anybody still reads.
pub(crate) fn is_printed(text: &str) -> io::Result<bool> {
    is_written(text, anstream::stdout().lock())
}

/// Writes data to the last byte as they are, and says whether anybody still reads.
pub(crate) fn is_handed_on(data: &str) -> io::Result<bool> {
    is_written(data, io::stdout().lock())
}

fn is_written(text: &str, mut out: impl io::Write) -> io::Result<bool> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Writes a line to standard error.
pub(crate) fn say_error(line: &str) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(anstream::stderr(), "{line}");
}
