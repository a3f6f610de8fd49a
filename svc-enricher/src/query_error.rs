//! Why a query brought nothing.

use bonesetter_chassis::answer::AnswerError;
use kube::core::response::Status;

/// Why a query brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The object does not exist, or its kind does not.
    #[error("cannot {what}: it does not exist")]
    NotFound {
        /// What was attempted.
        what: String,
    },
    /// Our account may not.
    #[error("cannot {what}: not allowed ({reason}); grant the permission to svc-enricher")]
    Denied {
        /// What was attempted.
        what: String,
        /// As the server said.
        reason: String,
    },
    /// The server is away, overloaded or too slow.
    #[error("cannot {what}: the API server does not answer ({reason})")]
    Unavailable {
        /// What was attempted.
        what: String,
        /// As far as it is known.
        reason: String,
    },
    /// The server answered, and the answer is no, or cannot be used.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was attempted.
        what: String,
        /// As the server said.
        reason: String,
    },
}

impl QueryError {
    /// The API server answered with a failure.
    pub(crate) fn of(what: &str, status: &Status) -> Self {
        let what = what.to_owned();
        let reason = status.message.clone();
        match status.code {
            404 => Self::NotFound { what },
            403 => Self::Denied { what, reason },
            401 | 408 | 429 | 500.. => Self::Unavailable { what, reason },
            _ => Self::Refused { what, reason },
        }
    }

    /// The API server did not answer.
    pub(crate) fn unanswered(what: &str, error: &kube::Error) -> Self {
        Self::Unavailable {
            what: what.to_owned(),
            reason: chain(error),
        }
    }

    /// The answer was not read: the same would be too long again, and a connection may hold the next time.
    pub(crate) fn unread(what: &str, error: &AnswerError) -> Self {
        let (what, reason) = (what.to_owned(), error.to_string());
        match error {
            AnswerError::TooLong { .. } => Self::Refused { what, reason },
            AnswerError::Broken(_) => Self::Unavailable { what, reason },
        }
    }

    /// What was attempted makes no request.
    pub(crate) fn unusable(what: &str, error: &dyn std::error::Error) -> Self {
        Self::refused(what, error.to_string())
    }

    /// The answer is something else than what was asked for.
    pub(crate) fn not_asked_for(what: &str, wanted: &str) -> Self {
        Self::refused(what, format!("the answer is not {wanted}"))
    }

    /// What cannot be had for any other reason.
    pub(crate) fn refused(what: &str, reason: impl Into<String>) -> Self {
        Self::Refused {
            what: what.to_owned(),
            reason: reason.into(),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
