//! The offline diagnosis: a knowledge base of failure modes that compete for the evidence.
//!
//! A rule looks for one cause and answers with a [`Finding`], or not at all. What speaks for it and
//! what speaks against it is weighed in [`Fit`]; the best fit wins, a close second is named beside it, and
//! when nothing fits the answer says so and names what would tell. Rules read state (specifications,
//! statuses, rollout changes, node capacities) before texts, because texts change between versions of
//! Kubernetes. Adding one: a function, its entry in one of the two tables below, and a row in its table
//! of tests. An installation adds its own as data, see [`crate::local`].

use std::sync::Arc;

use bonesetter_proto::v1::Diagnosis;

use crate::case::{Case, Container};
use crate::diagnoser::{DiagnoseError, Diagnoser};
use crate::local::LocalRules;

mod causes;
mod configuration;
mod crash;
mod creation;
#[cfg(test)]
mod demo;
mod eviction;
mod exit;
mod finding;
#[cfg(test)]
mod general;
mod image;
mod job;
mod listening;
mod local;
mod memory;
mod node;
mod patterns;
mod probe;
mod reading;
#[cfg(test)]
mod redacted;
mod reference;
mod scheduling;
mod unknown;
mod verdict;
mod words;

pub use causes::CAUSES;
use finding::Finding;

/// The name under which the rules sign their diagnoses.
pub const RULES: &str = "rules";

/// At most so many failing containers are looked at; replicas fail alike.
const MAX_CONTAINERS: usize = 8;

/// Rules about one failing container.
const CONTAINER_RULES: [fn(&Case<'_>, &Container<'_>) -> Option<Finding>; 15] = [
    memory::memory_limit_too_low,
    memory::heap_too_small,
    image::image_pull,
    reference::run_as_root_refused,
    probe::liveness,
    probe::startup,
    probe::readiness,
    configuration::missing_env_variable,
    configuration::bad_config_value,
    crash::post_start_hook,
    crash::start_error,
    crash::said_in_the_log,
    crash::application_error,
    exit::by_signal,
    exit::ends_by_itself,
];

/// Rules about the whole incident.
const CASE_RULES: [fn(&Case<'_>) -> Option<Finding>; 11] = [
    memory::sandbox_out_of_memory,
    reference::missing_reference,
    reference::volume_not_mounted,
    scheduling::unschedulable,
    job::backoff_limit_exceeded,
    job::deadline_exceeded,
    creation::quota_exceeded,
    creation::service_account_missing,
    creation::refused,
    eviction::evicted,
    node::not_ready,
];

/// The offline diagnoser: always answers, asks nobody.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    local: Arc<LocalRules>,
}

impl Rules {
    /// Our rules, and those of an installation.
    pub fn with(local: LocalRules) -> Self {
        Self {
            local: Arc::new(local),
        }
    }

    /// Diagnoses by rules alone. The same case has the same answer.
    pub(crate) fn explain(&self, case: &Case<'_>) -> Diagnosis {
        verdict::judge(case, findings(&self.local, case))
    }
}

impl Diagnoser for Rules {
    async fn diagnose(&self, case: &Case<'_>) -> Result<Diagnosis, DiagnoseError> {
        Ok(self.explain(case))
    }
}

/// Diagnoses by our rules alone.
pub(crate) fn diagnose(case: &Case<'_>) -> Diagnosis {
    Rules::default().explain(case)
}

/// What every rule found, one finding a cause: the rules of the installation first, which know better,
/// then ours in the order of the tables.
fn findings(local: &LocalRules, case: &Case<'_>) -> Vec<Finding> {
    let mut failing = case.failing();
    failing.truncate(MAX_CONTAINERS);
    let mut found = local::findings(local, case, &failing);
    let of_case = CASE_RULES.iter().filter_map(|rule| rule(case));
    let of_containers = failing.iter().flat_map(|container| {
        CONTAINER_RULES
            .iter()
            .filter_map(move |rule| rule(case, container))
    });
    for finding in of_case.chain(of_containers) {
        if !found.iter().any(|known| known.cause == finding.cause)
            && let Some(finding) = local::overridden(local, finding)
        {
            found.push(finding);
        }
    }
    found
}
