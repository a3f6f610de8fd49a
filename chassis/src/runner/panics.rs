//! Handlers that panic. A panic ends the handling of one message and nothing else, and what is
//! delivered again and again is buried at last, as it is with any other failure.
//!
//! The message of a panic can quote what the handler stumbled over, so it goes no further than the
//! process's own hook lets it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

/// How long a message waits after a panic, at first.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// After so many deliveries one that panics is buried, where the consumer has no limit.
pub(super) const DELIVERIES: u64 = 5;

/// What the dead letter says.
pub(super) fn cause() -> anyhow::Error {
    anyhow::anyhow!("the handler panicked; its log says where, and this is a bug")
}

/// What is handled, or `None` where that panicked; a panic goes no further, and what others do in the same task
/// goes on. What handlers share is left as it is, which is what the panic of a task does.
///
/// Not an `async fn`, which would hold the handling twice: as its argument, and as what it waits for.
pub(super) fn caught<T>(handling: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    AssertUnwindSafe(handling).catch_unwind().map(Result::ok)
}
