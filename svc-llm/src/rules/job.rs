//! Jobs that have failed.

use bonesetter_proto::v1::{Citation, FailureClass};
use serde_json::Value;

use super::crash::{exit_code, own_words};
use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, Container, Object, Termination, cite_text};

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
    let failing = case.failing();
    let crashed = failing
        .iter()
        .filter(|container| {
            container
                .crash()
                .is_some_and(|end| !is_ended_by_signal(&end))
        })
        .find_map(|container| own_words(case, container));
    let last = match &crashed {
        Some(words) => Some(words.line),
        None => containers
            .iter()
            .find_map(|container| case.last_words(container).pop()),
    };
    let progress = last.map_or_else(String::new, |line| match crashed {
        Some(_) => format!(" Its attempts had failed before: {}", quote(line.text)),
        None => format!(" Its last line was: {}", quote(line.text)),
    });
    let advice = if crashed.is_some() {
        "Correct what the cited line names; the Job was tried again until its deadline."
    } else {
        "Find out from the log whether it was slow or stuck; raise activeDeadlineSeconds if it was merely slow."
    };
    let finding = Finding::new(
        "job-deadline-exceeded",
        Group::Platform,
        format!("{}: it was ended because it ran longer than its deadline{allowed}.", case.subject()),
    )
    .because(format!("The Job was not complete when its activeDeadlineSeconds{allowed} had passed, and was ended.{progress}"))
    .advise(advice)
    .fits(0.9)
    .cite(citation)
    .cite(job.and_then(|job| job.cite(pointer)))
    .cite(last.map(|line| line.cite()));
    Some(finding)
}

/// As what runs at the deadline is ended.
fn is_ended_by_signal(end: &Termination<'_>) -> bool {
    end.signal.is_some() || matches!(end.exit_code, 137 | 143)
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
