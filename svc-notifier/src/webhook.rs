#![doc = include_str!("webhook.md")]

use bonesetter_proto::v1::{Acted, Change, Decision, Diagnosed, Overdue, Step, Verification};
use serde::Serialize;

use crate::evidence::{CitedLine, cited_lines};
use crate::notice::{Notice, Resolution, rfc3339, time};
use crate::text;
use crate::words;

const MAX_TEXT: usize = 4_000;

/// The body of a delivery.
#[derive(Debug, Serialize)]
pub(crate) struct Body {
    version: u32,
    id: String,
    kind: &'static str,
    first: bool,
    subject: String,
    incident: IncidentBody,
    failure_class: &'static str,
    diagnosis: Option<DiagnosisBody>,
    decision: Option<DecisionBody>,
    change: Option<ChangeBody>,
    verification: Option<VerificationBody>,
    resolution: Option<ResolutionBody>,
    overdue: Option<OverdueBody>,
}

#[derive(Debug, Serialize)]
struct IncidentBody {
    id: String,
    cluster: String,
    namespace: Option<String>,
    kind: String,
    name: String,
    api_version: String,
    uid: String,
    episode: u32,
    opened_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct DiagnosisBody {
    summary: String,
    root_cause: String,
    recommendation: String,
    confidence: f64,
    cause: String,
    diagnoser: String,
    model: String,
    degraded: bool,
    evidence: Vec<CitedLine>,
}

#[derive(Debug, Serialize)]
struct DecisionBody {
    step: &'static str,
    mode: &'static str,
    allowed: bool,
    reason: String,
    violations: Vec<ViolationBody>,
}

#[derive(Debug, Serialize)]
struct ViolationBody {
    name: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct ChangeBody {
    remedy: Option<String>,
    fields: Vec<String>,
    suggested_command: String,
    effect_key: String,
}

#[derive(Debug, Serialize)]
struct VerificationBody {
    observed: String,
    healthy_since: Option<String>,
    deadline: Option<String>,
}

#[derive(Debug, Serialize)]
struct ResolutionBody {
    reason: String,
    at: Option<String>,
}

#[derive(Debug, Serialize)]
struct OverdueBody {
    awaited: &'static str,
    waiting_since: Option<String>,
    limit_seconds: u64,
}

/// Renders a notice.
pub(crate) fn render(notice: &Notice, full: bool, ended: Option<&Resolution>) -> Body {
    let acted = notice.acted.as_ref();
    Body {
        version: 1,
        id: notice.idempotency_key(),
        kind: words::kind(notice.kind),
        first: full,
        subject: notice.subject.to_string(),
        incident: incident(notice),
        failure_class: words::failure_class(notice.failure_class),
        diagnosis: notice.diagnosed.as_ref().and_then(diagnosis),
        decision: acted.and_then(|acted| Some(decision(acted, acted.decision.as_ref()?))),
        change: acted.and_then(|acted| acted.change.as_ref()).map(change),
        verification: acted
            .and_then(|acted| acted.verification.as_ref())
            .map(verification),
        resolution: notice.resolution.as_ref().or(ended).map(resolution),
        overdue: notice.overdue.as_ref().map(overdue),
    }
}

fn incident(notice: &Notice) -> IncidentBody {
    let workload = notice.workload();
    IncidentBody {
        id: notice.incident.id.clone(),
        cluster: text::line(&notice.incident.cluster, MAX_TEXT),
        namespace: notice.subject.namespace.as_ref().map(ToString::to_string),
        kind: text::line(&workload.kind, MAX_TEXT),
        name: text::line(&workload.name, MAX_TEXT),
        api_version: text::line(&workload.api_version, MAX_TEXT),
        uid: text::line(&workload.uid, MAX_TEXT),
        episode: notice.incident.episode,
        opened_at: time(notice.incident.opened_at.as_ref()),
    }
}

fn diagnosis(diagnosed: &Diagnosed) -> Option<DiagnosisBody> {
    let diagnosis = diagnosed.diagnosis.as_ref()?;
    Some(DiagnosisBody {
        summary: text::line(&diagnosis.summary, MAX_TEXT),
        root_cause: text::line(&diagnosis.root_cause, MAX_TEXT),
        recommendation: text::line(&diagnosis.recommendation, MAX_TEXT),
        confidence: diagnosis.confidence,
        cause: text::line(&diagnosis.cause, MAX_TEXT),
        diagnoser: text::line(&diagnosis.diagnoser, MAX_TEXT),
        model: text::line(&diagnosis.model, MAX_TEXT),
        degraded: !diagnosis.degraded_reason.is_empty(),
        evidence: cited_lines(diagnosed),
    })
}

fn decision(acted: &Acted, decision: &Decision) -> DecisionBody {
    DecisionBody {
        step: step(acted.step()),
        mode: words::mode(decision.mode()),
        allowed: decision.allowed,
        reason: text::line(&decision.reason, MAX_TEXT),
        violations: decision
            .violations
            .iter()
            .map(|violation| ViolationBody {
                name: text::line(&violation.name, MAX_TEXT),
                detail: text::line(&violation.detail, MAX_TEXT),
            })
            .collect(),
    }
}

const fn step(step: Step) -> &'static str {
    match step {
        Step::Unspecified => "unspecified",
        Step::Proposed => "proposed",
        Step::Intended => "intended",
        Step::Applied => "applied",
        Step::Refused => "refused",
        Step::Verified => "verified",
        Step::RolledBack => "rolled-back",
        Step::Stuck => "stuck",
    }
}

fn change(change: &Change) -> ChangeBody {
    ChangeBody {
        remedy: change.remedy.as_ref().and_then(words::remedy),
        fields: change
            .fields
            .iter()
            .map(|field| text::line(field, MAX_TEXT))
            .collect(),
        suggested_command: text::block(&change.suggested_command, MAX_TEXT),
        effect_key: change.effect_key.clone(),
    }
}

fn verification(verification: &Verification) -> VerificationBody {
    VerificationBody {
        observed: text::line(&verification.observed, MAX_TEXT),
        healthy_since: time(verification.healthy_since.as_ref()),
        deadline: time(verification.deadline.as_ref()),
    }
}

fn resolution(resolution: &Resolution) -> ResolutionBody {
    ResolutionBody {
        reason: resolution.reason.clone(),
        at: Some(resolution.at).filter(|at| *at > 0).and_then(rfc3339),
    }
}

fn overdue(overdue: &Overdue) -> OverdueBody {
    OverdueBody {
        awaited: words::awaited(overdue.awaited()),
        waiting_since: time(overdue.waiting_since.as_ref()),
        limit_seconds: overdue.limit_seconds,
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{Awaited, ResolvedReason};

    use super::*;
    use crate::samples;

    #[test]
    fn bodies() {
        for (name, step, full) in [
            ("suggestion", Step::Proposed, true),
            ("applied", Step::Applied, false),
            ("verified", Step::Verified, false),
            ("rolled-back", Step::RolledBack, false),
        ] {
            let name_of_step = if step == Step::Proposed {
                "proposed"
            } else {
                name
            };
            let notice = samples::notice(step, name_of_step);
            insta::assert_json_snapshot!(name, render(&notice, full, None));
        }
        let notice = samples::end(ResolvedReason::Recovered);
        insta::assert_json_snapshot!("resolved", render(&notice, false, None));
        let notice = samples::overdue(Awaited::Diagnosis, "diagnosis-open");
        insta::assert_json_snapshot!("overdue", render(&notice, false, None));
    }
}
