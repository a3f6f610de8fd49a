//! Which diagnoser answers, and who steps in when it cannot.

use bonesetter_chassis::http::HttpError;
use bonesetter_proto::v1::Diagnosis;

use crate::case::Case;
use crate::config::{Config, Provider};
use crate::diagnoser::{DiagnoseError, Diagnoser as _};
use crate::local::{LocalRuleError, LocalRules};
use crate::openai::{OPENAI, OpenAi};
use crate::rules::{RULES, Rules};

/// The configured diagnoser. Always answers: a provider that fails is replaced by the rules, and the answer
/// says so. Such an answer holds nothing of the provider's.
#[derive(Debug)]
pub enum Diagnosers {
    /// The rules alone.
    Rules(Rules),
    /// A provider, the rules behind it.
    OpenAi(Box<OpenAi>, Rules),
}

/// Why there are no diagnosers.
#[derive(Debug, thiserror::Error)]
pub enum DiagnosersError {
    /// The rules of the installation cannot be used.
    #[error("rules_dir: {0}")]
    Rules(#[from] LocalRuleError),
    /// There is no client for the endpoint.
    #[error("openai: {0}")]
    Http(#[from] HttpError),
}

impl Default for Diagnosers {
    fn default() -> Self {
        Self::Rules(Rules::default())
    }
}

impl Diagnosers {
    /// The diagnosers of a configuration.
    pub fn new(config: &Config) -> Result<Self, DiagnosersError> {
        let local = match &config.rules_dir {
            Some(dir) => LocalRules::read(dir)?,
            None => LocalRules::default(),
        };
        if !local.is_empty() {
            tracing::info!(count = local.len(), "rules of this installation are in use");
        }
        let rules = Rules::with(local);
        Ok(match config.provider {
            Provider::Rules => Self::Rules(rules),
            Provider::OpenAi => {
                let openai = OpenAi::new(&config.openai, rules.clone())?;
                Self::OpenAi(Box::new(openai), rules)
            }
        })
    }

    /// The names of those who may answer.
    pub const fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Rules(_) => &[RULES],
            Self::OpenAi(..) => &[RULES, OPENAI],
        }
    }

    /// Diagnoses, by the rules if need be.
    pub(crate) async fn diagnose(&self, case: &Case<'_>) -> Diagnosis {
        match self {
            Self::Rules(rules) => rules.explain(case),
            Self::OpenAi(openai, rules) => match openai.diagnose(case).await {
                Ok(diagnosis) => diagnosis,
                Err(error) => fall_back(rules, case, &error),
            },
        }
    }
}

fn fall_back(rules: &Rules, case: &Case<'_>, error: &DiagnoseError) -> Diagnosis {
    tracing::warn!(%error, reason = error.reason(), "the provider has no diagnosis, the rules answer");
    Diagnosis {
        degraded_reason: error.reason().to_owned(),
        ..rules.explain(case)
    }
}
