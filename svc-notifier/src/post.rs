//! One HTTP post to a receiver, and what its answer means. Addresses are secrets: they are read from
//! files and stand in no error, log or message.

use std::time::{Duration, SystemTime};

use bonesetter_chassis::secrecy::ExposeSecret as _;
use bonesetter_chassis::secret::SecretFile;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, Url};

/// A receiver that asks for more patience than this is asked again anyway.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// What came of one attempt. A failure is a short class without any address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The receiver took it.
    Delivered,
    /// The receiver will never take it.
    Refused(String),
    /// It may go better later; the receiver may also have taken it without our knowing.
    Again {
        /// Why.
        failure: String,
        /// What the receiver asked for.
        after: Option<Duration>,
    },
}

impl Attempt {
    /// An attempt that failed before anything was sent, for a reason that an operator can mend.
    pub(crate) fn again(failure: &str) -> Self {
        Self::Again {
            failure: failure.to_owned(),
            after: None,
        }
    }
}

/// Why a file holds no usable address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The file cannot be read.
    #[error(transparent)]
    Secret(#[from] bonesetter_chassis::secret::SecretError),
    /// It holds no URL.
    #[error("{0} does not hold a URL")]
    NotAUrl(std::path::PathBuf),
    /// It would send evidence and an address that is a secret in the clear.
    #[error("{0} holds a URL that is not https; http is for loopback addresses only")]
    NotSecure(std::path::PathBuf),
}

/// The address that a file holds.
pub(crate) fn address(file: &SecretFile) -> Result<Url, AddressError> {
    let secret = file.read()?;
    let path = || file.path().to_owned();
    let url = Url::parse(secret.expose_secret()).map_err(|_| AddressError::NotAUrl(path()))?;
    let is_loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => return Err(AddressError::NotAUrl(path())),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err(AddressError::NotSecure(path())),
    }
}

/// Posts JSON once.
pub(crate) async fn post(
    client: &reqwest::Client,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    now: SystemTime,
) -> Attempt {
    let request = client
        .post(url)
        .headers(headers)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(body);
    match request.send().await {
        Ok(response) => judge(response.status(), response.headers(), now),
        Err(error) if error.is_timeout() => Attempt::again("timeout"),
        Err(error) if error.is_connect() => Attempt::again("connect"),
        Err(error) if error.is_builder() => Attempt::Refused("request".to_owned()),
        Err(_) => Attempt::again("connection-lost"),
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Attempt {
    if status.is_success() {
        return Attempt::Delivered;
    }
    let failure = format!("http-{}", status.as_u16());
    let is_passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if is_passing {
        Attempt::Again {
            failure,
            after: retry_after(headers, now),
        }
    } else {
        Attempt::Refused(failure)
    }
}

/// Seconds or a date (RFC 9110, 10.2.3), capped.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let now = Timestamp::try_from(now).ok()?;
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use reqwest::header::HeaderValue;

    use super::*;

    fn judged(status: u16, retry_after: Option<&'static str>) -> Attempt {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        // 1994-11-06T08:49:37Z, the date of the examples in RFC 9110.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        judge(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    fn again(status: u16, after: Option<u64>) -> Attempt {
        Attempt::Again {
            failure: format!("http-{status}"),
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn answers_are_final_or_passing() {
        for status in [200, 202, 204] {
            assert_eq!(judged(status, None), Attempt::Delivered);
        }
        for status in [301, 400, 403, 404, 410, 413] {
            assert_eq!(
                judged(status, None),
                Attempt::Refused(format!("http-{status}"))
            );
        }
        for status in [408, 425, 429, 500, 503] {
            assert_eq!(judged(status, None), again(status, None));
        }
    }

    #[test]
    fn the_receivers_wish_is_honoured_within_reason() {
        let cases = [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:37 GMT", Some(0)),
            ("86400", Some(600)),
            ("soon", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(judged(429, Some(text)), again(429, expected), "{text}");
        }
    }

    #[test]
    fn addresses_must_be_https_or_loopback_and_are_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = SecretFile::new(dir.path().join("url"));
        let cases = [
            ("https://hooks.example.com/services/T0/B0/canary", true),
            ("http://127.0.0.1:9/canary", true),
            ("http://[::1]:9/canary", true),
            ("http://localhost:9/canary", true),
            ("http://hooks.example.com/canary", false),
            ("http://127.0.0.1.example.com/canary", false),
            ("ftp://127.0.0.1/canary", false),
            ("canary", false),
            ("data:canary", false),
        ];
        for (text, usable) in cases {
            std::fs::write(file.path(), text).unwrap();
            match address(&file) {
                Ok(_) => assert!(usable, "{text}"),
                Err(error) => {
                    assert!(!usable, "{text}");
                    assert!(!error.to_string().contains("canary"), "{error}");
                }
            }
        }
    }
}
