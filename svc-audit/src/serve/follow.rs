//! Events as they are recorded.

use std::collections::BTreeSet;

use crate::postgres::DatabaseError;
use crate::postgres::read::{EventRow, Namespaces, ReadLedger};

/// Rows a query reads.
const PAGE: u32 = 500;

/// What somebody wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) namespaces: Namespaces,
    pub(crate) incident: Option<String>,
}

/// What was read, and whether there is more already.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<EventRow>,
    pub(crate) has_more: bool,
}

/// Reads each event once, also those that become visible after others with a greater number: it reads
/// again and again from the place up to which nothing more can come.
#[derive(Debug)]
pub(crate) struct Follower {
    ledger: ReadLedger,
    wanted: Wanted,
    /// Everything up to here was read, and nothing more can come.
    through: i64,
    /// What was read beyond it.
    read: BTreeSet<i64>,
    /// Where this round goes on, and what was settled when it began.
    round: Option<(i64, i64)>,
}

impl Follower {
    /// Begins after a place, or, without one, with what is recorded from now on.
    pub(crate) async fn start(
        ledger: ReadLedger,
        wanted: Wanted,
        after: Option<i64>,
    ) -> Result<Self, DatabaseError> {
        let settled = ledger.settled().await?;
        let mut follower = Self {
            ledger,
            wanted,
            through: after.map_or(settled, |after| after.min(settled)),
            read: BTreeSet::new(),
            round: None,
        };
        // What the caller knows already, or does not ask for.
        let is_known = |seq: i64| after.is_none_or(|after| seq <= after);
        while is_known(follower.position().saturating_add(1)) {
            let page = follower.page(follower.position()).await?;
            let Some(last) = page.last().map(|row| row.seq) else {
                break;
            };
            let seqs = page.iter().map(|row| row.seq);
            follower.read.extend(seqs.filter(|seq| is_known(*seq)));
            if !is_known(last) {
                break;
            }
        }
        Ok(follower)
    }

    /// The last event that was read.
    fn position(&self) -> i64 {
        self.read.last().copied().unwrap_or(self.through)
    }

    /// What has been recorded since, a page at most.
    pub(crate) async fn poll(&mut self) -> Result<Page, DatabaseError> {
        let (from, settled) = match self.round {
            Some(round) => round,
            // Before reading: what is settled now is complete in what is read afterwards.
            None => (self.through, self.ledger.settled().await?),
        };
        let mut rows = self.page(from).await?;
        let has_more = rows.len() == PAGE as usize;
        let last = rows.last().map_or(from, |row| row.seq);
        rows.retain(|row| !self.read.contains(&row.seq));
        self.read.extend(rows.iter().map(|row| row.seq));
        let complete = if has_more { settled.min(last) } else { settled };
        self.through = self.through.max(complete);
        self.read.retain(|seq| *seq > self.through);
        self.round = has_more.then_some((last, settled));
        Ok(Page { rows, has_more })
    }

    async fn page(&self, after: i64) -> Result<Vec<EventRow>, DatabaseError> {
        let (namespaces, incident) = (&self.wanted.namespaces, self.wanted.incident.as_deref());
        self.ledger.events(namespaces, incident, after, PAGE).await
    }
}
