//! Log lines as an ordinary service writes them: a timestamp, a level, a component, a message.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

/// Writes one line with the time, a level and the component that speaks.
///
/// A closed standard output is ignored: a container has nowhere else to complain to.
pub(crate) fn line(level: &str, component: &str, message: &str) {
    raw(&format!(
        "{} {level:<5} {component}: {message}",
        timestamp()
    ));
}

/// Writes one line as it is.
pub(crate) fn raw(line: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    drop(written);
}

/// The present time in RFC 3339, UTC, with milliseconds.
pub(crate) fn timestamp() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a container that writes its own log has no injected clock"
    )]
    let now = std::time::SystemTime::now();
    format_utc(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn format_utc(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Gregorian date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`, for days after the epoch).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::format_utc;
    use std::time::Duration;

    #[test]
    fn formats_known_instants() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_795_615_200_250, "2026-11-25T14:00:00.250Z"),
        ] {
            assert_eq!(format_utc(Duration::from_millis(millis)), expected);
        }
    }
}
