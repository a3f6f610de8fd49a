//! A small S3 client for tests and set-up: signed requests, nothing more.
//!
//! The audit service writes through `object_store`; this one exists to ask what that cannot:
//! versions, retention, and whether a deletion is refused.

mod wire;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use wire::{encode, form_body, read_versions, sign_headers, values};

/// The only region that the testbed's MinIO knows.
pub const REGION: &str = "us-east-1";

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be signed.
    #[error("cannot sign {method} {url}: {reason}")]
    Sign {
        /// The method.
        method: String,
        /// The URL.
        url: String,
        /// Why.
        reason: String,
    },
    /// It was not answered.
    #[error("{method} {url} was not answered: {source}")]
    Send {
        /// The method.
        method: String,
        /// The URL.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It was refused.
    #[error("{method} {url} was refused: {status} {code}")]
    Refused {
        /// The method.
        method: String,
        /// The URL.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// The error code of the answer, such as `AccessDenied`.
        code: String,
    },
    /// The answer lacks something.
    #[error("the answer to {what} holds no {element}")]
    Answer {
        /// The request.
        what: String,
        /// What was looked for.
        element: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Access to one bucket, as the testbed writes it to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Base URL of the server.
    pub endpoint: String,
    /// Region for signatures.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token of a temporary credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Object key.
    pub key: String,
    /// Version id.
    pub version_id: String,
    /// Whether it is a delete marker.
    pub is_delete_marker: bool,
}

/// Until when an object version is locked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// `COMPLIANCE` or `GOVERNANCE`.
    pub mode: String,
    /// RFC 3339.
    pub retain_until: String,
}

/// An answer that was a success.
#[derive(Debug)]
struct Answer {
    version_id: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks an S3 server with one set of credentials.
#[derive(Debug, Clone)]
pub struct S3Admin {
    access: Access,
    http: reqwest::Client,
}

impl S3Admin {
    /// A client with this access.
    pub fn new(access: Access) -> Result<Self, Error> {
        Ok(Self {
            access,
            http: crate::ready::local_http()?,
        })
    }

    /// The access it uses.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Makes the bucket with object lock, and gives it a default COMPLIANCE retention.
    pub async fn create_locked_bucket(&self, days: u32) -> Result<(), Error> {
        let url = self.bucket_url("");
        let lock = ("x-amz-bucket-object-lock-enabled", "true");
        self.request(Method::PUT, &url, &[lock], b"", "s3").await?;
        let rule = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
             <DefaultRetention><Mode>COMPLIANCE</Mode><Days>{days}</Days></DefaultRetention>\
             </Rule></ObjectLockConfiguration>"
        );
        let url = self.bucket_url("?object-lock=");
        self.request(Method::PUT, &url, &[], rule.as_bytes(), "s3")
            .await
            .map(drop)
    }

    /// A temporary credential that may do no more than `policy` (an IAM policy document) allows.
    /// Source: AWS Security Token Service API, `AssumeRole`.
    pub async fn assume_role(&self, policy: &str, seconds: u32) -> Result<Access, Error> {
        let seconds = seconds.to_string();
        let form = form_body(&[
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", "arn:aws:iam::000000000000:role/bonesetter"),
            ("RoleSessionName", "bonesetter"),
            ("DurationSeconds", &seconds),
            ("Policy", policy),
        ]);
        let url = format!("{}/", self.access.endpoint);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let answer = self
            .request(Method::POST, &url, &[kind], form.as_bytes(), "sts")
            .await?;
        let text = answer.text();
        let element = |name: &str| {
            let absent = || Error::Answer {
                what: "AssumeRole".into(),
                element: name.into(),
            };
            values(&text, name).into_iter().next().ok_or_else(absent)
        };
        Ok(Access {
            access_key_id: element("AccessKeyId")?,
            secret_access_key: element("SecretAccessKey")?,
            session_token: Some(element("SessionToken")?),
            ..self.access.clone()
        })
    }

    /// Writes an object and returns its version id.
    pub async fn put_object(&self, key: &str, body: &[u8]) -> Result<String, Error> {
        let answer = self
            .request(Method::PUT, &self.object_url(key, ""), &[], body, "s3")
            .await?;
        Ok(answer.version_id.unwrap_or_default())
    }

    /// Reads the newest version of an object.
    pub async fn get_object(&self, key: &str) -> Result<Vec<u8>, Error> {
        let answer = self
            .request(Method::GET, &self.object_url(key, ""), &[], b"", "s3")
            .await?;
        Ok(answer.body)
    }

    /// Deletes an object: with a version id that version, else by a delete marker.
    pub async fn delete_object(&self, key: &str, version_id: Option<&str>) -> Result<(), Error> {
        let query = version_id.map(|id| format!("?versionId={}", encode(id, false)));
        let url = self.object_url(key, &query.unwrap_or_default());
        self.request(Method::DELETE, &url, &[], b"", "s3")
            .await
            .map(drop)
    }

    /// Every version of every object whose key begins with `prefix` (the first thousand).
    pub async fn list_object_versions(&self, prefix: &str) -> Result<Vec<Version>, Error> {
        let query = format!("?prefix={}&versions=", encode(prefix, false));
        let url = self.bucket_url(&query);
        let answer = self.request(Method::GET, &url, &[], b"", "s3").await?;
        Ok(read_versions(&answer.text()))
    }

    /// How an object version is locked.
    pub async fn get_object_retention(
        &self,
        key: &str,
        version_id: &str,
    ) -> Result<Retention, Error> {
        let query = format!("?retention=&versionId={}", encode(version_id, false));
        let url = self.object_url(key, &query);
        let text = self
            .request(Method::GET, &url, &[], b"", "s3")
            .await?
            .text();
        let element = |name: &str| {
            let absent = || Error::Answer {
                what: "GetObjectRetention".into(),
                element: name.into(),
            };
            values(&text, name).into_iter().next().ok_or_else(absent)
        };
        Ok(Retention {
            mode: element("Mode")?,
            retain_until: element("RetainUntilDate")?,
        })
    }

    fn bucket_url(&self, query: &str) -> String {
        format!("{}/{}{query}", self.access.endpoint, self.access.bucket)
    }

    fn object_url(&self, key: &str, query: &str) -> String {
        format!(
            "{}/{}/{}{query}",
            self.access.endpoint,
            self.access.bucket,
            encode(key, true)
        )
    }

    /// Signs (AWS Signature Version 4) and sends a request.
    async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        service: &str,
    ) -> Result<Answer, Error> {
        let signed = sign_headers(&self.access, method.as_str(), url, headers, body, service)
            .map_err(|reason| Error::Sign {
                method: method.to_string(),
                url: url.to_owned(),
                reason,
            })?;
        let mut request = self.http.request(method.clone(), url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let send = |source| Error::Send {
            method: method.to_string(),
            url: url.to_owned(),
            source,
        };
        let answer = request.send().await.map_err(send)?;
        let status = answer.status();
        let version_id = answer.headers().get("x-amz-version-id");
        let version_id = version_id
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let body = answer.bytes().await.map_err(send)?.to_vec();
        if status.is_success() {
            return Ok(Answer { version_id, body });
        }
        let code = values(&String::from_utf8_lossy(&body), "Code")
            .into_iter()
            .next();
        let (method, url) = (method.to_string(), url.to_owned());
        Err(Error::Refused {
            method,
            url,
            status,
            code: code.unwrap_or_default(),
        })
    }
}

impl Error {
    /// The error code with which the server refused, such as `AccessDenied`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}
