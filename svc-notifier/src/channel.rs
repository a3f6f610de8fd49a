//! The channels that notices go through.

use std::path::PathBuf;
use std::time::SystemTime;

use bonesetter_chassis::secret::SecretFile;
use bonesetter_keys::{WebhookKeys, content_hash};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::notice::Notice;
use crate::post::{self, AddressError, Attempt};
use crate::record::Told;
use crate::{slack, webhook};

const SIGNATURE: HeaderName = HeaderName::from_static("bonesetter-signature");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where notices go, and in which form.
#[derive(Debug, Clone)]
pub struct Channel {
    form: Form,
    address: SecretFile,
}

#[derive(Debug, Clone)]
enum Form {
    Slack,
    Webhook { key_file: PathBuf },
}

/// A rendered notice.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// SHA-256 (hex).
    pub(crate) hash: String,
}

impl Channel {
    /// A Slack incoming webhook.
    pub fn slack(address_file: impl Into<PathBuf>) -> Self {
        Self {
            form: Form::Slack,
            address: SecretFile::new(address_file),
        }
    }

    /// A generic webhook, signed with the newest key of a file.
    pub fn webhook(address_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        let form = Form::Webhook {
            key_file: key_file.into(),
        };
        Self {
            form,
            address: SecretFile::new(address_file),
        }
    }

    /// Its name in records and messages.
    pub const fn name(&self) -> &'static str {
        match self.form {
            Form::Slack => "slack",
            Form::Webhook { .. } => "webhook",
        }
    }

    /// Whether the files that it needs can be used, so that a service that could tell nobody does not start.
    pub fn check(&self) -> Result<(), ChannelError> {
        let name = self.name();
        post::address(&self.address).map_err(|source| ChannelError::Address { name, source })?;
        if let Form::Webhook { key_file } = &self.form {
            WebhookKeys::read(key_file).map_err(|source| ChannelError::Key { name, source })?;
        }
        Ok(())
    }

    /// The same notice and record give the same bytes.
    pub(crate) fn render(&self, notice: &Notice, told: &Told) -> Result<Body, serde_json::Error> {
        let ended = told.resolution.as_ref();
        let bytes = match self.form {
            Form::Slack => serde_json::to_vec(&slack::render(notice, told.full, ended)),
            Form::Webhook { .. } => serde_json::to_vec(&webhook::render(notice, told.full, ended)),
        }?;
        Ok(Body {
            hash: content_hash(&bytes),
            bytes,
        })
    }

    /// Posts once.
    pub(crate) async fn post(
        &self,
        client: &reqwest::Client,
        body: Body,
        idempotency_key: &str,
        now: SystemTime,
    ) -> Attempt {
        let Ok(address) = post::address(&self.address) else {
            return Attempt::again("address-file");
        };
        let mut headers = HeaderMap::new();
        if let Form::Webhook { key_file } = &self.form {
            let Ok(keys) = WebhookKeys::read(key_file) else {
                return Attempt::again("key-file");
            };
            let signature = HeaderValue::try_from(keys.sign(now, &body.bytes));
            let (Ok(signature), Ok(key)) = (signature, HeaderValue::try_from(idempotency_key))
            else {
                return Attempt::Refused("request".to_owned());
            };
            headers.insert(SIGNATURE, signature);
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        post::post(client, address, headers, body.bytes, now).await
    }
}

