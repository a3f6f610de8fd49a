//! How many connections there may be to `svc-audit serve`.

use std::sync::Arc;
use std::time::Duration;

use bonesetter_proto::grpc::incident_service_client::IncidentServiceClient;
use bonesetter_proto::v1::ListIncidentsRequest;
use svc_audit::config::ServeSettings;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Status;
use tonic::transport::Channel;

use crate::bed::Ledger;
use crate::serving::{Certificates, Server, settings};

async fn ask(channel: &Channel) -> Result<(), Status> {
    let mut client = IncidentServiceClient::new(channel.clone());
    let request = ListIncidentsRequest::default();
    client.list(request).await.map(|_| ())
}

/// The value of a metric.
fn count(server: &Server, name: &str) -> u64 {
    let text = server.process.metrics.encode().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

fn open(server: &Server) -> u64 {
    count(server, "bonesetter_incident_connections ")
}

fn refused(server: &Server) -> u64 {
    count(server, "bonesetter_incident_connections_refused_total ")
}

/// A connection of a caller who shakes hands and then says nothing.
async fn silent(server: &Server, certificates: &Certificates, name: &str) -> TlsStream<TcpStream> {
    let authority = &certificates.authority;
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.certificate)).unwrap();
    let pair = authority.issue(name, None, &[name]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&pair.certificate)], key)
        .unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let host = ServerName::try_from("localhost").unwrap();
    connector.connect(host, stream).await.unwrap()
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_after_the_handshake_gives_its_place_back() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let server = Server::start_with(&ledger, settings(&certificates));
    ask(&server.channel(certificates.client("shop-team")).await)
        .await
        .expect("it serves");
    let mut silent = silent(&server, &certificates, "sre").await;
    let mut said = Vec::new();
    let ended = tokio::time::timeout(Duration::from_mins(1), silent.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "it is still open");
    server.stop().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_keeps_nobody_out_and_all_together_have_no_more_than_there_are() {
    let (ledger, certificates) = (Ledger::start().await, Certificates::make());
    let serve = ServeSettings {
        connections: 2,
        ..settings(&certificates)
    };
    let server = Server::start_with(&ledger, serve);
    let first = server.channel(certificates.client("sre")).await;
    ask(&first).await.expect("answered");
    // TLS 1.3: what the server decides after the handshake comes after the client's.
    let second = server.try_channel(certificates.client("sre")).await;
    let second = match second {
        Ok(channel) => ask(&channel).await.map_err(|status| status.to_string()),
        Err(error) => Err(error.to_string()),
    };
    assert!(second.is_err(), "one caller has a quarter");
    assert_eq!(open(&server), 1);
    assert!(refused(&server) > 0);
    let other = server.channel(certificates.client("shop-team")).await;
    ask(&other).await.expect("answered");

    // There are two. Who comes now is not asked for a certificate.
    let before = refused(&server);
    let mut late = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(30), late.read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    assert_eq!((open(&server), refused(&server)), (2, before + 1));

    drop(first);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let again = server.channel(certificates.client("sre")).await;
        if ask(&again).await.is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "the place is not given back");
    }
    server.stop().await;
    ledger.drop().await;
}
