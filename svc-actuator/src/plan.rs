//! One remedy against one live object: rendered, and put through every gate.
//!
//! Deciding and applying make the same plan. The second time nothing of the first is trusted, because
//! between the two the object, its owners, the policy or the API server may have changed.

use bonesetter_chassis::target::template_digest;
use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{self, Target};
use serde_json::Value;

use crate::change::{describe, effect_key};
use crate::command;
use crate::edit::Edits;
use crate::gates::{self, Claim};
use crate::kubernetes::{ApiError, Cluster};
use crate::ownership;
use crate::policy::Policy;
use crate::render::{Rendered, mark, render};
use crate::violation::{Name, Violation, reason};

/// How often a plan is made anew when the object changes while it is made.
const ATTEMPTS: u32 = 5;

/// Makes plans.
#[derive(Debug)]
pub struct Planner {
    /// Where the objects are.
    pub cluster: Cluster,
    /// What may be done.
    pub policy: Policy,
    /// Keys the digests in messages; shared with svc-enricher.
    pub digest_key: DigestKey,
}

/// What would be done, and what stands against it.
#[derive(Debug)]
pub struct Plan {
    /// Every violation, in the order of the gates.
    pub violations: Vec<Violation>,
    /// What is published; `None` without a remedy.
    pub change: Option<v1::Change>,
    /// What would be written; `None` where it could not be rendered.
    pub write: Option<Write>,
}

/// A write to the object as it was read.
#[derive(Debug)]
pub struct Write {
    /// The object as it was read.
    pub live: Value,
    /// What changes in it, the mark included.
    pub edits: Edits,
}

impl Plan {
    /// The decision as it is published.
    pub fn decision(&self, policy: &Policy) -> v1::Decision {
        let allowed = self.violations.is_empty() && self.write.is_some();
        let reason = if self.violations.is_empty() {
            "every gate allows it".to_owned()
        } else {
            reason(&self.violations)
        };
        v1::Decision {
            mode: v1::Mode::from(policy.mode).into(),
            allowed,
            violations: self
                .violations
                .iter()
                .cloned()
                .map(v1::Violation::from)
                .collect(),
            reason,
        }
    }
}

impl Planner {
    /// Makes a plan for the claim of one incident.
    pub async fn plan(&self, incident: &str, claim: &Claim<'_>) -> Result<Plan, ApiError> {
        let mut violations = gates::check_policy(&self.policy, claim);
        let Some((fix, target)) = claim.fix() else {
            return Ok(Plan {
                violations,
                change: None,
                write: None,
            });
        };
        let key = claim
            .remedy
            .map(|remedy| effect_key(incident, remedy))
            .unwrap_or_default();
        violations.extend(gates::check_limits(&self.policy.memory, fix));
        let is_readable = !violations.iter().any(|violation| {
            matches!(
                violation.name,
                Name::KindNotApplicable | Name::TargetMismatch
            )
        });
        let mut rendered = None;
        if is_readable {
            let (found, write) = self
                .against_live(fix, target, &key, violations.is_empty())
                .await?;
            violations.extend(found);
            rendered = write;
        }
        let fix_edits = rendered.as_ref().map(|(edits, _)| edits);
        let change = claim.remedy.map(|remedy| {
            let mut change = describe(&self.digest_key, key, remedy, target, fix_edits);
            if violations
                .iter()
                .all(|violation| violation.name.leaves_a_suggestion())
            {
                change.suggested_command = command::suggest(remedy, target).unwrap_or_default();
            }
            change
        });
        Ok(Plan {
            violations,
            change,
            write: rendered.map(|(_, write)| write),
        })
    }

    /// Reads, renders, checks and, when nothing objects, tries. What changes meanwhile is read again.
    async fn against_live(
        &self,
        fix: &Fix,
        target: &Target,
        key: &str,
        may_try: bool,
    ) -> Result<(Vec<Violation>, Option<(Edits, Write)>), ApiError> {
        let mut attempt = 1;
        loop {
            match self.attempt(fix, target, key, may_try).await {
                Err(ApiError::Contended { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(ApiError::Denied { doing, refusal }) => {
                    let error = ApiError::Denied { doing, refusal }.to_string();
                    return Ok((vec![Violation::new(Name::TargetUnreadable, error)], None));
                }
                result => return result,
            }
        }
    }

    async fn attempt(
        &self,
        fix: &Fix,
        target: &Target,
        key: &str,
        may_try: bool,
    ) -> Result<(Vec<Violation>, Option<(Edits, Write)>), ApiError> {
        let object = target.object.clone().unwrap_or_default();
        let Some(live) = self
            .cluster
            .deployment(&object.namespace, &object.name)
            .await?
        else {
            let violation = Violation::new(Name::TargetMissing, "the object is gone");
            return Ok((vec![violation], None));
        };
        let sets = match fix {
            Fix::RollBack(_) => self.cluster.replica_sets(&live).await?,
            Fix::SetMemory(_) => Vec::new(),
        };
        let digest = template_digest(&self.digest_key, &live["spec"]["template"]);
        let mut violations = gates::check_target(target, &live, &digest);
        violations.extend(gates::check_bounds(&self.policy.memory, fix, &live));
        violations.extend(ownership::check_object(&live));
        let rendered = match render(fix, &live, &sets) {
            Ok(rendered) => rendered,
            Err(violation) => {
                violations.push(violation);
                return Ok((violations, None));
            }
        };
        violations.extend(gates::check_placeholders(&rendered.edits));
        let owners = &self.policy.owners;
        violations.extend(ownership::check_managed_fields(
            owners,
            &live,
            &rendered.edits,
        ));
        let edits = rendered.edits.clone().and(mark(&live, key));
        if may_try && violations.is_empty() {
            violations.extend(self.try_out(&live, &rendered, &edits).await?);
        }
        Ok((violations, Some((rendered.edits, Write { live, edits }))))
    }

    /// The ownership probe, then the dry run of the very write.
    async fn try_out(
        &self,
        live: &Value,
        rendered: &Rendered,
        edits: &Edits,
    ) -> Result<Vec<Violation>, ApiError> {
        let result = async {
            let conflicts = self
                .cluster
                .conflicts(live, &rendered.apply_configuration)
                .await?;
            let owners = ownership::check_conflicts(&self.policy.owners, &conflicts);
            if !owners.is_empty() {
                return Ok(owners);
            }
            let result = self.cluster.write(live, edits, true).await?;
            Ok(gates::check_dry_run(live, &result, edits))
        };
        match result.await {
            Err(error @ (ApiError::Refused { .. } | ApiError::Denied { .. })) => {
                Ok(vec![Violation::new(Name::ApiRefused, error.to_string())])
            }
            other => other,
        }
    }
}
