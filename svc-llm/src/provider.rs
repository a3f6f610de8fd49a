//! Which diagnoser answers, and who steps in when it cannot.

use bonesetter_chassis::http::HttpError;
use bonesetter_proto::v1::Diagnosis;

use crate::case::Case;
use crate::config::{Config, Provider};
use crate::diagnoser::{DiagnoseError, Diagnoser as _};
use crate::openai::OpenAi;
use crate::rules;

/// The configured diagnoser. Always answers: a provider that fails is replaced by the rules, and the answer
/// says so. Such an answer holds nothing of the provider's.
#[derive(Debug)]
pub enum Diagnosers {
    /// The rules alone.
    Rules,
    /// A provider, the rules behind it.
    OpenAi(Box<OpenAi>),
}

impl Diagnosers {
    /// The diagnosers of a configuration.
    pub fn new(config: &Config) -> Result<Self, HttpError> {
        Ok(match config.provider {
            Provider::Rules => Self::Rules,
            Provider::OpenAi => Self::OpenAi(Box::new(OpenAi::new(&config.openai)?)),
        })
    }

    /// Diagnoses, by the rules if need be.
    pub(crate) async fn diagnose(&self, case: &Case<'_>) -> Diagnosis {
        match self {
            Self::Rules => rules::diagnose(case),
            Self::OpenAi(openai) => match openai.diagnose(case).await {
                Ok(diagnosis) => diagnosis,
                Err(error) => fall_back(case, &error),
            },
        }
    }
}

fn fall_back(case: &Case<'_>, error: &DiagnoseError) -> Diagnosis {
    tracing::warn!(%error, reason = error.reason(), "the provider has no diagnosis, the rules answer");
    Diagnosis {
        degraded_reason: error.reason().to_owned(),
        ..rules::diagnose(case)
    }
}
