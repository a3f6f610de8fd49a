//! NATS, PostgreSQL and MinIO.

use anyhow::{Context as _, Result};
use bonesetter_testbed::{NatsOptions, NatsServer, State, nats};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

fn nats_greeting(url: &str) -> Result<String> {
    let address = url.trim_start_matches("nats://");
    let mut line = String::new();
    BufReader::new(TcpStream::connect(address)?).read_line(&mut line)?;
    Ok(line)
}

#[tokio::test]
async fn nats_answers_with_jetstream() -> Result<()> {
    let state = State::load()?;
    let greeting = nats_greeting(&state.nats()?.url)?;
    assert!(greeting.starts_with("INFO "), "{greeting}");
    assert!(greeting.contains("\"jetstream\":true"), "{greeting}");
    Ok(())
}

#[tokio::test]
async fn a_nats_server_of_its_own_comes_back_on_the_same_port() -> Result<()> {
    let mut server = NatsServer::start(NatsOptions::default()).await?;
    let url = server.url();
    let first = nats_greeting(&url)?;
    server.kill();
    assert!(nats_greeting(&url).is_err(), "a killed server answers");
    server.restart().await?;
    assert_eq!(server.url(), url);
    let second = nats_greeting(&url)?;
    assert!(second.starts_with("INFO ") && first != second, "{second}");
    drop(server);
    assert!(nats_greeting(&url).is_err(), "a dropped server answers");
    Ok(())
}

/// Whether NATS lets a user in. Source: NATS client protocol, CONNECT and PING.
fn lets_in(url: &str, user: &str) -> Result<bool> {
    let mut stream = TcpStream::connect(url.trim_start_matches("nats://"))?;
    let greeting = serde_json::json!({"user": user, "pass": "p", "verbose": false});
    write!(stream, "CONNECT {greeting}\r\nPING\r\n")?;
    for line in BufReader::new(stream).lines() {
        match line?.as_str() {
            "PONG" => return Ok(true),
            line if line.starts_with("-ERR") => return Ok(false),
            _ => {}
        }
    }
    anyhow::bail!("NATS said neither yes nor no")
}

#[tokio::test]
async fn a_running_nats_server_takes_other_users() -> Result<()> {
    let users = |name: &str| {
        format!(
            "accounts {{ A {{ jetstream: enabled, users: [{{user: {name}, password: p}}] }}, SYS {{}} }}\n\
             system_account: SYS\n"
        )
    };
    let server = NatsServer::start(NatsOptions {
        authorization: Some(users("old")),
        plaintext: true,
        ..NatsOptions::default()
    })
    .await?;
    let url = server.url();
    assert_eq!(
        (lets_in(&url, "old")?, lets_in(&url, "new")?),
        (true, false)
    );
    nats::reload(&server.state(), server.pid(), &users("new")).await?;
    assert_eq!(
        (lets_in(&url, "old")?, lets_in(&url, "new")?),
        (false, true)
    );
    let wrong = nats::reload(&server.state(), server.pid(), "accounts {").await;
    let error = wrong.err().context("a broken configuration was taken")?;
    assert!(error.to_string().contains("its log says why"), "{error}");
    assert!(lets_in(&url, "new")?, "still the earlier configuration");
    Ok(())
}

#[tokio::test]
async fn postgres_makes_databases_and_applies_files_in_order() -> Result<()> {
    use sqlx::{Connection as _, Row as _};
    let postgres = State::load()?.postgres()?;
    let name = format!("testbed_{}", std::process::id());
    let url = postgres.create_database(&name).await?;
    let files = tempfile::tempdir()?;
    std::fs::write(
        files.path().join("2.sql"),
        "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)",
    )?;
    std::fs::write(files.path().join("1.sql"), "CREATE TABLE t (n int)")?;
    std::fs::write(files.path().join("notes.txt"), "no SQL")?;
    postgres.apply_sql(&name, files.path()).await?;

    let mut connection = sqlx::PgConnection::connect(&url).await?;
    let row = sqlx::query("SELECT sum(n) FROM t")
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(row.get::<i64, _>(0), 5);
    connection.close().await?;
    Ok(postgres.drop_database(&name).await?)
}

#[tokio::test]
async fn the_archive_credential_can_put_and_nothing_else() -> Result<()> {
    let state = State::load()?;
    let (root, put_only) = (state.s3_root()?, state.s3_put_only()?);
    let key = format!("testbed/{}/a b.json", std::process::id());

    let version = put_only.put_object(&key, b"{}").await?;
    assert!(!version.is_empty(), "the bucket keeps no versions");
    let denied = |result: Result<(), bonesetter_testbed::s3::Error>, what: &str| {
        let error = result
            .err()
            .with_context(|| format!("{what} was allowed"))?;
        assert_eq!(error.code(), Some("AccessDenied"), "{what}: {error}");
        anyhow::Ok(())
    };
    denied(put_only.get_object(&key).await.map(drop), "get")?;
    denied(put_only.delete_object(&key, None).await, "delete")?;
    denied(
        put_only.delete_object(&key, Some(&version)).await,
        "delete of a version",
    )?;
    denied(
        put_only.list_object_versions("testbed/").await.map(drop),
        "list",
    )?;
    denied(
        put_only
            .get_object_retention(&key, &version)
            .await
            .map(drop),
        "get retention",
    )?;

    assert_eq!(root.get_object(&key).await?, b"{}");
    assert_eq!(
        root.get_object_retention(&key, &version).await?.mode,
        "COMPLIANCE"
    );
    let refused = root.delete_object(&key, Some(&version)).await;
    assert!(refused.is_err(), "root deleted a locked version");
    let versions = root.list_object_versions(&key).await?;
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert_eq!(
        (&versions[0].key, &versions[0].version_id),
        (&key, &version)
    );
    Ok(())
}