/// Why a channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// No usable address.
    #[error("channel {name} has no usable address: {source}")]
    Address {
        /// Which channel.
        name: &'static str,
        /// Why.
        source: AddressError,
    },
    /// No usable key.
    #[error("channel {name} has no usable key: {source}")]
    Key {
        /// Which channel.
        name: &'static str,
        /// Why.
        source: bonesetter_keys::KeyError,
    },
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bonesetter_chassis::http::{HttpOptions, client};
    use bonesetter_proto::v1::Step;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::record::{Candidate, Plan, Record};
    use crate::samples;

    const AT: SystemTime = UNIX_EPOCH;

    struct Receiver {
        server: MockServer,
        dir: tempfile::TempDir,
    }

    impl Receiver {
        async fn new(answer: ResponseTemplate) -> Self {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .and(path("/hook"))
                .and(header("content-type", "application/json"))
                .respond_with(answer)
                .mount(&server)
                .await;
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("url"), format!("{}/hook\n", server.uri())).unwrap();
            bonesetter_keys::init(&dir.path().join("keys"), &[]).unwrap();
            Self { server, dir }
        }

        fn key_file(&self) -> PathBuf {
            self.dir.path().join("keys/webhook.key")
        }

        fn slack(&self) -> Channel {
            Channel::slack(self.dir.path().join("url"))
        }

        fn webhook(&self) -> Channel {
            Channel::webhook(self.dir.path().join("url"), self.key_file())
        }
    }

    fn told() -> Told {
        let mut record = Record::default();
        let candidate = Candidate {
            step: "incident-proposed".to_owned(),
            cause: Some("memory-limit-too-low".to_owned()),
            is_proposal: true,
            ends_with: None,
            waits_for: None,
            follows: None,
        };
        assert_eq!(record.plan(candidate, &["slack"], 0), Plan::Tell(0));
        record.told.remove(0)
    }

    async fn post(channel: &Channel) -> Attempt {
        let notice = samples::notice(Step::Proposed, "proposed");
        let body = channel.render(&notice, &told()).unwrap();
        let options = HttpOptions {
            timeout: Duration::from_secs(5),
            ..HttpOptions::default()
        };
        channel
            .post(
                &client(&options).unwrap(),
                body,
                &notice.idempotency_key(),
                AT,
            )
            .await
    }

    #[tokio::test]
    async fn slack_gets_blocks_and_nothing_else() {
        let receiver = Receiver::new(ResponseTemplate::new(200).set_body_string("ok")).await;
        assert_eq!(post(&receiver.slack()).await, Attempt::Delivered);
        let requests = receiver.server.received_requests().await.unwrap();
        let body: serde_json::Value = requests[0].body_json().unwrap();
        assert_eq!(body["blocks"][0]["type"], "header");
        assert!(!requests[0].headers.contains_key(&SIGNATURE));
    }

    #[tokio::test]
    async fn a_webhook_can_be_verified_and_a_repetition_recognised() {
        let receiver = Receiver::new(ResponseTemplate::new(202)).await;
        for _ in 0..2 {
            assert_eq!(post(&receiver.webhook()).await, Attempt::Delivered);
        }
        let requests = receiver.server.received_requests().await.unwrap();
        let signature = requests[0].headers[&SIGNATURE].to_str().unwrap();
        let keys = WebhookKeys::read(&receiver.key_file()).unwrap();
        assert_eq!(
            keys.verify(signature, &requests[0].body, AT, Duration::from_mins(5)),
            Ok(())
        );
        assert_eq!(requests[0].body, requests[1].body);
        assert_eq!(
            requests[0].headers[&IDEMPOTENCY_KEY],
            "abcdefghijklmnopqrstuvwx23/incident-proposed"
        );
        assert_eq!(
            requests[0].headers[&IDEMPOTENCY_KEY],
            requests[1].headers[&IDEMPOTENCY_KEY]
        );
    }

    /// The receiver that the documentation gives, word for word.
    #[tokio::test]
    async fn the_documented_receiver_believes_us_and_nobody_else() {
        let receiver = Receiver::new(ResponseTemplate::new(202)).await;
        assert_eq!(post(&receiver.webhook()).await, Attempt::Delivered);
        let request = &receiver.server.received_requests().await.unwrap()[0];
        let body = receiver.dir.path().join("body");
        std::fs::write(&body, &request.body).unwrap();
        let documentation = include_str!("webhook.md");
        let (_, code) = documentation.split_once("```python\n").unwrap();
        let (code, _) = code.split_once("```").unwrap();
        let program = format!(
            "{code}\nimport sys\nkey, header, body, now = sys.argv[1:]\n\
             sys.exit(not verify(key, header, open(body, 'rb').read(), int(now)))"
        );
        let believes = |header: &str, now: &str| {
            let mut python = std::process::Command::new("python3");
            python.args(["-c", &program]).arg(receiver.key_file());
            let status = python.arg(header).arg(&body).arg(now).status();
            status.unwrap().success()
        };
        let header = request.headers[&SIGNATURE].to_str().unwrap();
        assert!(believes(header, "299"));
        assert!(!believes(header, "301"), "a repetition");
        assert!(!believes(&header.replace("t=0,", "t=1,"), "0"));
        std::fs::write(&body, b"another body").unwrap();
        assert!(!believes(header, "0"));
    }

    #[tokio::test]
    async fn refusals_and_outages_are_told_apart() {
        let receiver =
            Receiver::new(ResponseTemplate::new(429).insert_header("retry-after", "7")).await;
        let expected = Attempt::Again {
            failure: "http-429".to_owned(),
            after: Some(Duration::from_secs(7)),
        };
        assert_eq!(post(&receiver.slack()).await, expected);
        let receiver = Receiver::new(ResponseTemplate::new(404)).await;
        assert_eq!(
            post(&receiver.slack()).await,
            Attempt::Refused("http-404".to_owned())
        );
        let receiver =
            Receiver::new(ResponseTemplate::new(302).insert_header("location", "/other")).await;
        assert_eq!(
            post(&receiver.slack()).await,
            Attempt::Refused("http-302".to_owned())
        );
    }

    #[tokio::test]
    async fn a_receiver_that_is_away_is_tried_again() {
        let receiver = Receiver::new(ResponseTemplate::new(200)).await;
        let channel = receiver.slack();
        std::fs::write(receiver.dir.path().join("url"), "http://127.0.0.1:1/hook").unwrap();
        assert_eq!(post(&channel).await, Attempt::again("connect"));
        std::fs::remove_file(receiver.dir.path().join("url")).unwrap();
        assert_eq!(post(&channel).await, Attempt::again("address-file"));
    }

    #[tokio::test]
    async fn a_channel_that_could_tell_nobody_says_so_at_the_start() {
        let receiver = Receiver::new(ResponseTemplate::new(200)).await;
        assert!(receiver.webhook().check().is_ok());
        std::fs::write(receiver.key_file(), "nonsense").unwrap();
        assert!(matches!(
            receiver.webhook().check(),
            Err(ChannelError::Key { .. })
        ));
        std::fs::write(receiver.dir.path().join("url"), "").unwrap();
        assert!(matches!(
            receiver.webhook().check(),
            Err(ChannelError::Address { .. })
        ));
    }
}
