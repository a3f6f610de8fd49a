//! The keeper: makes room in streams that fill up, out of what nobody needs any more.
//!
//! A full stream refuses new messages, which stops the stage that writes it. At a high mark the keeper
//! purges the oldest messages down to a low mark, and nothing that
//! - a consumer of the stream has not had and answered,
//! - a dead letter refers to that nobody has decided about, because handling it again takes the message, or
//!   may refer to when svc-audit has read the advisories of the server,
//! - is not archived: of every stream but the raw one, whose messages may go when they are redacted. What the
//!   ledger could not record (a subject that is none of ours) needs no archive once somebody has dropped it.
//!
//! What holds it back is said, and counted as a stream that is too full. It reads no message of a stage.
//! How full the streams are that it must not purge (dead letters, decisions about them, what was archived) it
//! tells too: nobody makes room there but their age.

pub mod bound;
mod letters;

use std::iter;

use bonesetter_chassis::bus::{Bus, ConsumerState, KeepError, LagError, ReadError, StreamState};
use bonesetter_chassis::clock::rfc3339;
use bonesetter_chassis::service::Service;
use bonesetter_chassis::topology::{
    AUDIT_ADVISORIES, CONSUMERS, ConsumerSpec, ENRICHED, STREAMS, StreamSpec, kept_streams,
    redrive_of,
};
use tokio::sync::Mutex;

use crate::config::KeepSettings;
use crate::metrics::KeepMetrics;
use crate::postgres::DatabaseError;
use crate::postgres::keep::KeepLedger;
use bound::Bound;
use letters::OpenLetters;

/// Why a stream was left as it is; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The stream.
    #[error(transparent)]
    Stream(#[from] KeepError),
    /// A consumer.
    #[error(transparent)]
    Consumer(#[from] LagError),
    /// Dead letters.
    #[error(transparent)]
    Letters(#[from] ReadError),
    /// What is archived.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Makes room.
#[derive(Debug)]
pub struct Keeper {
    ledger: KeepLedger,
    bus: Bus,
    settings: KeepSettings,
    metrics: KeepMetrics,
    letters: Mutex<OpenLetters>,
}

impl Keeper {
    /// With a ledger opened as `audit_keeper` and the service `keeper`.
    pub fn new(ledger: KeepLedger, service: &Service, settings: KeepSettings) -> Self {
        Self {
            ledger,
            bus: service.bus.clone(),
            settings,
            metrics: KeepMetrics::new(&service.metrics),
            letters: Mutex::new(OpenLetters::new(&service.bus)),
        }
    }

    /// Looks at every stream once; one that cannot be dealt with does not keep it from the others.
    /// Says whether all could be.
    pub async fn keep(&self) -> bool {
        let mut is_well = true;
        for stream in STREAMS {
            if let Err(error) = self.keep_one(stream).await {
                tracing::error!(stream = stream.name, %error, "a stream was left as it is");
                self.metrics.failed();
                is_well = false;
            }
        }
        self.count_letters().await && is_well
    }

    /// Tells how many dead letters are open. Says whether that is known.
    async fn count_letters(&self) -> bool {
        let mut letters = self.letters.lock().await;
        match letters.read_on().await {
            Ok(()) => {
                self.metrics.open(letters.count());
                true
            }
            Err(error) => {
                tracing::error!(%error, "it is not known which dead letters are open");
                self.metrics.open_is_unknown();
                self.metrics.failed();
                false
            }
        }
    }

    async fn keep_one(&self, stream: &StreamSpec) -> Result<(), KeeperError> {
        let state = self.bus.stream_state(stream).await?;
        self.metrics.filled(stream.name, &state);
        if !kept_streams().any(|kept| kept == stream) {
            return Ok(());
        }
        let Some(wanted) = self.settings.wanted(&state) else {
            return Ok(());
        };
        let bound = self.bound(stream, &state).await?;
        if bound.through() < wanted {
            tracing::warn!(
                stream = stream.name,
                held_by = bound.held_by(),
                through = bound.through(),
                "a stream is filling up and cannot be purged as far as it should be"
            );
        }
        let through = bound.through().min(wanted);
        if through < state.first {
            return Ok(());
        }
        let purged = self.bus.purge_through(stream, through).await?;
        self.metrics.purged(stream.name, purged);
        tracing::info!(stream = stream.name, purged, through, "made room");
        Ok(())
    }

    /// How far the stream may be purged. The state was asked for before: a consumer that has had
    /// everything since then has had everything up to the end that the state knows.
    ///
    /// Somebody may have a message handled again while the dead letters are read. So who handles messages
    /// again is asked before and afterwards: in between nothing was decided that is not done, and what was
    /// done has written no dead letter that was not seen.
    async fn bound(&self, stream: &StreamSpec, state: &StreamState) -> Result<Bound, KeeperError> {
        let mut bound = Bound::of(state);
        for consumer in consumers_of(stream) {
            bound.consumer(consumer.name, self.bus.consumer_state(consumer).await?);
        }
        // What the server has given up is delivered and not acknowledged, and no consumer says so; its
        // dead letter is written by who reads the advisories.
        for consumer in iter::once(&AUDIT_ADVISORIES).chain(redrive_of(&AUDIT_ADVISORIES)) {
            bound.must_be_idle(consumer.name, self.bus.consumer_state(consumer).await?);
        }
        let before = self.redrives(stream).await?;
        let unrecorded = {
            let mut letters = self.letters.lock().await;
            letters.read_on().await?;
            for letter in letters.about(stream) {
                bound.dead_letter(letter);
            }
            letters.unrecorded(stream, state.created)
        };
        if *stream != ENRICHED {
            let created = rfc3339(state.created);
            let archived = self
                .ledger
                .archived_through(stream.name, state.first, &created, &unrecorded)
                .await?;
            bound.archived(archived);
        }
        let after = self.redrives(stream).await?;
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            bound.redrive(name, before, after);
        }
        Ok(bound)
    }

    /// How far those are who handle messages of a stream again.
    async fn redrives(
        &self,
        stream: &StreamSpec,
    ) -> Result<Vec<(&'static str, ConsumerState)>, KeeperError> {
        let mut states = Vec::new();
        for redrive in consumers_of(stream).filter_map(redrive_of) {
            states.push((redrive.name, self.bus.consumer_state(redrive).await?));
        }
        Ok(states)
    }
}

fn consumers_of(stream: &StreamSpec) -> impl Iterator<Item = &'static ConsumerSpec> {
    let stream = *stream;
    CONSUMERS
        .iter()
        .filter(move |consumer| consumer.stream == stream)
}
