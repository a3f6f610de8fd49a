//! PostgreSQL.

use crate::authority::Pair;
use crate::cluster::write_private;
use crate::ports::free_port;
use crate::process::{self, Launch, RunAs, Server, last_lines};
use crate::programs::on_path;
use crate::ready;
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Oldest major version that serves.
pub const OLDEST: u32 = 15;

/// PostgreSQL could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server programs.
    #[error("no PostgreSQL {OLDEST} or newer here; install the Debian package postgresql-{OLDEST}")]
    Absent,
    /// The server refuses to run as root, and there is nobody else.
    #[error("PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`")]
    NoUser,
    /// A file or port could not be used.
    #[error("cannot prepare PostgreSQL in {}: {source}", dir.display())]
    Prepare {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed:\n{0}")]
    Init(String),
    /// The process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// It did not become ready.
    #[error(transparent)]
    Ready(#[from] ready::Error),
    /// A statement failed.
    #[error("{what} failed: {source}")]
    Sql {
        /// What was done.
        what: String,
        /// Why.
        source: sqlx::Error,
    },
}

/// A running server with its data in a folder of its own.
#[derive(Debug)]
pub struct PostgresServer {
    server: Server,
    client: Postgres,
    data: PathBuf,
    run_as: Option<RunAs>,
}

/// A way to ask a running server as its superuser.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// Without a database: `postgres://user:password@127.0.0.1:port`.
    base: String,
}

/// The folder with `initdb` and `postgres`: Debian keeps it off `PATH`, one per major version.
pub fn find_programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .ok()
        .and_then(|entries| {
            let major = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
            let versions = entries.flatten().map(|entry| entry.path());
            let (_, newest) = versions
                .filter_map(|path| Some((major(&path)?, path)))
                .filter(|(major, path)| *major >= OLDEST && path.join("bin/initdb").is_file())
                .max_by_key(|(major, _)| *major)?;
            Some(newest.join("bin"))
        });
    debian.or_else(|| Some(on_path("initdb")?.parent()?.to_owned()))
}

/// The user the server runs as: this one, or, for root, `postgres` or `nobody`.
fn unprivileged() -> Result<Option<RunAs>, Error> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"]
        .iter()
        .find_map(|name| find_account(&accounts, name));
    found.map(Some).ok_or(Error::NoUser)
}

fn find_account(accounts: &str, name: &str) -> Option<RunAs> {
    let line = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    let (Some(Ok(uid)), Some(Ok(gid))) = (fields.next(), fields.next()) else {
        return None;
    };
    Some(RunAs { uid, gid })
}

impl PostgresServer {
    /// Makes a database cluster in `dir` and starts a server on it. The superuser `postgres` has
    /// a random password; only loopback is listened on, with SCRAM.
    pub async fn start(dir: &Path, log: PathBuf) -> Result<Self, Error> {
        let programs = find_programs().ok_or(Error::Absent)?;
        let prepare = |source| Error::Prepare {
            dir: dir.to_owned(),
            source,
        };
        let run_as = unprivileged()?;
        let port = free_port().map_err(prepare)?;
        let password = hex::encode(rand::random::<[u8; 16]>());
        let data = dir.join("data");
        let password_file = dir.join("superuser.password");
        fs::create_dir_all(dir).map_err(prepare)?;
        fs::write(&password_file, &password).map_err(prepare)?;
        if let Some(user) = run_as {
            for path in [dir, &password_file] {
                std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(prepare)?;
            }
        }
        init(&programs, &data, &password_file, run_as, &log).await?;
        let server = Launch::new("postgres", &programs.join("postgres"), log)
            .arg("-D")
            .arg(&data)
            .args_setting("listen_addresses", "127.0.0.1")
            .args_setting("port", &port.to_string())
            .args_setting("unix_socket_directories", "")
            .args_setting("timezone", "UTC")
            .run_as(run_as)
            .start()?;
        let client = Postgres::new(&format!("postgres://postgres:{password}@127.0.0.1:{port}"));
        let mut postgres = Self {
            server,
            client,
            data,
            run_as,
        };
        postgres.wait_ready().await?;
        Ok(postgres)
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        let client = self.client.clone();
        let probe = async || {
            client
                .connect("postgres")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };
        let servers = &mut [&mut self.server];
        ready::until("postgres", Duration::from_mins(1), servers, probe).await?;
        Ok(())
    }

    /// A way to ask the server.
    pub fn client(&self) -> &Postgres {
        &self.client
    }

    /// Stops the server: SIGINT is its fast shutdown, which ends the sessions of clients.
    pub async fn stop(&mut self) {
        self.server
            .stop_with(Signal::INT, Duration::from_secs(20))
            .await;
    }

    /// Kills the server with SIGKILL: what a client sees when the machine is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts the server again on the same port and data. One that was killed leaves processes that
    /// take a moment to notice, and a new one refuses to start beside them.
    pub async fn restart(&mut self) -> Result<(), Error> {
        const ATTEMPTS: u32 = 5;
        for _ in 1..ATTEMPTS {
            self.server.restart()?;
            match self.wait_ready().await {
                Err(Error::Ready(ready::Error::Process(_))) => {}
                other => return other,
            }
        }
        self.server.restart()?;
        self.wait_ready().await
    }

