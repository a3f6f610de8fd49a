//! Filling memory until the limit of the container ends it.

use crate::log;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// Allocates and touches `mib` MiB, at most `per_second` a second, and returns what it holds.
pub(crate) fn eat(mib: usize, per_second: Option<usize>) -> Vec<Vec<u8>> {
    let step = per_second.unwrap_or(mib).max(1);
    let mut held = Vec::new();
    while held.len() < mib {
        let next = step.min(mib - held.len());
        for _ in 0..next {
            // Filling with a value other than zero writes every page, so that all of it is real.
            held.push(std::hint::black_box(vec![0xA5_u8; MIB]));
        }
        log::line(
            "INFO",
            "cache",
            &format!("warmed up {} of {mib} MiB", held.len()),
        );
        if per_second.is_some() && held.len() < mib {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    held
}
