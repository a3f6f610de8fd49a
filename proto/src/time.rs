use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// The protobuf timestamp of a system time; times before 1970 become the epoch.
pub fn to_timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}

/// The system time of a protobuf timestamp; `None` where it lies outside what the platform can hold.
pub fn from_timestamp(at: &Timestamp) -> Option<SystemTime> {
    let nanos = u32::try_from(at.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    match u64::try_from(at.seconds) {
        Ok(seconds) => UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)),
        Err(_) => UNIX_EPOCH
            .checked_sub(Duration::from_secs(at.seconds.unsigned_abs()))?
            .checked_add(Duration::from_nanos(u64::from(nanos))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip() {
        let at = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(from_timestamp(&to_timestamp(at)), Some(at));
    }

    #[test]
    fn hostile_nanoseconds_are_refused() {
        for nanos in [-1, 1_000_000_000, i32::MIN] {
            assert_eq!(
                from_timestamp(&Timestamp { seconds: 1, nanos }),
                None,
                "{nanos}"
            );
        }
    }
}
