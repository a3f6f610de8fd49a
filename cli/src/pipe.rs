//! Standard output and standard error. A reader that goes away (`| head`) ends the command quietly.

use std::io::{self, Write as _};

/// Writes text as it is.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// Writes a line to standard error.
pub(crate) fn say_error(line: &str) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(anstream::stderr(), "{line}");
}
