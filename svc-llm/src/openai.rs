//! Any endpoint that speaks OpenAI's Chat Completions: OpenAI, Azure OpenAI, vLLM, Ollama, llama.cpp.
//!
//! Wire format: <https://platform.openai.com/docs/api-reference/chat>; what servers really answer is
//! recorded in `tests/wire`.

use std::time::Duration;

use bonesetter_chassis::http::{HttpError, HttpOptions, client};
use bonesetter_chassis::secrecy::{ExposeSecret as _, SecretString};
use bonesetter_chassis::secret::SecretFile;
use bonesetter_keys::content_hash;
use bonesetter_proto::v1::Diagnosis;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::answer::accept;
use crate::case::Case;
use crate::config::OpenAiSettings;
use crate::diagnoser::{DiagnoseError, Diagnoser};
use crate::prompt::{self, Prompt};
use crate::rules::Rules;

mod classify;
mod completion;
mod request;

pub(crate) use completion::Completion;

/// A longer wait than this is not worth it: the rules answer at once.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Where the provider asks to come again and does not say when.
const SHORT_WAIT: Duration = Duration::from_secs(2);
/// A body beyond this is not read to its end.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The name under which it signs its diagnoses.
pub const OPENAI: &str = "openai";

/// One endpoint with one model.
#[derive(Debug)]
pub struct OpenAi {
    client: reqwest::Client,
    url: String,
    model: String,
    api_key: Option<SecretFile>,
    auth_header: Option<SecretFile>,
    timeout: Duration,
    rules: Rules,
}

impl OpenAi {
    /// Makes the client; nothing is sent before the first diagnosis.
    pub fn new(settings: &OpenAiSettings, rules: Rules) -> Result<Self, HttpError> {
        let options = HttpOptions {
            timeout: settings.timeout,
            ca_file: settings.ca_file.clone(),
            ..HttpOptions::to(&settings.base_url)
        };
        Ok(Self {
            client: client(&options)?,
            url: request::url(&settings.base_url),
            model: settings.model.clone(),
            api_key: settings.api_key_file.clone().map(SecretFile::new),
            auth_header: settings.auth_header_file.clone().map(SecretFile::new),
            timeout: settings.timeout,
            rules,
        })
    }

    /// Asks, and asks once more where that can help: with half of the evidence when it was too long,
    /// after a short wait when the provider was busy.
    async fn ask(&self, case: &Case<'_>, offline: &Diagnosis) -> Result<Completion, DiagnoseError> {
        let boundary = format!("{:032x}", rand::random::<u128>());
        let build = |budget| prompt::build(case, offline, &boundary, budget);
        match self.send(&build(prompt::BUDGET)).await {
            Err(DiagnoseError::ContextTooLong) => self.send(&build(prompt::BUDGET / 4)).await,
            Err(error) => match wait_before_retry(&error) {
                Some(wait) => {
                    tracing::debug!(reason = error.reason(), ?wait, "asking the provider again");
                    tokio::time::sleep(wait).await;
                    self.send(&build(prompt::BUDGET)).await
                }
                None => Err(error),
            },
            answered => answered,
        }
    }

    async fn send(&self, prompt: &Prompt) -> Result<Completion, DiagnoseError> {
        let request = self
            .client
            .post(&self.url)
            .headers(self.credentials()?)
            .json(&request::body(&self.model, prompt));
        let mut response = request
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(DiagnoseError::Malformed("its body is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        if status == 200 {
            completion::parse(&body)
        } else {
            Err(classify::failure(status, &headers, &body))
        }
    }

    /// Read anew for every request, so that rotated credentials are taken.
    fn credentials(&self) -> Result<HeaderMap, DiagnoseError> {
        let mut headers = HeaderMap::new();
        if let Some(file) = &self.api_key {
            let key = file.read()?;
            let bearer = SecretString::from(format!("Bearer {}", key.expose_secret()));
            headers.insert(AUTHORIZATION, secret_value(&bearer)?);
        }
        if let Some(file) = &self.auth_header {
            let (name, value) = auth_header(&file.read()?)?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Errors of reqwest name the URL, which may hold a user name: only their kind is kept.
    fn transport(&self, error: &reqwest::Error) -> DiagnoseError {
        if error.is_timeout() {
            DiagnoseError::Timeout(self.timeout)
        } else if error.is_connect() {
            DiagnoseError::Transport("no connection".to_owned())
        } else {
            DiagnoseError::Transport("the connection was cut".to_owned())
        }
    }
}

impl Diagnoser for OpenAi {
    async fn diagnose(&self, case: &Case<'_>) -> Result<Diagnosis, DiagnoseError> {
        let offline = self.rules.explain(case);
        let completion = tokio::time::timeout(self.timeout, self.ask(case, &offline))
            .await
            .map_err(|_| DiagnoseError::Timeout(self.timeout))??;
        let diagnosis = accept(case, &completion.text, &offline)?;
        Ok(Diagnosis {
            diagnoser: OPENAI.to_owned(),
            model: completion.model,
            tokens: completion.tokens,
            response_hash: content_hash(completion.text.as_bytes()),
            ..diagnosis
        })
    }
}

fn wait_before_retry(error: &DiagnoseError) -> Option<Duration> {
    match error {
        DiagnoseError::RateLimited { after } => {
            let wait = after.unwrap_or(SHORT_WAIT);
            (wait <= LONGEST_WAIT).then_some(wait)
        }
        DiagnoseError::Overloaded { .. } => Some(SHORT_WAIT),
        _ => None,
    }
}

/// `Name: value`, or the bare value of `Authorization`, which then replaces the API key.
fn auth_header(secret: &SecretString) -> Result<(HeaderName, HeaderValue), DiagnoseError> {
    let text = secret.expose_secret();
    if let Some((name, value)) = text.split_once(':')
        && let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes())
    {
        return Ok((
            name,
            secret_value(&SecretString::from(value.trim().to_owned()))?,
        ));
    }
    Ok((AUTHORIZATION, secret_value(secret)?))
}

fn secret_value(secret: &SecretString) -> Result<HeaderValue, DiagnoseError> {
    let mut value = HeaderValue::from_str(secret.expose_secret())
        .map_err(|_| DiagnoseError::InvalidCredentials)?;
    value.set_sensitive(true);
    Ok(value)
}
