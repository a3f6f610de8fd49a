//! Wiring: the service, its archive job, its sweeper, its keeper and its read side.

use std::time::Duration;

use anyhow::Context as _;
use bonesetter_chassis::health::Readiness;
use bonesetter_chassis::secret::SecretFile;
use bonesetter_chassis::service::{About, Mode, Process, Service};
use bonesetter_chassis::topology::{
    AUDIT_ACTED, AUDIT_ADVISORIES, AUDIT_DETECTED, AUDIT_DIAGNOSED, AUDIT_NOTIFIED, AUDIT_OVERDUE,
    AUDIT_REDACTED, AUDIT_SECURITY,
};
use tokio_util::sync::CancellationToken;

use crate::archive::{ArchiveError, Archiver};
use crate::config::Config;
use crate::keep::Keeper;
use crate::metrics::{ExportMetrics, IngestMetrics, SweepMetrics};
use crate::postgres::ingest::Ledger;
use crate::postgres::keep::KeepLedger;
use crate::postgres::sweep::SweepLedger;
use crate::postgres::{Database, DatabaseError};
use crate::s3::Bucket;
use crate::serve::serve;
use crate::stage::Record;
use crate::sweep::Sweeper;
use crate::sweep::position::Positions;

/// Exports again and again.
pub const EXPORT: &str = "export";
/// Exports what is there and ends.
pub const EXPORT_ONCE: &str = "export-once";

/// Looks for what is overdue.
pub const SWEEP: &str = "sweep";

/// Makes room in streams that fill up.
pub const KEEP: &str = "keep";

/// Answers who reads.
pub const SERVE: &str = "serve";

/// The archive job's user on the bus, the only writer of the audit stage.
const ARCHIVIST: Option<&str> = Some("svc-audit-export");

/// What the binary says of itself.
pub const ABOUT: About = About {
    name: "svc-audit",
    version: env!("CARGO_PKG_VERSION"),
    modes: &[
        Mode {
            name: EXPORT,
            user: ARCHIVIST,
            bus: true,
        },
        Mode {
            name: EXPORT_ONCE,
            user: ARCHIVIST,
            bus: true,
        },
        Mode {
            name: SWEEP,
            user: Some("svc-audit-sweep"),
            bus: true,
        },
        Mode {
            name: KEEP,
            user: Some("keeper"),
            bus: true,
        },
        Mode {
            name: SERVE,
            user: Some("svc-audit-serve"),
            bus: false,
        },
    ],
};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// How long the bus may take for one thing that was archived; it has been away for long then, or is full.
const TOLD_WITHIN: Duration = Duration::from_mins(1);

/// Runs the mode that the process was started in until shut down.
pub async fn run(config: Config, service: Service) -> anyhow::Result<()> {
    let database = database(&config)?;
    let result = match service.mode.as_deref() {
        Some(EXPORT) => export(&config, &service, &database).await,
        Some(KEEP) => keep(&config, &service, &database).await,
        Some(SWEEP) => sweep(&config, &service, &database).await,
        Some(EXPORT_ONCE) => archiver(&config, &service, &database)?
            .export()
            .await
            .map(|objects| tracing::info!(objects, "nothing is left to export"))
            .context("cannot export"),
        _ => {
            // Needs no database, and must not wait for it.
            let letters = Box::pin(service.run_advisories(&AUDIT_ADVISORIES));
            let ingested = Box::pin(ingest(&service, &database));
            tokio::try_join!(letters, ingested).map(|_| ())
        }
    };
    database.close().await;
    result
}

/// Runs the mode that needs no bus until shut down.
pub async fn run_alone(config: Config, process: Process) -> anyhow::Result<()> {
    let file = SecretFile::new(&config.database.url_file);
    let database = Database::for_questions(file, config.database.connections)?;
    let result = serve(&config, &process, &database).await;
    database.close().await;
    result
}

fn database(config: &Config) -> Result<Database, DatabaseError> {
    let file = SecretFile::new(&config.database.url_file);
    Database::new(file, config.database.connections)
}

async fn ingest(service: &Service, database: &Database) -> anyhow::Result<()> {
    let trusted = service.trusted()?;
    let Some(ledger) = open(
        &service.readiness,
        &service.shutdown,
        database,
        Ledger::open,
    )
    .await?
    else {
        return Ok(());
    };
    let record = Record {
        ledger,
        trusted,
        metrics: IngestMetrics::new(&service.metrics),
    };
    tokio::try_join!(
        service.run_sink(&AUDIT_DETECTED, record.clone()),
        service.run_sink(&AUDIT_REDACTED, record.clone()),
        service.run_sink(&AUDIT_DIAGNOSED, record.clone()),
        service.run_sink(&AUDIT_ACTED, record.clone()),
        service.run_sink(&AUDIT_NOTIFIED, record.clone()),
        service.run_sink(&AUDIT_OVERDUE, record.clone()),
        service.run_sink(&AUDIT_SECURITY, record),
    )?;
    Ok(())
}

