//! How quickly handlers do their work, and so how much may be asked for before they have.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is pulled ahead will be begun in about so long. It is far shorter than any ack wait.
const MOMENT: Duration = Duration::from_millis(50);

/// When those began that ended last: as many as there may be at a time. When they ended says nothing, because
/// slow ones that wait for the same thing end together.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Mutex<VecDeque<Instant>>,
    concurrency: usize,
}

impl Pace {
    pub(super) fn of(concurrency: usize) -> Self {
        Self {
            begun: Mutex::new(VecDeque::with_capacity(concurrency + 1)),
            concurrency,
        }
    }

    /// A handler has ended that began then.
    pub(super) fn end(&self, began: Instant) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push_back(began);
        if begun.len() > self.concurrency {
            begun.pop_front();
        }
    }

    /// How many messages more than handlers are free may be asked for: as many as there are handlers, while so many
    /// have begun and ended within a moment.
    pub(super) fn ahead(&self, now: Instant) -> usize {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |began: &Instant| now.saturating_duration_since(*began) < MOMENT;
        if begun.len() == self.concurrency && begun.iter().all(is_recent) {
            self.concurrency
        } else {
            0
        }
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
    }

    #[test]
    fn what_is_slow_pulls_nothing_ahead_where_all_end_at_once() {
        let (pace, start) = (Pace::of(2), Instant::now());
        let end = start + Duration::from_secs(2);
        pace.end(start);
        pace.end(start);
        assert_eq!(pace.ahead(end), 0);
        pace.end(end);
        assert_eq!(pace.ahead(end), 0, "one of the last two is slow");
        pace.end(end);
        assert_eq!(pace.ahead(end), 2);
    }
}
