//! What the rules of an installation find in a case.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, Container, head};
use crate::local::{LocalRules, Override, OverrideRemedy, Rule, RuleRemedy};
use crate::remedy::blame;

/// A longer line is cut before a pattern of somebody else is tried on it.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// The findings of every rule, one a rule, in the order of the files.
pub(crate) fn findings(
    local: &LocalRules,
    case: &Case<'_>,
    failing: &[Container<'_>],
) -> Vec<Finding> {
    let of = |rule: &Rule| {
        if rule.when.is_about_containers() {
            failing
                .iter()
                .find_map(|container| find(rule, case, Some(container)))
        } else {
            find(rule, case, None)
        }
    };
    local.rules.iter().filter_map(of).collect()
}

/// What the installation wants changed in a finding; `None` when it does not want it at all.
pub(crate) fn overridden(local: &LocalRules, mut finding: Finding) -> Option<Finding> {
    let is_meant = |change: &&Override| change.cause == finding.cause;
    let changes: Vec<&Override> = local.overrides.iter().filter(is_meant).collect();
    for change in changes {
        if change.disabled {
            return None;
        }
        if let Some(recommendation) = &change.recommendation {
            finding.recommendation.clone_from(recommendation);
        }
        if change.remedy == OverrideRemedy::Withhold {
            finding.remedy = None;
        }
        if let Some(most) = change.max_confidence {
            finding = finding.at_most(most);
        }
    }
    Some(finding)
}

fn find(rule: &Rule, case: &Case<'_>, container: Option<&Container<'_>>) -> Option<Finding> {
    let when = &rule.when;
    let fits_case = (when.classes.is_empty() || when.classes.contains(&case.class()))
        && (when.kinds.is_empty() || when.kinds.iter().any(|kind| is_kind(case, kind)));
    if !fits_case {
        return None;
    }
    let mut places = BTreeMap::from([("workload".to_owned(), case.subject())]);
    let mut citations = Vec::new();
    let mut group = Group::Platform;
    if let Some(container) = container {
        citations.extend(of_container(rule, container, &mut places)?);
        if let Some(log) = &when.log {
            let words = case.all_words(container);
            let (line, found) = words.iter().rev().find_map(|line| {
                let text = head(line.text, MAX_LINE_BYTES);
                Some((line, log.captures(text)?))
            })?;
            named(log, &found, &mut places);
            places.insert("line".to_owned(), quote(line.text));
            citations.push(line.cite());
            group = Group::Application;
        }
    }
    if let Some(event) = &when.event {
        let message = event.message.as_ref();
        let events = case.events();
        let seen = events.iter().rev().find(|seen| {
            (event.reasons.is_empty() || event.reasons.contains(&seen.item.reason))
                && message.is_none_or(|pattern| pattern.is_match(&seen.item.message))
        })?;
        if let Some(pattern) = message
            && let Some(found) = pattern.captures(&seen.item.message)
        {
            named(pattern, &found, &mut places);
        }
        places.insert("message".to_owned(), quote(&seen.item.message));
        citations.push(crate::case::cite_text(seen.id, &seen.item.message));
    }
    let mut finding = Finding::new(rule.cause.clone(), group, rule.summary.fill(&places))
        .because(
            rule.root_cause
                .as_ref()
                .unwrap_or(&rule.summary)
                .fill(&places),
        )
        .advise(rule.recommendation.fill(&places))
        .fits(rule.confidence);
    for citation in citations {
        finding = finding.cite(citation);
    }
    match container {
        Some(container) if !when.changed.is_empty() => blaming(rule, case, container, finding),
        _ => Some(finding),
    }
}

/// The last rollout must have touched one of the fields.
fn blaming(
    rule: &Rule,
    case: &Case<'_>,
    container: &Container<'_>,
    finding: Finding,
) -> Option<Finding> {
    let fields: Vec<&str> = rule.when.changed.iter().map(String::as_str).collect();
    let found = blame(case, container, &fields)?;
    Some(match rule.remedy {
        RuleRemedy::RollBack => finding.blamed_on(case, container, &found),
        RuleRemedy::None => finding.cite(found.cite()),
    })
}

/// What is asked of the container itself, as citations; `None` when it is not so.
fn of_container(
    rule: &Rule,
    container: &Container<'_>,
    places: &mut BTreeMap<String, String>,
) -> Option<Vec<bonesetter_proto::v1::Citation>> {
    let when = &rule.when;
    let mut citations = Vec::new();
    let image = container.text("/image").unwrap_or_default();
    for (pattern, text, field) in [
        (&when.container, container.name, "/name"),
        (&when.image, image, "/image"),
    ] {
        let Some(pattern) = pattern else { continue };
        if !pattern.is_match(text) {
            return None;
        }
        citations.extend(container.cite(field));
    }
    let end = container.termination();
    if !when.exit_codes.is_empty() {
        let end = end
            .as_ref()
            .filter(|end| when.exit_codes.contains(&end.exit_code))?;
        citations.extend(container.object.cite(&format!("{}/exitCode", end.pointer)));
    }
    if !when.reasons.is_empty() {
        let is_asked = |reason: &str| when.reasons.iter().any(|asked| asked == reason);
        match end.as_ref().filter(|end| is_asked(end.reason)) {
            Some(end) => {
                citations.extend(container.object.cite(&format!("{}/reason", end.pointer)));
            }
            None if container
                .waiting()
                .is_some_and(|(reason, _)| is_asked(reason)) =>
            {
                citations.extend(container.cite_status("/state/waiting/reason"));
            }
            None => return None,
        }
    }
    places.insert("container".to_owned(), container.name.to_owned());
    places.insert("image".to_owned(), image.to_owned());
    Some(citations)
}

fn is_kind(case: &Case<'_>, kind: &str) -> bool {
    case.workload()
        .is_some_and(|workload| workload.reference.kind == kind)
}

fn named(pattern: &Regex, found: &Captures<'_>, places: &mut BTreeMap<String, String>) {
    for name in pattern.capture_names().flatten() {
        if let Some(text) = found.name(name) {
            places.insert(name.to_owned(), quote(text.as_str()));
        }
    }
}