/// Waits for a database that is away; one that refuses us, or would let us do too much, is an error.
/// `None` when shut down meanwhile.
pub(crate) async fn open<L, F>(
    readiness: &Readiness,
    shutdown: &CancellationToken,
    database: &Database,
    try_open: impl Fn(Database) -> F,
) -> anyhow::Result<Option<L>>
where
    F: Future<Output = Result<L, DatabaseError>>,
{
    let waiting = readiness.awaiting("postgresql");
    let mut delay = FIRST_RETRY;
    loop {
        match try_open(database.clone()).await {
            Ok(ledger) => {
                waiting.ready();
                return Ok(Some(ledger));
            }
            Err(error) if !error.is_passing() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, retry_in = ?delay, "PostgreSQL is away, waiting for it");
            }
        }
        if sleep(shutdown, delay).await {
            return Ok(None);
        }
        refresh(database);
        delay = (delay * 2).min(LAST_RETRY);
    }
}

async fn sweep(config: &Config, service: &Service, database: &Database) -> anyhow::Result<()> {
    let trusted = service.trusted()?;
    let Some(ledger) = open(
        &service.readiness,
        &service.shutdown,
        database,
        SweepLedger::open,
    )
    .await?
    else {
        return Ok(());
    };
    let mut sweeper = Sweeper {
        ledger,
        bus: service.bus.clone(),
        trusted,
        publisher: service.publisher()?,
        clock: service.clock.clone(),
        settings: config.sweep.clone(),
        metrics: SweepMetrics::new(&service.metrics),
        positions: Positions::default(),
    };
    loop {
        match sweeper.sweep().await {
            Ok(0) => {}
            Ok(told) => tracing::warn!(told, "incidents are overdue"),
            Err(error) => {
                tracing::error!(%error, retry_in = ?config.sweep.every, "the ledger was not swept");
                sweeper.metrics.failed();
                refresh(database);
            }
        }
        if sleep(&service.shutdown, config.sweep.every).await {
            return Ok(());
        }
    }
}

async fn keep(config: &Config, service: &Service, database: &Database) -> anyhow::Result<()> {
    let Some(ledger) = open(
        &service.readiness,
        &service.shutdown,
        database,
        KeepLedger::open,
    )
    .await?
    else {
        return Ok(());
    };
    let keeper = Keeper::new(ledger, service, config.keep.clone());
    loop {
        if !keeper.keep().await {
            refresh(database);
        }
        if sleep(&service.shutdown, config.keep.every).await {
            return Ok(());
        }
    }
}

async fn export(config: &Config, service: &Service, database: &Database) -> anyhow::Result<()> {
    let archiver = archiver(config, service, database)?;
    let every = config
        .export
        .as_ref()
        .map_or(LAST_RETRY, |export| export.every);
    let mut delay = FIRST_RETRY;
    loop {
        let pause = match archiver.export().await {
            Ok(_) => {
                delay = FIRST_RETRY;
                every
            }
            Err(ArchiveError::Busy) => {
                tracing::info!("another archive job is running");
                every
            }
            Err(ArchiveError::Database(
                error @ (DatabaseError::Privileges { .. } | DatabaseError::NoTable(_)),
            )) => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, retry_in = ?delay, "nothing, or not everything, was exported");
                archiver.metrics.failed();
                refresh(database);
                let pause = delay;
                delay = (delay * 2).min(LAST_RETRY);
                pause.min(every)
            }
        };
        if sleep(&service.shutdown, pause).await {
            return Ok(());
        }
    }
}

fn archiver(config: &Config, service: &Service, database: &Database) -> anyhow::Result<Archiver> {
    let settings = config
        .export
        .as_ref()
        .context("the section `export` is not set, and this mode needs it")?;
    Ok(Archiver {
        database: database.clone(),
        bucket: Bucket::new(settings.clone()),
        bucket_name: settings.bucket.clone(),
        publisher: service.publisher()?,
        bus: service.bus.clone(),
        told_within: TOLD_WITHIN,
        cluster: service.common.cluster.clone(),
        clock: service.clock.clone(),
        rows: settings.rows,
        metrics: ExportMetrics::new(&service.metrics),
    })
}

/// The password may have been rotated, or may just be being rotated.
fn refresh(database: &Database) {
    if let Err(error) = database.refresh() {
        tracing::warn!(%error, "the database URL cannot be read again");
    }
}

/// Says whether it was ended by a shutdown.
async fn sleep(shutdown: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        () = shutdown.cancelled() => true,
    }
}