    /// Takes connections over TLS only from now on, with this certificate; starts the server again.
    /// Source: PostgreSQL documentation, "Secure TCP/IP Connections with SSL" and "The `pg_hba.conf` File".
    pub async fn require_tls(&mut self, pair: &Pair) -> Result<(), Error> {
        let prepare = |source| Error::Prepare {
            dir: self.data.clone(),
            source,
        };
        self.server
            .stop_with(Signal::INT, Duration::from_secs(20))
            .await;
        let settings = self.data.join("postgresql.auto.conf");
        let hosts = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        for (path, text) in [
            (self.data.join("server.crt"), pair.certificate.as_str()),
            (self.data.join("server.key"), pair.key.as_str()),
            (self.data.join("pg_hba.conf"), hosts),
            (settings, "ssl = on\n"),
        ] {
            write_private(&path, text.as_bytes())
                .map_err(|error| prepare(io::Error::other(error)))?;
            if let Some(user) = self.run_as {
                std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)).map_err(prepare)?;
            }
        }
        self.restart().await
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl Launch {
    /// Adds `-c name=value`.
    fn args_setting(self, name: &str, value: &str) -> Self {
        self.arg("-c").arg(format!("{name}={value}"))
    }
}

async fn init(
    programs: &Path,
    data: &Path,
    password_file: &Path,
    run_as: Option<RunAs>,
    log: &Path,
) -> Result<(), Error> {
    let initdb = programs.join("initdb");
    let mut command = Launch::new("initdb", &initdb, log.to_owned())
        .arg("-D")
        .arg(data)
        .flag("pwfile", password_file)
        .flag("username", "postgres")
        .flag("auth", "scram-sha-256")
        .flag("encoding", "UTF8")
        .flag("locale", "C.UTF-8")
        // The cluster is thrown away with the testbed: a crash of the machine may break it.
        .arg("--no-sync")
        .run_as(run_as)
        .command();
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(|source| Error::Prepare {
            dir: folder.to_owned(),
            source,
        })?;
    }
    let failed = |error: io::Error| Error::Init(error.to_string());
    let out = fs::File::create(log).map_err(failed)?;
    command.stderr(out.try_clone().map_err(failed)?).stdout(out);
    let mut command = tokio::process::Command::from(command);
    let status = command.kill_on_drop(true).status().await.map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Init(last_lines(log, 12)))
    }
}

impl Postgres {
    /// A server whose superuser connects with `base`, a URL without a database.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// The superuser's URL without a database.
    pub fn base_url(&self) -> String {
        self.base.clone()
    }

    /// The superuser's URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base)
    }

    /// The URL of a database for another role.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        let address = self.base.rsplit('@').next().unwrap_or_default();
        format!("postgres://{role}:{password}@{address}/{database}")
    }

    /// Makes a database of this name and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, Error> {
        let what = format!("creating the database {name}");
        let quoted = name.replace('"', "\"\"");
        self.execute("postgres", format!("CREATE DATABASE \"{quoted}\""), &what)
            .await?;
        Ok(self.url(name))
    }

    /// Gives a role its password; the roles themselves come from SQL files that hold none.
    pub async fn set_password(&self, role: &str, password: &str) -> Result<(), Error> {
        let what = format!("setting the password of {role}");
        let role = role.replace('"', "\"\"");
        let password = password.replace('\'', "''");
        let statement = format!("ALTER ROLE \"{role}\" LOGIN PASSWORD '{password}'");
        self.execute("postgres", statement, &what).await
    }

    /// Removes a database with the sessions that use it.
    pub async fn drop_database(&self, name: &str) -> Result<(), Error> {
        let what = format!("dropping the database {name}");
        let quoted = name.replace('"', "\"\"");
        let statement = format!("DROP DATABASE IF EXISTS \"{quoted}\" WITH (FORCE)");
        self.execute("postgres", statement, &what).await
    }

    /// Runs every `*.sql` file of a folder in a database, in the order of their names.
    pub async fn apply_sql(&self, database: &str, dir: &Path) -> Result<(), Error> {
        let prepare = |source| Error::Prepare {
            dir: dir.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(prepare)? {
            let path = entry.map_err(prepare)?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).map_err(prepare)?;
            self.execute(database, text, &format!("applying {}", file.display()))
                .await?;
        }
        Ok(())
    }

    async fn execute(&self, database: &str, sql: String, what: &str) -> Result<(), Error> {
        let failed = |source| Error::Sql {
            what: what.to_owned(),
            source,
        };
        let mut connection = self.connect(database).await.map_err(failed)?;
        // Files and names of the testbed itself, never input.
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        connection.close().await.map_err(failed)
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url(database)).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Postgres, find_account};

    #[test]
    fn finds_accounts_by_name() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104::/var:/bin/sh\n";
        let user = find_account(accounts, "postgres").expect("listed");
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(find_account(accounts, "post").is_none());
    }

    #[test]
    fn urls_differ_in_role_and_database() {
        let postgres = Postgres::new("postgres://postgres:pw@127.0.0.1:5432/");
        assert_eq!(postgres.url("a"), "postgres://postgres:pw@127.0.0.1:5432/a");
        assert_eq!(
            postgres.url_as("app", "x", "a"),
            "postgres://app:x@127.0.0.1:5432/a"
        );
    }
}
