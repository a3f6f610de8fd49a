//! Which of the competing findings is the diagnosis.

use bonesetter_proto::v1::Diagnosis;

use super::finding::{Finding, Group};
use super::words::{follow, sentence};
use super::{RULES, unknown};
use crate::case::Case;

/// Below this a cause is not worth naming as the cause.
const WORTH_SAYING: f64 = 0.35;
/// Causes whose confidences are closer than this compete.
const CLOSE: f64 = 0.1;
/// What it costs the winner that another cause fits nearly as well.
const CONTESTED: f64 = 0.85;
/// At most so many citations: people read them.
const MAX_CITATIONS: usize = 8;

/// The best finding as a diagnosis, with what it leaves open; or what would tell, if there is none.
pub(crate) fn judge(case: &Case<'_>, mut findings: Vec<Finding>) -> Diagnosis {
    findings.sort_by(|left, right| right.confidence().total_cmp(&left.confidence()));
    let mut findings = findings.into_iter();
    let Some(best) = findings
        .next()
        .filter(|best| best.confidence() >= WORTH_SAYING)
    else {
        return unknown::diagnose(case);
    };
    let rest: Vec<Finding> = findings
        .filter(|other| other.group != Group::Symptom)
        .collect();
    let is_rival = |other: &&Finding| {
        other.group == best.group && best.confidence() - other.confidence() < CLOSE
    };
    let rival = rest.iter().find(is_rival);
    let explained = rest
        .iter()
        .find(|other| !is_rival(other) && other.confidence() >= WORTH_SAYING);
    let mut root_cause = best.root_cause.clone();
    let mut confidence = best.confidence();
    if let Some(rival) = rival {
        confidence *= CONTESTED;
        root_cause = follow(
            &root_cause,
            &format!("It could also be this: {}", rival.summary),
        );
    } else if let Some(explained) = explained {
        root_cause = follow(
            &root_cause,
            &format!("Seen beside it: {}", explained.summary),
        );
    }
    let mut citations = best.citations;
    citations.truncate(MAX_CITATIONS);
    Diagnosis {
        summary: sentence(&best.summary),
        root_cause: sentence(&root_cause),
        recommendation: best.recommendation,
        confidence,
        citations,
        remedy: best.remedy,
        diagnoser: RULES.to_owned(),
        model: best.cause.to_string(),
        cause: best.cause.into_owned(),
        ..Diagnosis::default()
    }
}
