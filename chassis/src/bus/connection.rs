use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::config::{NatsSettings, NatsTls};
use crate::secret::{SecretError, SecretFile};
use crate::topology::User;

/// A reply that takes longer is asked for again; far below the client's own five seconds.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REMEMBERED_VIOLATIONS: usize = 64;
/// How long the end of a connection waits for what is still to be sent.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The user's seed cannot be read.
    #[error("nats.nkey_file: {0}")]
    Secret(#[from] SecretError),
    /// What the file holds is not the seed of a user.
    #[error(
        "nats.nkey_file: {path} does not hold the seed of an nkey (a line that begins with SU)"
    )]
    Seed {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate, a key or the authority's certificate cannot be read.
    #[error("{setting}: cannot read {path}: {source}")]
    Certificate {
        /// Which setting.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server did not accept us, or there is none.
    #[error(
        "cannot connect to NATS at {url:?}: {source}; check nats.url and nats.tls, and that the server knows this user's nkey"
    )]
    Connect {
        /// Where, without credentials.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
}

/// One authenticated connection; cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    /// Counts the connects, so that pulls can be made anew after each.
    pub(crate) connects: watch::Receiver<u64>,
    pub(crate) violations: Violations,
    /// What this connection is called, at the server and in spans: the user, and something that tells
    /// replicas apart.
    pub(crate) client_id: Arc<str>,
    /// For spans.
    pub(crate) server: Arc<Address>,
}

/// Where the server is said to be.
#[derive(Debug, Default)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Of several servers, the first.
    fn of(url: &str) -> Self {
        let first = url.split(',').next().unwrap_or_default();
        let parsed = first.parse::<ServerAddr>();
        parsed.map_or_else(
            |_| Self::default(),
            |address| Self {
                host: address.host().to_owned(),
                port: address.port(),
            },
        )
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("server", &self.client.server_info().server_name)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects as one user. Fails at once when the server refuses or cannot be reached; the caller
    /// decides whether to wait. Later disconnects heal by themselves.
    pub async fn connect(settings: &NatsSettings, user: &User) -> Result<Self, ConnectError> {
        let seed: SecretString = SecretFile::new(&settings.nkey_file).read()?;
        if nkeys::KeyPair::from_seed(seed.expose_secret()).is_err() {
            return Err(ConnectError::Seed {
                path: settings.nkey_file.clone(),
            });
        }
        let (sender, mut connects) = watch::channel(0);
        let violations = Violations::default();
        let seen = violations.clone();
        let client_id = format!("{}-{:08x}", user.name, rand::random::<u32>());
        let options = ConnectOptions::with_nkey(seed.expose_secret().to_owned())
            .name(&client_id)
            .custom_inbox_prefix(user.inbox_prefix())
            .connection_timeout(Duration::from_secs(5))
            .request_timeout(Some(REQUEST_TIMEOUT))
            .event_callback(move |event| {
                on_event(&event, &sender, &seen);
                std::future::ready(())
            });
        let client = with_certificates(options, &settings.tls)?
            .connect(&settings.url)
            .await
            .map_err(|source| ConnectError::Connect {
                url: settings.url.clone(),
                source,
            })?;
        // The event of this first connect comes later than the connection. If it came after the first
        // pull, that would be dropped with what it was sent, which comes again only after the ack wait.
        let first = connects.wait_for(|count| *count > 0);
        if tokio::time::timeout(REQUEST_TIMEOUT, first).await.is_err() {
            tracing::debug!("connected, and no event says so");
        }
        let js = ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .max_ack_inflight(256)
            .build(client.clone());
        Ok(Self {
            client,
            js,
            connects,
            violations,
            client_id: client_id.into(),
            server: Arc::new(Address::of(&settings.url)),
        })
    }

    /// Whether the connection stands right now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Hands over what is still in the client's buffers and closes.
    pub async fn close(&self) {
        // The client ends a connection without waiting for what it has to send, such as the last acks.
        if tokio::time::timeout(LAST_WORDS, self.client.flush())
            .await
            .is_err()
        {
            tracing::debug!("the last acks may be lost; what they are about comes again");
        }
        if let Err(error) = self.client.drain().await {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// The options with the certificates of the settings. The client reads the files at every connect, also
/// of a connection that it makes anew; that they can be read is looked at here, for an error that names
/// the setting.
pub fn with_certificates(
    mut options: ConnectOptions,
    tls: &NatsTls,
) -> Result<ConnectOptions, ConnectError> {
    for (setting, path) in tls.files() {
        fs::metadata(path).map_err(|source| ConnectError::Certificate {
            setting,
            path: path.to_owned(),
            source,
        })?;
    }
    if let Some(file) = &tls.ca_file {
        options = options
            .require_tls(true)
            .add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) {
        options = options
            .require_tls(true)
            .add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn on_event(event: &Event, connects: &watch::Sender<u64>, violations: &Violations) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            connects.send_modify(|count| *count += 1);
        }
        Event::ServerError(ServerError::Other(text)) => {
            tracing::error!(error = %text, "NATS refused an operation");
            violations.record(text);
        }
        Event::ServerError(error) => tracing::error!(%error, "NATS reported an error"),
        other => tracing::warn!(event = %other, "the connection to NATS changed"),
    }
}

/// Permission violations come as asynchronous errors; without them a refusal looks like a timeout.
#[derive(Debug, Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<VecDeque<String>>>);

impl Violations {
    fn record(&self, text: &str) {
        if !text.to_ascii_lowercase().contains("permissions violation") {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == MAX_REMEMBERED_VIOLATIONS {
            seen.pop_front();
        }
        seen.push_back(text.to_owned());
    }

    /// Takes the violation that names a subject, if there was one.
    pub(crate) fn take(&self, subject: &str) -> Option<String> {
        self.take_first(&format!("\"{subject}\""))
    }

    /// Takes the first violation of a subject that begins so, if there was one.
    pub(crate) fn take_of(&self, prefix: &str) -> Option<String> {
        self.take_first(&format!("\"{prefix}"))
    }

    fn take_first(&self, quoted: &str) -> Option<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quoted = quoted.to_ascii_lowercase();
        let index = seen
            .iter()
            .position(|text| text.to_ascii_lowercase().contains(&quoted))?;
        seen.remove(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_found_by_its_subject_once_and_memory_is_bounded() {
        let violations = Violations::default();
        violations.record("Permissions Violation for Publish to \"bonesetter.v1.acted.c.n.K.i.s\"");
        violations.record("maximum payload violation");
        assert_eq!(violations.take("bonesetter.v1.acted"), None);
        assert!(violations.take("bonesetter.v1.acted.c.n.K.i.s").is_some());
        assert_eq!(violations.take("bonesetter.v1.acted.c.n.K.i.s"), None);
        for number in 0..1000 {
            violations.record(&format!(
                "Permissions Violation for Publish to \"{number}\""
            ));
        }
        assert_eq!(
            violations.0.lock().unwrap().len(),
            MAX_REMEMBERED_VIOLATIONS
        );
    }
}
