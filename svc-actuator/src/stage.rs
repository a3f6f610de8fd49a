//! Three stages over one stream, so that the intent is acknowledged before the effect by construction
//! and nothing waits for minutes inside a handler: [`Decide`] publishes `intended`, [`Apply`] consumes
//! that and publishes `applied`, [`Verify`] consumes that and is redelivered until it is over.

use std::time::Duration;

use bonesetter_chassis::stage::{Outcome, Output};
use bonesetter_proto::v1::{self, Acted, SignedMessage};

use crate::changes::ChangesError;
use crate::kubernetes::ApiError;
use crate::metrics::Metrics;
use crate::record::{Draft, step_name};
use crate::violation::{Violation, reason};

mod apply;
mod decide;
mod verify;

pub use apply::Apply;
pub use decide::Decide;
pub use verify::{Verification, Verify};

const RETRY: Duration = Duration::from_secs(1);
/// How often a write is tried at once when the object changes meanwhile.
const ATTEMPTS: u32 = 5;

/// Why a stage could not finish.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Our own records.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The message lacks what every message of its kind has.
    #[error("the message has no {0}")]
    Malformed(&'static str),
}

/// Whether it may go better later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may.
    Transient,
    /// It will not.
    Permanent,
    /// Not before somebody grants a right.
    Denied,
}

impl StageError {
    /// Whether it may go better later.
    pub const fn class(&self) -> Class {
        match self {
            Self::Api(ApiError::Denied { .. }) => Class::Denied,
            Self::Api(ApiError::Passing { .. } | ApiError::Contended { .. })
            | Self::Changes(ChangesError::Bucket(_)) => Class::Transient,
            Self::Api(ApiError::Refused { .. })
            | Self::Changes(
                ChangesError::Malformed { .. }
                | ChangesError::Encode { .. }
                | ChangesError::Seal(_),
            )
            | Self::Malformed(_) => Class::Permanent,
        }
    }
}

/// What a message asks for cannot be decided or done, now or later.
const NOT_ACTIONABLE: &str = "not-actionable";
/// Every reason that the stages reject messages for.
const REASONS: &[&str] = &[NOT_ACTIONABLE];

/// What a stage came to.
#[derive(Debug)]
enum Progress {
    /// To be published.
    Step(Draft),
    /// To be looked at again.
    Wait { after: Duration, observed: String },
}

fn outcome(
    metrics: &Metrics,
    result: Result<Progress, StageError>,
    diagnosis: Option<SignedMessage>,
    suffix: &str,
) -> Outcome<Acted> {
    match result {
        Ok(Progress::Step(draft)) => {
            let step = draft.get().step();
            metrics.count(draft.get());
            let name = step_name(step);
            let step = match step {
                v1::Step::Proposed => format!("{name}{suffix}"),
                _ => name.to_owned(),
            };
            let decision = draft.get().decision.as_ref();
            let reason = decision.map_or("", |decision| decision.reason.as_str());
            tracing::info!(step, reason, "decided");
            Outcome::Done(vec![Output {
                step,
                message: draft.resting_on(diagnosis),
            }])
        }
        Ok(Progress::Wait { after, observed }) => Outcome::Retry {
            after,
            cause: anyhow::anyhow!("not verified yet: {observed}"),
        },
        Err(error) => match error.class() {
            Class::Transient | Class::Denied => Outcome::Retry {
                after: RETRY,
                cause: error.into(),
            },
            Class::Permanent => Outcome::Reject {
                reason: NOT_ACTIONABLE,
                cause: error.into(),
            },
        },
    }
}

/// The next step of a change, or its end, as it is published.
fn next(message: &Acted, step: v1::Step) -> Acted {
    Acted {
        envelope: None,
        diagnosis: None,
        verification: None,
        step: step.into(),
        ..message.clone()
    }
}

/// The end of a change that was not made, or could not be taken back.
fn ended(message: &Acted, step: v1::Step, violations: Vec<Violation>) -> Acted {
    let mode = message
        .decision
        .as_ref()
        .map_or(0, |decision| decision.mode);
    let reason = reason(&violations);
    let violations = violations.into_iter().map(v1::Violation::from).collect();
    let decision = v1::Decision {
        mode,
        allowed: false,
        violations,
        reason,
    };
    Acted {
        decision: Some(decision),
        ..next(message, step)
    }
}

fn millis(at: std::time::SystemTime) -> u64 {
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
