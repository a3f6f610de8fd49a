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
    /// Each with the place to go on after when it was the last that was shown.
    pub(crate) rows: Vec<(EventRow, i64)>,
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
    ///
    /// Who has seen an event may have seen it when others with smaller numbers were not visible yet, so it
    /// begins where nothing more could come at the time when that event was recorded.
    pub(crate) async fn start(
        ledger: ReadLedger,
        wanted: Wanted,
        after: Option<i64>,
    ) -> Result<Self, DatabaseError> {
        let settled = ledger.settled().await?;
        let through = match after {
            Some(after) => settled.min(ledger.settled_at(after).await?),
            None => settled,
        };
        let mut follower = Self {
            ledger,
            wanted,
            through,
            read: BTreeSet::new(),
            round: None,
        };
        if after.is_none() {
            follower.skip().await?;
        }
        Ok(follower)
    }

    /// Takes what is there for read.
    async fn skip(&mut self) -> Result<(), DatabaseError> {
        loop {
            let last = self.read.last().copied().unwrap_or(self.through);
            let page = self.page(last).await?;
            if page.is_empty() {
                return Ok(());
            }
            self.read.extend(page.iter().map(|row| row.seq));
        }
    }

    /// Everything up to here was read, and nothing more can come.
    pub(crate) const fn through(&self) -> i64 {
        self.through
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
        let before = self.through;
        let complete = if has_more { settled.min(last) } else { settled };
        self.through = self.through.max(complete);
        self.read.retain(|seq| *seq > self.through);
        self.round = has_more.then_some((last, settled));
        let resume_after = |row: &EventRow| settled.min(row.seq).max(before);
        let rows = rows.into_iter().map(|row| {
            let place = resume_after(&row);
            (row, place)
        });
        Ok(Page {
            rows: rows.collect(),
            has_more,
        })
    }

    async fn page(&self, after: i64) -> Result<Vec<EventRow>, DatabaseError> {
        let (namespaces, incident) = (&self.wanted.namespaces, self.wanted.incident.as_deref());
        self.ledger.events(namespaces, incident, after, PAGE).await
    }
}
