//! The one way to make an HTTP client: bounded in time, no redirects, private CAs where configured.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

/// What a client is bounded by.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// Until the whole answer has been read.
    pub timeout: Duration,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            ca_file: None,
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The CA file cannot be read.
    #[error("cannot read CA file {path}: {source}")]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The options do not make a client.
    #[error("cannot make an HTTP client: {0}")]
    Build(reqwest::Error),
}

/// Makes a client. Redirects are not followed: an endpoint that moves must be configured anew,
/// because a redirect would carry credentials and evidence to a place that nobody chose.
pub fn client(options: &HttpOptions) -> Result<reqwest::Client, HttpError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("bonesetter/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &options.ca_file {
        let pem = fs::read(path).map_err(|source| HttpError::CaFile {
            path: path.clone(),
            source,
        })?;
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(HttpError::Build)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(HttpError::Build)
}
