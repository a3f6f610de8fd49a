//! Pods that are never created: the signal is on their controller.

use bonesetter_proto::v1::Citation;
use serde_json::Value;

use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, cite_text};

/// Refusals by their text, from the special to the general: text, cause, what it is, advice.
const REFUSALS: [(&str, &str, &str, &str); 7] = [
    (
        "violates PodSecurity",
        "pod-security-violated",
        "the namespace's Pod Security level forbids it",
        "Change the security context as the message says, or let whoever owns the namespace change its level.",
    ),
    (
        "failed calling webhook",
        "admission-webhook-unavailable",
        "an admission webhook cannot be reached",
        "Repair the service behind the webhook, or its failurePolicy.",
    ),
    (
        "denied the request",
        "admission-denied",
        "an admission policy denies it",
        "Change what the policy objects to; it is named in the message.",
    ),
    (
        "usage per",
        "limit-range-violated",
        "a LimitRange of the namespace forbids it",
        "Bring requests and limits into the range.",
    ),
    (
        "no PriorityClass with name",
        "priority-class-missing",
        "its priority class does not exist",
        "Create the priority class, or correct priorityClassName.",
    ),
    (
        "is invalid",
        "pod-invalid",
        "the pod is not valid",
        "Correct the field that the message names.",
    ),
    (
        "is forbidden",
        "pod-forbidden",
        "it is forbidden",
        "The message says by whom and why.",
    ),
];

/// A quota of the namespace leaves no room for the pod.
pub(crate) fn quota_exceeded(case: &Case<'_>) -> Option<Finding> {
    let (citation, text) = refusal(case, |text| text.contains("exceeded quota"))?;
    let detail = text.split("exceeded quota: ").nth(1).unwrap_or(&text);
    let finding = Finding::new(
        "quota-exceeded",
        Group::Platform,
        format!("{}: its pods cannot be created because the namespace's quota is used up.", case.subject()),
    )
    .because(format!("A ResourceQuota refuses the pods: {}", quote(detail)))
    .advise("Free quota (fewer replicas, smaller requests and limits), or let whoever owns the quota raise it. Raising limits would make it worse.")
    .fits(0.93)
    .cite(citation);
    Some(finding)
}

/// The service account of the pod does not exist.
pub(crate) fn service_account_missing(case: &Case<'_>) -> Option<Finding> {
    let is_it = |text: &str| {
        let lower = text.to_lowercase();
        lower.contains("serviceaccount") && lower.contains("not found")
            || lower.contains("error looking up service account")
    };
    let (citation, text) = refusal(case, is_it)?;
    let workload = case.workload();
    let pointer = "/spec/template/spec/serviceAccountName";
    let name = workload
        .and_then(|workload| workload.text(pointer))
        .unwrap_or("that it names");
    let finding = Finding::new(
        "service-account-missing",
        Group::Platform,
        format!(
            "{}: its pods cannot be created because the service account {name} does not exist.",
            case.subject()
        ),
    )
    .because(format!("The API server refuses the pods: {}", quote(&text)))
    .advise("Create the service account, or correct serviceAccountName.")
    .fits(0.93)
    .cite(citation)
    .cite(workload.and_then(|workload| workload.cite(pointer)));
    let containers = case.template_containers();
    Some(match containers.first() {
        Some(container) => finding.blaming(
            case,
            container,
            &["/spec/serviceAccountName", "/spec/serviceAccount"],
        ),
        None => finding,
    })
}

/// Admission, a limit range or validation refuses the pod.
pub(crate) fn refused(case: &Case<'_>) -> Option<Finding> {
    let other = |text: &str| !text.contains("exceeded quota") && !text.contains("service account");
    let (citation, text) = refusal(case, |text| {
        other(text) && REFUSALS.iter().any(|(known, ..)| text.contains(known))
    })?;
    let (_, cause, says, advice) = REFUSALS.iter().find(|(known, ..)| text.contains(known))?;
    let finding = Finding::new(
        *cause,
        Group::Platform,
        format!(
            "{}: its pods cannot be created because {says}.",
            case.subject()
        ),
    )
    .because(format!(
        "The API server refuses the pods, because {says}: {}",
        quote(&text)
    ))
    .advise(*advice)
    .fits(0.85)
    .cite(citation);
    let containers = case.template_containers();
    // Policies and webhooks change without a rollout; a template that is not valid came with one.
    Some(
        match containers.first().filter(|_| *cause == "pod-invalid") {
            Some(container) => finding.blaming(case, container, &["", "/spec"]),
            None => finding,
        },
    )
}

/// What the API server answered when a controller created a pod.
fn refusal(case: &Case<'_>, is_it: impl Fn(&str) -> bool) -> Option<(Option<Citation>, String)> {
    if let Some(event) = case.event(&["FailedCreate", "FailedCreatePod"], &is_it) {
        let text = event.item.message.clone();
        return Some((Some(cite_text(event.id, &text)), text));
    }
    for object in case.objects() {
        let conditions = object
            .json
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let place = conditions.into_iter().flatten().position(|condition| {
            condition["type"] == "ReplicaFailure"
                && condition["message"].as_str().is_some_and(&is_it)
        });
        if let Some(place) = place {
            let pointer = format!("/status/conditions/{place}/message");
            let text = object.text(&pointer).unwrap_or_default().to_owned();
            return Some((object.cite(&pointer), text));
        }
    }
    None
}
