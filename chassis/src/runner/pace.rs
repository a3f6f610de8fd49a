//! How quickly handlers come to an end, and so how much may be asked for before they have.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is pulled ahead will be begun in about so long. It is far shorter than any ack wait.
const MOMENT: Duration = Duration::from_millis(50);

/// When the last handlers ended: as many as there may be at a time.
#[derive(Debug)]
pub(super) struct Pace {
    ended: Mutex<VecDeque<Instant>>,
    concurrency: usize,
}

impl Pace {
    pub(super) fn of(concurrency: usize) -> Self {
        Self {
            ended: Mutex::new(VecDeque::with_capacity(concurrency + 1)),
            concurrency,
        }
    }

    /// A handler has ended.
    pub(super) fn end(&self, now: Instant) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push_back(now);
        if ended.len() > self.concurrency {
            ended.pop_front();
        }
    }

    /// How many messages more than handlers are free may be asked for: as many as there are handlers, while so many
    /// have ended within a moment.
    pub(super) fn ahead(&self, now: Instant) -> usize {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quick = ended.len() == self.concurrency
            && ended
                .front()
                .is_some_and(|first| now.saturating_duration_since(*first) < MOMENT);
        if is_quick { self.concurrency } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quick_pulls_ahead_until_it_is_not() {
        let (pace, start) = (Pace::of(3), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.ahead(start), 0, "nothing has ended");
        pace.end(after(1));
        pace.end(after(2));
        assert_eq!(pace.ahead(after(2)), 0, "not as many as there may be");
        pace.end(after(3));
        assert_eq!(pace.ahead(after(3)), 3);
        assert_eq!(pace.ahead(after(50)), 3);
        assert_eq!(pace.ahead(after(51)), 0, "nothing has ended since");
        pace.end(after(51));
        assert_eq!(pace.ahead(after(51)), 3, "the last three count");
        pace.end(after(90));
        assert_eq!(
            pace.ahead(after(60)),
            0,
            "one of the last three is long ago"
        );
    }
}
