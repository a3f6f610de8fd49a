//! Reading what is remembered, beside all else: there may be tens of thousands of records, and events
//! are taken and owners judged meanwhile.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::ledger::{Ledger, LedgerError};
use crate::record::Record;
use crate::work::Work;

/// How often records are read again, because another replica may have opened an incident that nothing
/// here hints at: it died, or lost the shard, just then.
const RELOAD: Duration = Duration::from_mins(5);

/// What was read, with revisions.
type Loaded = Result<Vec<(Record, u64)>, LedgerError>;

/// Reads all records from time to time.
#[derive(Debug)]
pub(crate) struct Loading {
    ledger: Ledger,
    work: Work,
    tasks: TaskTracker,
    /// Ends when it is dropped.
    under_way: Option<AbortOnDropHandle<Loaded>>,
    /// When they were last read; none where nothing may be judged before they are.
    read: Option<Instant>,
}

impl Loading {
    pub(crate) const fn new(ledger: Ledger, work: Work, tasks: TaskTracker) -> Self {
        Self {
            ledger,
            work,
            tasks,
            under_way: None,
            read: None,
        }
    }

    /// Begins where it is time to and it is not under way. Each record that comes is progress.
    pub(crate) fn begin_if_due(&mut self) {
        if self.read.is_some_and(|at| at.elapsed() < RELOAD) {
            return;
        }
        let (ledger, work) = (&self.ledger, &self.work);
        self.under_way.get_or_insert_with(|| {
            let (ledger, work) = (ledger.clone(), work.clone());
            let load = async move { ledger.load(|| work.note_progress()).await };
            AbortOnDropHandle::new(self.tasks.spawn(load))
        });
    }

    /// Whether they have been read since the start or since [`start_over`](Self::start_over).
    pub(crate) const fn has_read(&self) -> bool {
        self.read.is_some()
    }

    /// Only what is read from now on counts.
    pub(crate) fn start_over(&mut self) {
        self.under_way = None;
        self.read = None;
    }

    /// What was read, once it is; never, while nothing is under way.
    pub(crate) async fn ended(&mut self) -> Loaded {
        let Some(under_way) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let ended = under_way.await;
        self.under_way = None;
        let records = ended??;
        self.read = Some(Instant::now());
        Ok(records)
    }
}
