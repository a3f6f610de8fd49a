//! What diagnoses, and how that can fail.

use std::future::Future;
use std::time::Duration;

use bonesetter_chassis::secret::SecretError;
use bonesetter_proto::v1::Diagnosis;

use crate::case::Case;

/// Explains one incident from its redacted evidence.
pub trait Diagnoser: Send + Sync {
    /// The diagnosis, or why there is none. What it cites and proposes has yet to be checked.
    fn diagnose(
        &self,
        case: &Case<'_>,
    ) -> impl Future<Output = Result<Diagnosis, DiagnoseError>> + Send;
}

/// Why a provider has no diagnosis. Holds nothing of prompt or answer.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The key or header file cannot be read.
    #[error("cannot read the credentials of the provider: {0}")]
    Credentials(#[from] SecretError),
    /// A credential holds what cannot be a header.
    #[error("the credentials of the provider are not a valid header value; check the file")]
    InvalidCredentials,
    /// The provider was not reached, or cut the connection.
    #[error("cannot reach the provider: {0}")]
    Transport(String),
    /// The deadline passed.
    #[error("the provider did not answer within {0:?}")]
    Timeout(Duration),
    /// Too many requests; the provider may say how long to wait.
    #[error("the provider limits our rate (wait: {after:?})")]
    RateLimited {
        /// The longest of the waits that it names.
        after: Option<Duration>,
    },
    /// The account has no money or quota left.
    #[error("the provider's quota is used up; check plan and billing")]
    QuotaExhausted,
    /// The provider has trouble of its own.
    #[error("the provider is overloaded or down (HTTP {status})")]
    Overloaded {
        /// HTTP status.
        status: u16,
    },
    /// The prompt does not fit into the model's context.
    #[error("the evidence is too long for the model")]
    ContextTooLong,
    /// The provider does not understand the request.
    #[error("the provider refuses the request as invalid ({code}); check model and endpoint")]
    InvalidRequest {
        /// The provider's error code.
        code: String,
    },
    /// The key is not valid.
    #[error("the provider does not accept our credentials")]
    Auth,
    /// The key may not do this.
    #[error("the provider does not allow this to our credentials")]
    Forbidden,
    /// There is no such model or deployment.
    #[error(
        "the provider knows no such model or deployment; check openai.model and openai.base_url"
    )]
    ModelNotFound,
    /// The model declined to answer.
    #[error("the model declined to answer")]
    Refused,
    /// A content filter blocked prompt or answer.
    #[error("a content filter of the provider blocked prompt or answer")]
    ContentFilter,
    /// The answer ends in the middle.
    #[error("the answer was cut off at the token limit")]
    Truncated,
    /// The answer is not what was asked for.
    #[error("the answer is not usable: {0}")]
    Malformed(&'static str),
    /// The answer does not rest on the evidence.
    #[error("the answer does not rest on the evidence: {0}")]
    Unverified(&'static str),
}

impl DiagnoseError {
    /// Every reason.
    pub const REASONS: [&'static str; 16] = [
        "credentials-unreadable",
        "transport",
        "timeout",
        "rate-limited",
        "quota-exhausted",
        "overloaded",
        "context-too-long",
        "invalid-request",
        "unauthenticated",
        "forbidden",
        "model-not-found",
        "refused",
        "content-filter",
        "truncated",
        "malformed",
        "unverified",
    ];

    /// Short and stable, for messages and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Credentials(_) | Self::InvalidCredentials => "credentials-unreadable",
            Self::Transport(_) => "transport",
            Self::Timeout(_) => "timeout",
            Self::RateLimited { .. } => "rate-limited",
            Self::QuotaExhausted => "quota-exhausted",
            Self::Overloaded { .. } => "overloaded",
            Self::ContextTooLong => "context-too-long",
            Self::InvalidRequest { .. } => "invalid-request",
            Self::Auth => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ModelNotFound => "model-not-found",
            Self::Refused => "refused",
            Self::ContentFilter => "content-filter",
            Self::Truncated => "truncated",
            Self::Malformed(_) => "malformed",
            Self::Unverified(_) => "unverified",
        }
    }
}
