//! The answer when no rule fits: what is known, and what would tell.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Citation, Diagnosis};

use super::RULES;
use super::crash::exit_code;
use super::reading::last_error;
use super::words::{follow, quote_within, sentence};
use crate::case::{Case, Container, cite_text};

/// The name of no cause.
pub(crate) const UNKNOWN: &str = "unknown";

/// "I do not know": better than a wrong cause.
pub(crate) fn diagnose(case: &Case<'_>) -> Diagnosis {
    let failing = case.failing();
    let worst = failing.first();
    let (known, citations) = known(case, worst);
    let subject = case.subject();
    let class = case
        .class()
        .as_str_name()
        .trim_start_matches("FAILURE_CLASS_")
        .to_lowercase();
    let class = class.replace('_', " ");
    Diagnosis {
        summary: format!("{subject} fails ({class}), and no rule explains why."),
        root_cause: format!("Not known. {known}"),
        recommendation: format!("What would tell: {}.", would_tell(case, worst).join("; ")),
        confidence: 0.1,
        citations,
        diagnoser: RULES.to_owned(),
        model: UNKNOWN.to_owned(),
        cause: UNKNOWN.to_owned(),
        ..Diagnosis::default()
    }
}

fn known(case: &Case<'_>, worst: Option<&Container<'_>>) -> (String, Vec<Citation>) {
    let mut sentences = Vec::new();
    let mut citations = Vec::new();
    if let Some(container) = worst {
        if let Some((reason, message)) = container.waiting() {
            let message = match quote_within(message, 200) {
                message if message.is_empty() => message,
                message => format!(": {message}"),
            };
            sentences.push(format!(
                "Container {} waits with {reason}{message}",
                container.name
            ));
            citations.extend(container.cite_status("/state/waiting/reason"));
        }
        if let Some(end) = container.termination() {
            sentences.push(format!(
                "Container {} ended with exit code {} ({}).",
                container.name, end.exit_code, end.reason
            ));
            citations.extend(exit_code(container));
        }
        if let Some((line, _)) = last_error(&case.last_words(container)) {
            sentences.push(format!("It wrote last: {}", quote_within(line.text, 200)));
            citations.push(line.cite());
        }
    }
    if sentences.is_empty()
        && let Some(event) = case
            .events()
            .into_iter()
            .rev()
            .find(|event| event.item.r#type == "Warning")
    {
        let text = quote_within(&event.item.message, 200);
        sentences.push(format!(
            "The newest warning is {}: {text}",
            event.item.reason
        ));
        citations.push(cite_text(event.id, &event.item.message));
    }
    if sentences.is_empty() {
        sentences.push("The evidence shows no failing container and no warning.".to_owned());
    }
    let said = sentences
        .iter()
        .fold(String::new(), |said, next| follow(&said, next));
    (sentence(&said), citations)
}

fn would_tell(case: &Case<'_>, worst: Option<&Container<'_>>) -> Vec<String> {
    let mut wanted = Vec::new();
    if case.of_kind("Pod").next().is_none() {
        wanted.push("the pods of the workload, which are not part of the evidence".to_owned());
    }
    if let Some(container) = worst {
        let pod = &container.object.reference.name;
        let name = container.name;
        if case.last_words(container).is_empty() {
            wanted.push(format!("the log of the ended instance (kubectl logs {pod} -c {name} --previous), which is empty or gone"));
        } else {
            wanted.push(format!(
                "more of the log of container {name}, at a more talkative log level"
            ));
        }
    }
    if case.events().is_empty() {
        wanted.push("the events of the pod, which the cluster keeps for an hour".to_owned());
    }
    let notes = case
        .evidence()
        .items
        .iter()
        .filter_map(|item| match &item.content {
            Some(Content::Note(note)) => Some(format!(
                "{} ({})",
                note.source,
                quote_within(&note.text, 120)
            )),
            _ => None,
        });
    wanted.extend(
        notes
            .map(|note| format!("what could not be collected: {note}"))
            .take(2),
    );
    if wanted.is_empty() {
        wanted.push("kubectl describe of the workload and its pods".to_owned());
    }
    wanted
}
