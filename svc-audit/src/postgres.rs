//! PostgreSQL: connecting, and what its errors mean. The statements are in [`ingest`] and [`archive`].

use std::str::FromStr as _;
use std::time::Duration;

use bonesetter_chassis::secrecy::ExposeSecret as _;
use bonesetter_chassis::secret::{SecretError, SecretFile};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub mod archive;
pub mod ingest;
pub mod keep;
pub mod privileges;
pub mod read;
pub mod sweep;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer to a question may take.
const LIMIT: &str = "set statement_timeout = '5s'";

/// Why the database did not do what was asked. Never holds a value or a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file with the URL.
    #[error("database.url_file: {0}")]
    Secret(#[from] SecretError),
    /// What is in the file.
    #[error(
        "database.url_file does not hold a URL like postgres://role:password@host:port/database"
    )]
    Url,
    /// A statement, or the way to it.
    #[error("{attempt} failed: {source}")]
    Statement {
        /// What was attempted.
        attempt: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// The tables are not there.
    #[error("table {0} does not exist; apply the files of deploy/sql to the database")]
    NoTable(&'static str),
    /// The role may do what it must not, or may not do what it must.
    #[error("database role {role} {violations}; use the roles of deploy/sql/0001_roles.sql")]
    Privileges {
        /// Which.
        role: String,
        /// Every violation.
        violations: String,
    },
}

impl DatabaseError {
    /// Whether it goes better later without anybody's help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Url | Self::NoTable(_) | Self::Privileges { .. } => false,
            Self::Statement { source, .. } => match source {
                sqlx::Error::Database(error) => {
                    error.code().is_none_or(|code| !is_about_the_data(&code))
                }
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::TypeNotFound { .. } => false,
                _ => true,
            },
        }
    }
}

/// Data exceptions and broken constraints (PostgreSQL, Appendix A: classes 22 and 23). Everything
/// else is about the server or the installation, which somebody mends while the message waits.
fn is_about_the_data(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23")
}

pub(crate) fn failed(attempt: &'static str) -> impl FnOnce(sqlx::Error) -> DatabaseError {
    move |source| DatabaseError::Statement { attempt, source }
}

/// A pool whose password can rotate.
#[derive(Debug, Clone)]
pub struct Database {
    url: SecretFile,
    pool: PgPool,
}

impl Database {
    /// Reads the URL; connects when first asked.
    pub fn new(url: SecretFile, connections: u32) -> Result<Self, DatabaseError> {
        Self::with(url, PgPoolOptions::new().max_connections(connections))
    }

    /// The same for who answers others: no question of theirs may keep a connection for long.
    pub fn for_questions(url: SecretFile, connections: u32) -> Result<Self, DatabaseError> {
        let options = PgPoolOptions::new().max_connections(connections);
        let options = options.after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(LIMIT).execute(connection).await?;
                Ok(())
            })
        });
        Self::with(url, options)
    }

    fn with(url: SecretFile, pool: PgPoolOptions) -> Result<Self, DatabaseError> {
        let options = options(&url)?;
        let pool = pool
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { url, pool })
    }

    /// Reads the URL again; new connections use it.
    pub fn refresh(&self) -> Result<(), DatabaseError> {
        self.pool.set_connect_options(options(&self.url)?);
        Ok(())
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn options(url: &SecretFile) -> Result<PgConnectOptions, DatabaseError> {
    let text = url.read()?;
    let options = PgConnectOptions::from_str(text.expose_secret())
        .map_err(|_| DatabaseError::Url)?
        .application_name("svc-audit");
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_the_data_are_final() {
        for (code, expected) in [
            ("22021", true),
            ("23514", true),
            ("42501", false),
            ("57P01", false),
            ("53300", false),
        ] {
            assert_eq!(is_about_the_data(code), expected, "{code}");
        }
        assert!(failed("asking")(sqlx::Error::PoolTimedOut).is_passing());
        assert!(!DatabaseError::Url.is_passing());
    }

    #[tokio::test]
    async fn a_broken_url_is_not_repeated_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        std::fs::write(&path, "postgres://role:canary@host:notaport/db").unwrap();
        let error = Database::new(SecretFile::new(&path), 1).unwrap_err();
        assert!(matches!(error, DatabaseError::Url));
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}
