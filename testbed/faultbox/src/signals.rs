//! Ending on SIGTERM. Process 1 of a container ignores every signal it has no handler for, so a
//! pod without one is only gone after its whole grace period.

use crate::log;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit code of a process that ended because of SIGTERM, as shells and container runtimes report
/// it: 128 + 15.
const TERMINATED: i32 = 143;

/// Ends the process with code 143 on SIGTERM or SIGINT, from a thread of its own.
pub(crate) fn exit_on_terminate() -> Result<(), String> {
    let mut signals = subscribe()?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            log::line("INFO", "main", "received SIGTERM, shutting down");
            std::process::exit(TERMINATED);
        }
    });
    Ok(())
}

/// Waits for SIGTERM or SIGINT: all that the container of a pod sandbox does.
pub(crate) fn pause() -> Result<(), String> {
    subscribe()?.forever().next();
    Ok(())
}

fn subscribe() -> Result<Signals, String> {
    Signals::new([SIGTERM, SIGINT]).map_err(|error| format!("cannot handle signals: {error}"))
}
