//! TLS 1.3 with certificates on both sides, and certificates that rotate under a running service.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_nats::ConnectOptions;
use bonesetter_chassis::bus::{Bus, ConnectError, Stored};
use bonesetter_chassis::config::{NatsSettings, NatsTls};
use bonesetter_chassis::topology;
use bonesetter_proto::v1::Detected;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use crate::bed::{Bed, detected, subject};

async fn connect(settings: &NatsSettings) -> Result<Bus, ConnectError> {
    Bus::connect(settings, topology::user("svc-watcher").unwrap()).await
}

fn settings(bed: &Bed) -> NatsSettings {
    bed.nats.settings(&bed.keys, "svc-watcher").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_certificate_or_one_of_another_authority_is_not_let_in() {
    let bed = Bed::start_bare().await;
    let stranger = Bed::start_bare().await;
    let good = settings(&bed);
    let foreign = settings(&stranger).tls;
    assert!(connect(&good).await.is_ok());
    for tls in [
        NatsTls::default(),
        NatsTls {
            ca_file: good.tls.ca_file.clone(),
            ..NatsTls::default()
        },
        // The right authority for the server, a certificate by another one for us.
        NatsTls {
            ca_file: good.tls.ca_file.clone(),
            ..foreign.clone()
        },
        // We believe another authority: it is we who hang up.
        NatsTls {
            ca_file: foreign.ca_file.clone(),
            ..good.tls.clone()
        },
    ] {
        let error = connect(&NatsSettings {
            tls,
            ..good.clone()
        })
        .await;
        assert!(
            matches!(error, Err(ConnectError::Connect { .. })),
            "{error:?}"
        );
    }
}

/// A client that offers one version of TLS only.
fn client_of(tls: &NatsTls, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let read = |path: &Option<_>| CertificateDer::from_pem_file(path.as_ref().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read(&tls.ca_file)).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls.key_file.as_ref().unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![read(&tls.certificate_file)], key)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let bed = Bed::start_bare().await;
    let good = settings(&bed);
    let connect = async |version| {
        let seed = fs::read_to_string(&good.nkey_file).unwrap();
        ConnectOptions::with_nkey(seed)
            .require_tls(true)
            .tls_client_config(client_of(&good.tls, version))
            .connect(&good.url)
            .await
    };
    assert!(connect(&version::TLS13).await.is_ok());
    assert!(connect(&version::TLS12).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_takes_the_certificates_that_replace_its_own() {
    let mut bed = Bed::start().await;
    let watcher = bed.service("svc-watcher").await;
    let publisher = watcher.publisher::<Detected>().unwrap();
    let first = subject(0, "open");
    publisher
        .publish(&first, detected(&first), "")
        .await
        .unwrap();
    let old = tempfile::tempdir().unwrap();
    let before = kept(&settings(&bed), old.path());

    // Authority, server and clients, as a cert-manager would write them over the mounted files.
    bed.nats.rotate_certificates().unwrap();
    bed.nats.restart().await.unwrap();

    let second = subject(1, "open");
    let stored = publisher
        .publish(&second, detected(&second), "")
        .await
        .unwrap();
    assert_eq!(
        stored,
        Stored::Now(2),
        "by the same process, connected anew"
    );
    assert!(
        connect(&before).await.is_err(),
        "the certificates of before are not accepted any more"
    );
    assert!(connect(&settings(&bed)).await.is_ok());
}

/// The same settings with copies of the files.
fn kept(settings: &NatsSettings, dir: &Path) -> NatsSettings {
    let keep = |path: &Option<std::path::PathBuf>| {
        let path = path.as_ref().unwrap();
        let copy = dir.join(path.file_name().unwrap());
        fs::copy(path, &copy).unwrap();
        Some(copy)
    };
    NatsSettings {
        tls: NatsTls {
            ca_file: keep(&settings.tls.ca_file),
            certificate_file: keep(&settings.tls.certificate_file),
            key_file: keep(&settings.tls.key_file),
        },
        ..settings.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_read_names_its_setting() {
    let bed = Bed::start_bare().await;
    let mut settings = settings(&bed);
    settings.tls.certificate_file = Some("/nonexistent/tls.crt".into());
    let error = connect(&settings).await.unwrap_err().to_string();
    let named = error.contains("nats.tls.certificate_file") && error.contains("/nonexistent/");
    assert!(named, "{error}");
}
