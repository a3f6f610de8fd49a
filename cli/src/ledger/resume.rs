//! What of a watch was seen, so that it can be taken up again without a gap and without a repetition.

use std::collections::BTreeSet;

use bonesetter_proto::v1::{IncidentEvent, WatchIncidentsResponse};

/// The events that were seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// Everything up to here; `None` before anything is known.
    through: Option<u64>,
    /// And these beyond it.
    beyond: BTreeSet<u64>,
}

impl Seen {
    pub(super) const fn after(through: Option<u64>) -> Self {
        Self {
            through,
            beyond: BTreeSet::new(),
        }
    }

    /// The place to watch after.
    pub(super) const fn resume_after(&self) -> Option<u64> {
        self.through
    }

    /// The event of an answer, unless it was seen before.
    pub(super) fn new_in(&mut self, answer: WatchIncidentsResponse) -> Option<IncidentEvent> {
        let is_known = |seq: u64| self.through.is_some_and(|through| seq <= through);
        let event = answer.event.filter(|event| !is_known(event.sequence));
        let event = event.filter(|event| self.beyond.insert(event.sequence));
        self.through = self.through.max(Some(answer.resume_after));
        let through = answer.resume_after;
        self.beyond.retain(|seq| *seq > through);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sequence: Option<u64>, resume_after: u64) -> WatchIncidentsResponse {
        let event = |sequence| IncidentEvent {
            sequence,
            ..IncidentEvent::default()
        };
        WatchIncidentsResponse {
            event: sequence.map(event),
            resume_after,
        }
    }

    #[test]
    fn what_is_shown_again_is_not_seen_again_and_what_comes_late_is() {
        let mut seen = Seen::after(None);
        let mut shown = Vec::new();
        for (sequence, resume_after, place) in [
            (None, 2, 2),
            (Some(4), 2, 2),
            (Some(6), 2, 2),
            // Taken up again; the server goes back further than it must.
            (None, 1, 2),
            (Some(2), 1, 2),
            (Some(4), 1, 2),
            (Some(5), 1, 2),
            (Some(6), 5, 5),
            (Some(7), 7, 7),
            (Some(7), 7, 7),
        ] {
            let event = seen.new_in(answer(sequence, resume_after));
            shown.extend(event.map(|event| event.sequence));
            assert_eq!(seen.resume_after(), Some(place), "{sequence:?}");
        }
        assert_eq!(shown, [4, 6, 5, 7]);
    }
}
