//! An object store and a database whose certificates were issued by an authority that no system knows.

use std::path::PathBuf;
use std::sync::Arc;

use bonesetter_chassis::secret::SecretFile;
use bonesetter_testbed::authority::Authority;
use bonesetter_testbed::postgres::PostgresServer;
use svc_audit::postgres::{Database, DatabaseError, ingest};
use svc_audit::{Config, EXPORT_ONCE};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::bed::{Ledger, Nats, config, while_running};

/// Speaks TLS in front of a server that does not; ends with the test's runtime.
struct Front {
    endpoint: String,
    ca_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Front {
    async fn start(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let (ca, acceptor) = certificates();
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, ca).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                let mut inside = TcpStream::connect(&server).await.unwrap();
                // A client that does not trust us closes the connection.
                if let Ok(mut outside) = acceptor.accept(outside).await {
                    drop(copy_bidirectional(&mut outside, &mut inside).await);
                }
            }
        });
        Self {
            endpoint,
            ca_file,
            _dir: dir,
        }
    }
}

/// The certificate of an authority (PEM), and a server's that it issued.
fn certificates() -> (String, TlsAcceptor) {
    let authority = Authority::make("private").unwrap();
    let pair = authority.issue("front", None, &["127.0.0.1"]).unwrap();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (authority.certificate, TlsAcceptor::from(Arc::new(config)))
}

async fn export(nats: &Nats, config: Config) -> Result<(), String> {
    let service = nats.mode(EXPORT_ONCE).await;
    let result = svc_audit::run(config, service).await;
    result.map_err(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_certificate_of_a_private_authority_is_trusted_when_it_is_named() {
    let (ledger, nats) = (Ledger::start().await, Nats::start().await);
    nats.open_incidents("a").await;
    ledger.record(&nats, 1).await;
    let front = Front::start(&ledger.state().minio().expect("minio").url).await;
    let config = |ca_file: Option<PathBuf>| {
        let mut config = ledger.export(10);
        let export = config.export.as_mut().unwrap();
        export.endpoint.clone_from(&front.endpoint);
        export.ca_file = ca_file;
        config
    };
    let stranger = export(&nats, config(None)).await.unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");
    let missing = export(&nats, config(Some("/nonexistent/ca.pem".into())))
        .await
        .unwrap_err();
    assert!(
        missing.contains("export.ca_file: cannot read /nonexistent/ca.pem"),
        "{missing}"
    );
    assert_eq!(ledger.count("audit_export_results").await, 0);
    export(&nats, config(Some(front.ca_file.clone())))
        .await
        .expect("exported");
    assert_eq!(ledger.count("audit_export_results").await, 1);
    ledger.drop().await;
}

/// The ledger at a URL that holds more than role and database.
async fn open(ledger: &Ledger, more: &str) -> Result<(), DatabaseError> {
    let file = ledger.url_file("audit_ingest");
    std::fs::write(&file, ledger.url("audit_ingest") + more).unwrap();
    let database = Database::new(SecretFile::new(&file), 1)?;
    ingest::Ledger::open(database).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_written_to_over_tls_where_its_authority_and_its_name_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = PostgresServer::start(&dir.path().join("data"), dir.path().join("log"))
        .await
        .expect("postgres");
    let (authority, stranger) = ["private", "stranger"]
        .map(|it| Authority::make(it).unwrap())
        .into();
    let verified = |authority: &Authority| {
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, &authority.certificate).unwrap();
        format!("?sslmode=verify-full&sslrootcert={}", file.display())
    };
    let pair = authority.issue("db", None, &["db.example"]).unwrap();
    server.require_tls(&pair).await.expect("speaks TLS");
    let ledger = Ledger::start_at(server.client().clone()).await;
    let other_name = open(&ledger, &verified(&authority)).await.unwrap_err();
    assert!(
        other_name.to_string().contains("certificate"),
        "{other_name}"
    );

    let pair = authority.issue("db", None, &["127.0.0.1"]).unwrap();
    server.require_tls(&pair).await.expect("speaks TLS");
    let plain = open(&ledger, "?sslmode=disable").await.unwrap_err();
    assert!(plain.to_string().contains("no encryption"), "{plain}");
    let other_authority = open(&ledger, &verified(&stranger)).await.unwrap_err();
    assert!(
        other_authority.to_string().contains("certificate"),
        "{other_authority}"
    );
    // An operator may mend either while the service waits.
    assert!(other_name.is_passing() && plain.is_passing() && other_authority.is_passing());

    open(&ledger, &verified(&authority)).await.expect("opened");
    let nats = Nats::start().await;
    nats.open_incidents("a").await;
    let config = config(ledger.file("audit_ingest"), None);
    let service = nats.service("svc-audit").await;
    while_running(config, service, ledger.recorded(1)).await;
}
