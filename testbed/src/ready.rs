//! Waiting for a server to be ready: asking it, never guessing.

use crate::process::{self, Server, last_lines};
use std::time::{Duration, Instant};

/// Time between two questions.
const INTERVAL: Duration = Duration::from_millis(50);

/// A server did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It ended.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// It did not answer in time.
    #[error("{what} is not ready after {limit:?}: {last}\n{tail}")]
    Late {
        /// What was awaited.
        what: String,
        /// For how long.
        limit: Duration,
        /// The last answer.
        last: String,
        /// The end of the server's log.
        tail: String,
    },
}

/// Asks `probe` until it answers `Ok`, as long as all `servers` live, for at most `limit`.
pub async fn until<T, F>(
    what: &str,
    limit: Duration,
    servers: &mut [&mut Server],
    mut probe: F,
) -> Result<T, Error>
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let deadline = Instant::now() + limit;
    loop {
        for server in servers.iter_mut() {
            server.check_alive()?;
        }
        let last = match probe().await {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if Instant::now() >= deadline {
            let tails = servers.iter().map(|server| last_lines(server.log(), 8));
            let tail = tails.collect::<Vec<_>>().join("\n");
            return Err(Error::Late {
                what: what.to_owned(),
                limit,
                last,
                tail,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A client for loopback addresses: no proxy, no TLS, short time-outs.
pub(crate) fn local_http() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(10))
        .build()
}

/// `Ok` when a GET of `url` is answered with a success.
pub(crate) async fn get_ok(client: &reqwest::Client, url: &str) -> Result<(), String> {
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = answer.text().await.unwrap_or_default();
    Err(format!("{url}: {status} {}", body.trim()))
}
