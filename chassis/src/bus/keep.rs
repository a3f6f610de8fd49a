use std::time::SystemTime;

use super::Bus;
use crate::topology::StreamSpec;

/// How full a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes at which it refuses new messages; 0 when never.
    pub max_bytes: u64,
    /// Place of the oldest message.
    pub first: u64,
    /// Place of the newest message.
    pub last: u64,
    /// When it was made. Places begin anew with a stream that is made anew.
    pub created: SystemTime,
}

/// Why a stream was not looked at or purged.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} stream {stream}: {reason}")]
pub struct KeepError {
    attempt: &'static str,
    stream: &'static str,
    reason: String,
}

impl Bus {
    /// Asks the server how full a stream is.
    pub async fn stream_state(&self, spec: &StreamSpec) -> Result<StreamState, KeepError> {
        let stream = self
            .js
            .get_stream(spec.name)
            .await
            .map_err(|error| self.keep_error("look at", "INFO", spec, &error.into()))?;
        let info = stream.cached_info();
        Ok(StreamState {
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_bytes: u64::try_from(info.config.max_bytes).unwrap_or(0),
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            created: info.created.into(),
        })
    }

    /// Removes every message up to a place, that included. Returns how many there were.
    pub async fn purge_through(&self, spec: &StreamSpec, through: u64) -> Result<u64, KeepError> {
        let stream = self
            .js
            .get_stream_no_info(spec.name)
            .await
            .map_err(|error| self.keep_error("look at", "INFO", spec, &error.into()))?;
        stream
            .purge()
            .sequence(through.saturating_add(1))
            .await
            .map(|purged| purged.purged)
            .map_err(|error| self.keep_error("purge", "PURGE", spec, &error.into()))
    }

    /// A refusal comes as an event of its own, and as a timeout here.
    fn keep_error(
        &self,
        attempt: &'static str,
        verb: &str,
        spec: &StreamSpec,
        error: &async_nats::Error,
    ) -> KeepError {
        let subject = format!("$JS.API.STREAM.{verb}.{}", spec.name);
        KeepError {
            attempt,
            stream: spec.name,
            reason: self
                .violations
                .take(&subject)
                .unwrap_or_else(|| error.to_string()),
        }
    }
}
