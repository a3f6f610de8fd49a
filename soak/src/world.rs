//! Everything there is to know at the end of a run, read from where users and auditors would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bonesetter::letters;
use bonesetter::timeline::{Body, Follower, Step};
use bonesetter_chassis::bus::Bus;
use bonesetter_chassis::topology::consumers;
use bonesetter_demo::receiver::Received;
use bonesetter_keys::content_hash;
use bonesetter_testbed::S3Admin;
use sqlx::{PgPool, Row as _};

use crate::failure::Failure;

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Of the message that was not handled.
    pub subject: String,
    /// Who could not handle it.
    pub consumer: String,
    /// Why.
    pub reason: String,
}

/// A time in which something was wrong that can make that a notice is posted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: SystemTime,
    /// Its last.
    pub to: SystemTime,
}

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What was broken.
    pub failures: Vec<Failure>,
    /// Subjects that garbage was published under, stored or not.
    pub garbage: BTreeSet<String>,
    /// What is stored, but for the raw stream and what has a shape of its own.
    pub steps: Vec<Step>,
    /// Dead letters.
    pub letters: Vec<Letter>,
    /// How many rows the ledger has of a message, by stream and place there.
    pub rows: BTreeMap<(String, u64), u64>,
    /// Rows that no archived object holds.
    pub unarchived: u64,
    /// Archived objects that are not what they were said to be.
    pub spoiled: Vec<String>,
    /// Messages that a consumer has not had, by its name.
    pub backlog: BTreeMap<String, u64>,
    /// What was taken at `/webhook`.
    pub webhook: Vec<Received>,
    /// What was taken at `/slack`.
    pub slack: Vec<Received>,
    /// See [`Window`].
    pub windows: Vec<Window>,
    /// Lines of services that panicked.
    pub panics: Vec<String>,
}

/// Reads the world, again and again; what was read of the streams is kept.
#[derive(Debug)]
pub struct Reader {
    operator: Bus,
    provisioner: Bus,
    follower: Follower,
    steps: Vec<Step>,
    pool: PgPool,
}

impl Reader {
    /// Reads streams as the operator, consumers as the provisioner, and the ledger as a superuser.
    pub async fn connect(
        operator: Bus,
        provisioner: Bus,
        database_url: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            follower: Follower::from_start(&operator),
            operator,
            provisioner,
            steps: Vec::new(),
            pool: PgPool::connect(database_url).await?,
        })
    }

    /// Reads all that is stored into a world.
    pub async fn read(&mut self, world: &mut World) -> anyhow::Result<()> {
        let news = self.follower.poll().await?;
        let anew = news.made_anew.join(", ");
        anyhow::ensure!(anew.is_empty(), "{anew}: the server has lost what was read");
        self.steps.extend(news.steps);
        world.steps.clone_from(&self.steps);
        let (entries, _) = letters::read(&self.operator).await?;
        world.letters = entries
            .iter()
            .filter_map(|entry| {
                let newest = &entry.newest()?.message;
                Some(Letter {
                    subject: entry.dead_subject().unwrap_or_default().to_owned(),
                    consumer: newest.consumer.clone(),
                    reason: newest.reason.clone(),
                })
            })
            .collect();
        world.rows = self.rows().await?;
        world.unarchived = self.unarchived().await?;
        world.backlog = self.backlog().await?;
        Ok(())
    }

    async fn rows(&self) -> anyhow::Result<BTreeMap<(String, u64), u64>> {
        let rows = sqlx::query(
            "select stream, stream_sequence, count(*) as rows from audit.audit_events \
             group by stream, stream_sequence",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let sequence = u64::try_from(row.get::<i64, _>("stream_sequence"))?;
                let count = u64::try_from(row.get::<i64, _>("rows"))?;
                Ok(((row.get("stream"), sequence), count))
            })
            .collect()
    }

    async fn unarchived(&self) -> anyhow::Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from audit.audit_events where seq > coalesce((select max(to_seq) from \
             audit.audit_exports join audit.audit_export_results using (export_id)), 0)",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(count)?)
    }

    /// Archived objects that are gone, or are not what the stream says they are.
    pub async fn spoiled(&self, s3: &S3Admin) -> Vec<String> {
        let mut hashes = BTreeMap::new();
        for step in &self.steps {
            if let Body::Archived(archived) = &step.body
                && !archived.key.is_empty()
            {
                hashes.insert(&archived.key, &archived.sha256);
            }
        }
        let mut spoiled = Vec::new();
        for (key, hash) in hashes {
            match s3.get_object(key).await {
                Ok(object) if content_hash(&object) == *hash => {}
                Ok(_) => spoiled.push(format!("{key} is not what was archived")),
                Err(error) => spoiled.push(format!("{key} cannot be read: {error}")),
            }
        }
        spoiled
    }

    /// What every consumer has not had.
    async fn backlog(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut backlog = BTreeMap::new();
        for consumer in consumers() {
            let lag = self.provisioner.consumer_state(consumer).await?.lag();
            if lag > 0 {
                backlog.insert(consumer.name.to_owned(), lag);
            }
        }
        Ok(backlog)
    }
}
