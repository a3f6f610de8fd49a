//! Times and shares.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use bonesetter_chassis::bus::StoredMessage;

/// The middle one; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Between the times at which the server stored a message and what became of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Latencies of what came in to what went out; times are the server's.
pub(crate) fn latency(from: &[StoredMessage], to: &[StoredMessage]) -> anyhow::Result<Latency> {
    let incident = |message: &StoredMessage| message.subject.split('.').nth(6).map(str::to_owned);
    let begun: BTreeMap<_, _> = from
        .iter()
        .map(|message| (incident(message), message.stored_at))
        .collect();
    let mut times: Vec<Duration> = to
        .iter()
        .filter_map(|message| {
            let begun = begun.get(&incident(message))?;
            message.stored_at.duration_since(*begun).ok()
        })
        .collect();
    anyhow::ensure!(
        times.len() == from.len() && times.len() == to.len(),
        "{} messages came in and {} went out, {} of them after what they answer",
        from.len(),
        to.len(),
        times.len()
    );
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    Ok(Latency {
        p50_ms: at(50),
        p99_ms: at(99),
    })
}

/// Processor time that a process has used, in seconds (proc(5), `stat`, fields 14 and 15, in
/// hundredths).
pub(crate) fn cpu_seconds(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |index| {
        let field: Option<&str> = fields.split_whitespace().nth(index);
        field
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) / 100.0
}
