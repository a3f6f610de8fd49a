//! Waiting for something to become true, with the last answer in the failure.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Asks until the answer is `Some`. The limit only ends a test that would never end.
pub(crate) async fn until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_mins(3);
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    loop {
        looks.tick().await;
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what}: still not so");
        }
    }
}
