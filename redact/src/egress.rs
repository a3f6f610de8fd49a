use crate::placeholder::lookalikes;

use crate::engine::Hit;
use crate::learn::Learnt;

/// A value that was taken out is still in a message. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Leak {
    /// A known value is in the bytes, as such or encoded.
    #[error("a redacted value of kind {kind} is still at byte {at}")]
    Value {
        /// The kind of the value.
        kind: String,
        /// Its first byte.
        at: usize,
    },
    /// More values were found than are kept, so that their absence cannot be proved.
    #[error("too many values were redacted to prove that none is left")]
    Unproven,
}

/// Searches the final bytes of a message for everything learnt.
pub(crate) fn check(
    bytes: &[u8],
    learnt: &Learnt,
    is_issued: impl Fn(&str) -> bool,
) -> Result<(), Leak> {
    if learnt.is_overfull() {
        return Err(Leak::Unproven);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut hits: Vec<Hit> = Vec::new();
    learnt.scan(&text, &mut hits);
    if hits.is_empty() {
        return Ok(());
    }
    let own: Vec<(usize, usize)> = lookalikes(&text)
        .into_iter()
        .filter(|&(start, end)| is_issued(&text[start..end]))
        .collect();
    let leak = hits.into_iter().find(|hit| {
        !own.iter()
            .any(|&(start, end)| start <= hit.start && hit.end <= end)
    });
    leak.map_or(Ok(()), |hit| {
        Err(Leak::Value {
            kind: hit.kind,
            at: hit.start,
        })
    })
}
