//! The one way to make an HTTP client: bounded in time, no redirects, private CAs where configured.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use reqwest::{Certificate, Client, Url};

/// What a client is bounded by.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// Until the whole answer has been read.
    pub timeout: Duration,
    /// PEM file with certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether HTTPS is spoken. Plain HTTP needs no certificates, and an image may hold none.
    pub https: bool,
}

impl HttpOptions {
    /// For requests to the server of one URL.
    pub fn to(url: &str) -> Self {
        Self {
            https: Url::parse(url).is_ok_and(|url| url.scheme() == "https"),
            ..Self::default()
        }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            ca_file: None,
            https: true,
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
    /// The CA file is no PEM file, or an empty one.
    #[error("CA file {path} holds no certificate in PEM format")]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The options do not make a client.
    #[error(
        "cannot make an HTTP client: {}; HTTPS needs certificates of authorities: the system's, those \
         of the file that SSL_CERT_FILE names, or a ca_file in the settings", reason(.0)
    )]
    Build(reqwest::Error),
}

/// The innermost cause; what is around it says only that there was one.
fn reason(error: &reqwest::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// Makes a client. Redirects are not followed: an endpoint that moves must be configured anew,
/// because a redirect would carry credentials and evidence to a place that nobody chose.
pub fn client(options: &HttpOptions) -> Result<Client, HttpError> {
    let mut builder = Client::builder()
        .user_agent(concat!("bonesetter/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .redirect(reqwest::redirect::Policy::none());
    if options.https {
        builder = builder.tls_certs_merge(own_certificates(options)?);
    } else {
        // Without this the system's certificates are read, and it is an error when there are none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(HttpError::Build)
}

fn own_certificates(options: &HttpOptions) -> Result<Vec<Certificate>, HttpError> {
    let Some(path) = &options.ca_file else {
        return Ok(Vec::new());
    };
    let pem = fs::read(path).map_err(|source| HttpError::CaFile {
        path: path.clone(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(HttpError::NoCertificate { path: path.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_scheme_says_whether_certificates_are_needed() {
        for (url, https) in [
            ("https://loki.example.com", true),
            ("HTTPS://loki.example.com", true),
            ("http://loki.example.com", false),
        ] {
            assert_eq!(HttpOptions::to(url).https, https, "{url}");
        }
    }

    #[test]
    fn a_ca_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let options = HttpOptions {
            ca_file: Some(path.clone()),
            ..HttpOptions::default()
        };
        let error = client(&options).unwrap_err();
        assert!(matches!(error, HttpError::CaFile { .. }), "{error}");
        fs::write(&path, "-----BEGIN NOTHING-----").unwrap();
        let error = client(&options).unwrap_err();
        assert!(matches!(error, HttpError::NoCertificate { .. }), "{error}");
    }

    /// The places of the system's certificates are constants, and a process of its own sees others.
    #[test]
    fn an_image_without_certificates_can_speak_plain_http() {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "http::tests::in_an_empty_image", "--ignored"])
            .env("SSL_CERT_FILE", dir.path().join("none.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "the test before this one runs it, in a process without certificates"]
    fn in_an_empty_image() {
        client(&HttpOptions::to("http://loki:3100")).expect("no certificates are needed");
        let error = client(&HttpOptions::to("https://loki:3100")).unwrap_err();
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    }
}
