//! Jobs that have failed.

use bonesetter_proto::v1::{Citation, FailureClass};
use serde_json::Value;

use super::crash::{exit_code, own_words};
use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, Container, Object, cite_text};

/// Every attempt of a Job failed: what the application said last is the cause.
pub(crate) fn backoff_limit_exceeded(case: &Case<'_>) -> Option<Finding> {
    let (job, citation) = failed(case, "BackoffLimitExceeded")?;
    let failing = case.failing();
    let container = failing.iter().find(|container| container.crash().is_some());
    let words = container.and_then(|container| own_words(case, container));
    let limit = job
        .and_then(|job| job.json.pointer("/spec/backoffLimit"))
        .and_then(Value::as_u64);
    let attempts = limit.map_or_else(String::new, |limit| format!(" (backoffLimit {limit})"));
    let code = container
        .and_then(Container::crash)
        .map(|end| end.exit_code);
    let own = match (&words, code) {
        (Some(words), _) => format!("the application says: {}", words.quote()),
        (None, Some(code)) => format!("the container ends with exit code {code} and says nothing"),
        (None, None) => "what the attempts said is no longer there".to_owned(),
    };
    let finding = Finding::new(
        "job-backoff-limit-exceeded",
        Group::Platform,
        format!("{}: every attempt failed; {own}", case.subject()),
    )
    .because(format!("The Job gave up after its last retry{attempts}. Each attempt ended with an error: {own}"))
    .advise("Correct what the cited line names, then create the Job again: a failed Job is not retried, and its template cannot be changed.")
    .fits(0.7)
    .fits_if(0.7, words.is_some())
    .cite(words.map(|words| words.line.cite()))
    .cite(citation)
    .cite(container.and_then(exit_code))
    .cite(job.and_then(|job| job.cite("/spec/backoffLimit")));
    Some(finding)
}

/// A Job ran longer than it was allowed to.
pub(crate) fn deadline_exceeded(case: &Case<'_>) -> Option<Finding> {
    let (job, citation) = failed(case, "DeadlineExceeded")?;
    let pointer = "/spec/activeDeadlineSeconds";
    let seconds = job
        .and_then(|job| job.json.pointer(pointer))
        .and_then(Value::as_u64);
    let allowed = seconds.map_or_else(String::new, |seconds| format!(" of {seconds} s"));
    let containers = case.containers();
    let last = containers
        .iter()
        .find_map(|container| case.last_words(container).pop());
    let progress = last.map_or_else(String::new, |line| {
        format!(" Its last line was: {}", quote(line.text))
    });
    let finding = Finding::new(
        "job-deadline-exceeded",
        Group::Platform,
        format!("{}: it was ended because it ran longer than its deadline{allowed}.", case.subject()),
    )
    .because(format!("The Job was not complete when its activeDeadlineSeconds{allowed} had passed, and was ended.{progress}"))
    .advise("Find out from the log whether it was slow or stuck; raise activeDeadlineSeconds if it was merely slow.")
    .fits(0.9)
    .cite(citation)
    .cite(job.and_then(|job| job.cite(pointer)))
    .cite(last.map(|line| line.cite()));
    Some(finding)
}

/// The Job that failed for a reason, and where that is said.
fn failed<'c>(
    case: &'c Case<'_>,
    reason: &str,
) -> Option<(Option<&'c Object<'c>>, Option<Citation>)> {
    for job in case.of_kind("Job") {
        let conditions = job
            .json
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let place = conditions.into_iter().flatten().position(|condition| {
            (condition["type"] == "Failed" || condition["type"] == "FailureTarget")
                && condition["reason"] == reason
        });
        if let Some(place) = place {
            return Some((
                Some(job),
                job.cite(&format!("/status/conditions/{place}/reason")),
            ));
        }
    }
    if case.class() != FailureClass::JobFailed {
        return None;
    }
    let event = case.event(&[reason], |_| true)?;
    Some((
        case.of_kind("Job").next(),
        Some(cite_text(event.id, &event.item.message)),
    ))
}
