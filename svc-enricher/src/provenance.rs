//! The record of every query that was made for a piece of evidence.

use std::sync::{Mutex, PoisonError};

use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::QueryRecord;
use serde_json::Value;

/// Collects the records of one collection.
#[derive(Debug)]
pub(crate) struct Recorder {
    key: DigestKey,
    records: Mutex<Vec<QueryRecord>>,
}

impl Recorder {
    /// Hashes are keyed, or short inputs and results could be guessed from them.
    pub(crate) const fn new(key: DigestKey) -> Self {
        Self {
            key,
            records: Mutex::new(Vec::new()),
        }
    }

    /// Adds one query: what was asked, and the result as it is used; of a failure its text.
    pub(crate) fn record(&self, tool: &str, inputs: &Value, result: &[u8]) {
        let record = QueryRecord {
            tool: tool.to_owned(),
            inputs_hash: self
                .key
                .digest("query-inputs", inputs.to_string().as_bytes()),
            result_hash: self.key.digest("query-result", result),
        };
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
    }

    /// The records, in an order that does not depend on which answer came first.
    pub(crate) fn into_records(self) -> Vec<QueryRecord> {
        let mut records = self
            .records
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        records.sort_by(|a, b| (&a.tool, &a.inputs_hash).cmp(&(&b.tool, &b.inputs_hash)));
        records
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_query_has_the_same_hash_and_nothing_is_kept_in_clear() {
        let recorder = Recorder::new(DigestKey::from_bytes(&[1; 32]));
        recorder.record("b", &json!({"x": 1, "a": "secret-name"}), b"secret-result");
        recorder.record("a", &json!({"a": "secret-name", "x": 1}), b"other");
        let records = recorder.into_records();
        assert_eq!(records[0].tool, "a");
        assert_eq!(records[0].inputs_hash, records[1].inputs_hash);
        assert_ne!(records[0].result_hash, records[1].result_hash);
        assert!(!format!("{records:?}").contains("secret"));
    }
}
