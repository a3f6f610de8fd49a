//! TLS 1.3 with client certificates, from files that are read again when they change.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::connections::{Connection, Connections};
use crate::config::ServeSettings;

/// A client that does not finish its handshake in this time is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at the same time. One more ends the oldest: it is over in milliseconds with who means it.
const HANDSHAKES: usize = 64;
/// After an error of the listener, for example when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{setting}: cannot use {}: {problem}", path.display())]
    File {
        /// Which setting.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Certificate and key do not belong together, or are of no use.
    #[error("serve.certificate_file and serve.key_file: {0}")]
    Pair(rustls::Error),
    /// The authority's certificate is of no use.
    #[error("serve.client_ca_file: {0}")]
    Authority(VerifierBuilderError),
}

/// Makes acceptors of the files of the settings.
#[derive(Debug)]
pub(crate) struct Certificates {
    settings: ServeSettings,
    changed: [Option<SystemTime>; 3],
    acceptor: Acceptor,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Certificates {
    pub(crate) fn read(settings: &ServeSettings) -> Result<Self, TlsError> {
        Ok(Self {
            changed: changed(settings),
            acceptor: acceptor(settings)?,
            settings: settings.clone(),
        })
    }

    /// With what the files hold now; with what they held before when that cannot be used.
    fn acceptor(&mut self) -> TlsAcceptor {
        let changed = changed(&self.settings);
        if changed != self.changed {
            match acceptor(&self.settings) {
                Ok(fresh) => {
                    tracing::info!("the certificates have changed and are used from now on");
                    self.acceptor = fresh;
                    self.changed = changed;
                }
                Err(error) => {
                    tracing::warn!(%error, "the certificates have changed and cannot be used");
                }
            }
        }
        self.acceptor.0.clone()
    }
}

fn changed(settings: &ServeSettings) -> [Option<SystemTime>; 3] {
    let at = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    [
        at(&settings.certificate_file),
        at(&settings.key_file),
        at(&settings.client_ca_file),
    ]
}

fn acceptor(settings: &ServeSettings) -> Result<Acceptor, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates("serve.client_ca_file", &settings.client_ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable("serve.client_ca_file", &settings.client_ca_file, &error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(TlsError::Authority)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key_file)
        .map_err(|error| unusable("serve.key_file", &settings.key_file, &error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certificates("serve.certificate_file", &settings.certificate_file)?,
            key,
        )
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}

fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(setting, path, &error))?;
    if found.is_empty() {
        let problem = "it holds no certificate in PEM";
        return Err(unusable(setting, path, &problem));
    }
    Ok(found)
}

fn unusable(setting: &'static str, path: &Path, problem: &dyn Display) -> TlsError {
    TlsError::File {
        setting,
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Accepts until the receiver is gone. Slow or hostile handshakes hold up nobody else, however many there are.
pub(crate) async fn accept(
    listener: TcpListener,
    mut certificates: Certificates,
    connections: Arc<Connections>,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = accepted.closed() => return,
            connection = listener.accept() => match connection {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        if !connections.may_begin() {
            tracing::info!(%peer, "there are as many connections as serve.connections allows");
            continue;
        }
        handshakes.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= HANDSHAKES
            && let Some(oldest) = handshakes.pop_front()
        {
            tracing::info!("a TLS handshake made room for others");
            oldest.abort();
        }
        let acceptor = certificates.acceptor();
        let (connections, accepted) = (connections.clone(), accepted.clone());
        let handshake = tokio::spawn(async move {
            let opening = async {
                let stream = acceptor.accept(stream).await?;
                Ok::<_, io::Error>(connections.open(stream).await)
            };
            match tokio::time::timeout(HANDSHAKE, opening).await {
                // Nobody receives it any more when we are shutting down.
                Ok(Ok(Some(connection))) => drop(accepted.send(Ok(connection)).await),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::info!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::info!(%peer, "a TLS handshake took too long"),
            }
        });
        handshakes.push_back(handshake.abort_handle());
    }
}
