//! The object store: objects are put once, and nothing else can be done with the credential.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use bonesetter_chassis::secret::{SecretError, SecretFile};
use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, ObjectStore as _, PutMode, PutOptions, PutPayload, RetryConfig,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::config::{ExportSettings, is_loopback};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_mins(1);
const RETRIES: usize = 3;

/// Why an object was not put. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file with the credential.
    #[error("export.credential_file: {0}")]
    Secret(#[from] SecretError),
    /// What is in the file.
    #[error("export.credential_file does not hold JSON with access_key_id and secret_access_key")]
    Credential,
    /// The CA file cannot be read.
    #[error("export.ca_file: cannot read {path}: {source}")]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA file is no PEM file, or an empty one.
    #[error("export.ca_file: {path} holds no certificate in PEM format")]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The settings do not make a client.
    #[error(
        "cannot make a client for the object store: {0}; HTTPS needs certificates of authorities: the \
         system's, those of the file that SSL_CERT_FILE names, or export.ca_file"
    )]
    Client(object_store::Error),
    /// The store.
    #[error("putting {key} into bucket {bucket} failed: {source}")]
    Put {
        /// Which bucket.
        bucket: String,
        /// Which object.
        key: String,
        /// Why.
        source: object_store::Error,
    },
}

/// What putting an object came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is there now, in this version.
    Now {
        /// As the store named it; empty when it keeps no versions.
        version_id: String,
    },
    /// There was an object under the key, whose name holds the digest of these bytes.
    Before,
}

#[derive(Deserialize)]
struct Credential {
    access_key_id: String,
    secret_access_key: SecretString,
    session_token: Option<SecretString>,
}

/// One bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    settings: ExportSettings,
}

impl Bucket {
    /// The credential is read at each use.
    pub const fn new(settings: ExportSettings) -> Self {
        Self { settings }
    }

    /// Puts an object where there is none. The store checks the bytes against their SHA-256.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<Stored, StoreError> {
        let client = self.client()?;
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let payload = PutPayload::from_bytes(Bytes::from(bytes));
        match client.put_opts(&Path::from(key), payload, options).await {
            Ok(result) => Ok(Stored::Now {
                version_id: result.version.unwrap_or_default(),
            }),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Stored::Before),
            Err(source) => Err(StoreError::Put {
                bucket: self.settings.bucket.clone(),
                key: key.to_owned(),
                source,
            }),
        }
    }

    /// A client with the present credential; session credentials end and are renewed in their file.
    fn client(&self) -> Result<AmazonS3, StoreError> {
        let text = SecretFile::new(&self.settings.credential_file).read()?;
        let credential: Credential =
            serde_json::from_str(text.expose_secret()).map_err(|_| StoreError::Credential)?;
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(&self.settings.endpoint)
            .with_region(&self.settings.region)
            .with_bucket_name(&self.settings.bucket)
            .with_access_key_id(credential.access_key_id)
            .with_secret_access_key(credential.secret_access_key.expose_secret())
            .with_virtual_hosted_style_request(false)
            .with_allow_http(is_loopback(&self.settings.endpoint))
            .with_checksum_algorithm(Checksum::SHA256)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(self.client_options()?)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: TIMEOUT,
                ..RetryConfig::default()
            });
        if let Some(token) = &credential.session_token {
            builder = builder.with_token(token.expose_secret());
        }
        builder.build().map_err(StoreError::Client)
    }

    fn client_options(&self) -> Result<ClientOptions, StoreError> {
        let is_plain = is_loopback(&self.settings.endpoint);
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(TIMEOUT)
            .with_allow_http(is_plain)
            // They would be read although nobody asks for them, and an image may hold none.
            .with_no_system_certificates(is_plain);
        let Some(path) = &self.settings.ca_file else {
            return Ok(options);
        };
        let pem = fs::read(path).map_err(|source| StoreError::CaFile {
            path: path.clone(),
            source,
        })?;
        let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(StoreError::NoCertificate { path: path.clone() });
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_credential_that_cannot_be_read_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let settings = ExportSettings {
            endpoint: "http://127.0.0.1:1".to_owned(),
            region: "us-east-1".to_owned(),
            bucket: "b".to_owned(),
            credential_file: dir.path().join("s3.json"),
            ca_file: None,
            every: Duration::from_hours(1),
            rows: 1,
        };
        let bucket = Bucket::new(settings.clone());
        assert!(matches!(
            bucket.put("k", Vec::new()).await,
            Err(StoreError::Secret(_))
        ));
        std::fs::write(
            &settings.credential_file,
            r#"{"secret_access_key":"canary"}"#,
        )
        .unwrap();
        let error = bucket.put("k", Vec::new()).await.unwrap_err();
        assert!(matches!(error, StoreError::Credential));
        assert!(!format!("{error:?}").contains("canary"));
    }
}
