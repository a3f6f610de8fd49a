//! The bucket of changes: one record per incident, written by compare-and-set.

use bonesetter_chassis::bus::{Bucket, KvError};
use bonesetter_keys::SealingKeys;

use crate::edit::Edits;
use crate::record::{Place, Record, SealError, SealedEdits};

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] KvError),
    /// What is stored is not a record of ours.
    #[error("the record of incident {incident} cannot be read; it was not written by this version")]
    Malformed {
        /// Which incident.
        incident: String,
    },
    /// The record has no JSON form.
    #[error("cannot encode the record of incident {incident}: {source}")]
    Encode {
        /// Which incident.
        incident: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Former values.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A record as it is stored.
#[derive(Debug)]
pub struct Held {
    incident: String,
    /// The record.
    pub record: Record,
    revision: u64,
}

/// The records of all changes.
#[derive(Debug)]
pub struct Changes {
    bucket: Bucket,
    keys: SealingKeys,
}

impl Changes {
    /// Nothing is asked of the bucket yet.
    pub const fn new(bucket: Bucket, keys: SealingKeys) -> Self {
        Self { bucket, keys }
    }

    /// The record of an incident.
    pub async fn get(&self, incident: &str) -> Result<Option<Held>, ChangesError> {
        let Some(entry) = self.bucket.get(incident).await? else {
            return Ok(None);
        };
        let incident = incident.to_owned();
        match serde_json::from_slice(&entry.value) {
            Ok(record) => Ok(Some(Held {
                incident,
                record,
                revision: entry.revision,
            })),
            Err(_) => Err(ChangesError::Malformed { incident }),
        }
    }

    /// Claims an incident for one change; `false` when it is claimed already.
    pub async fn claim(&self, incident: &str, record: &Record) -> Result<bool, ChangesError> {
        match self
            .bucket
            .create(incident, encode(incident, record)?)
            .await
        {
            Ok(_) => Ok(true),
            Err(KvError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a changed record, if nobody else has changed it.
    pub async fn store(&self, held: &mut Held) -> Result<(), ChangesError> {
        let value = encode(&held.incident, &held.record)?;
        held.revision = self
            .bucket
            .update(&held.incident, value, held.revision)
            .await?;
        Ok(())
    }

    /// Seals former and new values into the record; not stored yet.
    pub fn seal(&self, held: &mut Held, edits: &Edits) -> Result<(), ChangesError> {
        held.record.inverse = Some(SealedEdits::seal(&self.keys, &held.place(), edits)?);
        Ok(())
    }

    /// The former and new values, once they have been stored.
    pub fn open(&self, held: &Held) -> Result<Option<Edits>, ChangesError> {
        let Some(sealed) = &held.record.inverse else {
            return Ok(None);
        };
        Ok(Some(sealed.open(&self.keys, &held.place())?))
    }
}

impl Held {
    fn place(&self) -> Place<'_> {
        Place {
            incident: &self.incident,
            effect_key: &self.record.effect_key,
        }
    }
}

fn encode(incident: &str, record: &Record) -> Result<bytes::Bytes, ChangesError> {
    let value = serde_json::to_vec(record).map_err(|source| ChangesError::Encode {
        incident: incident.to_owned(),
        source,
    })?;
    Ok(value.into())
}
