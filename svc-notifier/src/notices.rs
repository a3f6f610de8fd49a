//! The bucket `bonesetter-notices`: one record per incident, changed by compare-and-set.

use bonesetter_chassis::bus::{Bucket, KvError};
use bytes::Bytes;

use crate::record::Record;

/// Another worker has changed the record as often as this: let it finish.
const MAX_ROUNDS: usize = 8;

/// Why a record was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NoticesError {
    /// The bucket cannot be used now.
    #[error(transparent)]
    Bucket(#[from] KvError),
    /// What is stored is not a record.
    #[error("the record of incident {incident} cannot be read: {source}")]
    Damaged {
        /// Which incident.
        incident: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Others keep changing it.
    #[error("the record of incident {0} is being changed by others")]
    Contended(String),
}

/// The records.
#[derive(Debug, Clone)]
pub struct Notices {
    bucket: Bucket,
}

impl Notices {
    /// Nothing is read yet.
    pub const fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    /// Changes the record of an incident and stores it, unless the change left it as it was. The
    /// change is made again on the newest record when another worker was faster.
    pub async fn change<T>(
        &self,
        incident: &str,
        mut change: impl FnMut(&mut Record) -> T + Send,
    ) -> Result<(Record, T), NoticesError> {
        for _ in 0..MAX_ROUNDS {
            let entry = self.bucket.get(incident).await?;
            let before = match &entry {
                None => Record::default(),
                Some(entry) => serde_json::from_slice(&entry.value).map_err(|source| {
                    NoticesError::Damaged {
                        incident: incident.to_owned(),
                        source,
                    }
                })?,
            };
            let mut after = before.clone();
            let answer = change(&mut after);
            if after == before {
                return Ok((after, answer));
            }
            let bytes = serde_json::to_vec(&after)
                .map(Bytes::from)
                .map_err(|source| NoticesError::Damaged {
                    incident: incident.to_owned(),
                    source,
                })?;
            let stored = match entry {
                None => self.bucket.create(incident, bytes).await,
                Some(entry) => self.bucket.update(incident, bytes, entry.revision).await,
            };
            match stored {
                Ok(_) => return Ok((after, answer)),
                Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NoticesError::Contended(incident.to_owned()))
    }
}
