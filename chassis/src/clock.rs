//! Time as an argument, so that tests control it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    /// Milliseconds since the epoch.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: SystemTime) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(millis(start)))))
    }

    /// Now, UTC.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Source::System => SystemTime::now(),
            Source::Manual(at) => UNIX_EPOCH + Duration::from_millis(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; a system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            at.fetch_add(by, Ordering::SeqCst);
        }
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 with milliseconds, UTC.
pub fn rfc3339(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(UNIX_EPOCH);
        assert_eq!(clock.now(), UNIX_EPOCH);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(rfc3339(clock.now()), "1970-01-01T00:00:01.500Z");
    }
}
