//! Slack, by incoming webhook: Block Kit messages.
//!
//! Limits and escapes are those of "Reference: blocks", "Text object" and "Formatting text for app
//! surfaces" of Slack's documentation. `verbatim` and `parse: none` keep Slack from turning text
//! into links and mentions by itself. An incoming webhook takes no idempotency key and returns no id:
//! what follows is a new post, and a crash between a post and its record shows it twice.

use bonesetter_proto::v1::{Acted, Diagnosed, NoticeKind, Overdue, Step};
use serde::Serialize;

use crate::evidence::cited_lines;
use crate::notice::{Notice, Resolution, rfc3339, time};
use crate::text;
use crate::words;

/// A header block takes 150 characters, a section 3,000; both count the escaped text.
const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 2_900;
const MAX_CONTEXT: usize = 1_900;
/// Shown of a decision; more than a few say nothing new.
const MAX_VIOLATIONS: usize = 6;
/// Of the line that a notification shows.
const MAX_FALLBACK: usize = 400;

/// The body of a post.
#[derive(Debug, Serialize)]
pub(crate) struct Post {
    text: String,
    blocks: Vec<Block>,
    parse: &'static str,
    link_names: bool,
    unfurl_links: bool,
    unfurl_media: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Header { text: Text },
    Section { text: Text },
    Context { elements: [Text; 1] },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Text {
    PlainText { text: String, emoji: bool },
    Mrkdwn { text: String, verbatim: bool },
}

/// Renders a notice: all of the incident when `full`, else what happened next.
pub(crate) fn render(notice: &Notice, full: bool, ended: Option<&Resolution>) -> Post {
    let title = title(notice);
    let mut blocks = vec![Block::Header {
        text: Text::PlainText {
            text: text::line(&title, MAX_HEADER),
            emoji: false,
        },
    }];
    let mut sections = Vec::new();
    if let Some(diagnosed) = notice.diagnosed.as_ref().filter(|_| full) {
        sections.extend(diagnosis(diagnosed));
    }
    match notice.acted.as_ref() {
        Some(acted) if full => sections.extend(decision(acted)),
        Some(acted) => sections.extend(what_happened(acted)),
        None => {}
    }
    sections.extend(notice.overdue.as_ref().map(overdue));
    let end = notice.resolution.as_ref().or(ended);
    sections.extend(end.map(|end| resolution(end, notice.kind == NoticeKind::Resolved)));
    blocks.extend(
        sections
            .into_iter()
            .map(|text| Block::Section { text: mrkdwn(text) }),
    );
    blocks.push(Block::Context {
        elements: [mrkdwn(footer(notice))],
    });
    Post {
        text: fallback(notice, &title, full),
        blocks,
        parse: "none",
        link_names: false,
        unfurl_links: false,
        unfurl_media: false,
    }
}

fn mrkdwn(text: String) -> Text {
    Text::Mrkdwn {
        text,
        verbatim: true,
    }
}

/// What a phone shows: which workload, and why.
fn fallback(notice: &Notice, title: &str, full: bool) -> String {
    let title = text::line(title, MAX_HEADER);
    let diagnosis = notice.diagnosed.as_ref().filter(|_| full);
    let summary = diagnosis.and_then(|diagnosed| diagnosed.diagnosis.as_ref());
    let summary = summary.map(|diagnosis| text::line(&diagnosis.summary, MAX_FALLBACK));
    let line = match summary.filter(|summary| !summary.is_empty()) {
        Some(summary) => format!("{title}. {summary}"),
        None => title,
    };
    text::mrkdwn(&line, MAX_SECTION)
}

fn title(notice: &Notice) -> String {
    let workload = notice.workload();
    let step = notice.acted.as_ref().map(Acted::step);
    let what = match notice.kind {
        NoticeKind::Applied => "Applied",
        NoticeKind::Verified => "Verified healthy",
        NoticeKind::RolledBack => "Taken back",
        NoticeKind::Resolved => "Resolved",
        NoticeKind::Attention if step == Some(Step::Stuck) => "Needs a person",
        NoticeKind::Attention => "Not applied",
        NoticeKind::Incident | NoticeKind::Overdue | NoticeKind::Unspecified => {
            words::failure_class(notice.failure_class)
        }
    };
    let overdue = notice.overdue.as_ref();
    let overdue = overdue.map(|it| format!(", {}", words::overdue(it.awaited())));
    let overdue = overdue.unwrap_or_default();
    let place = match (workload.namespace.as_str(), workload.name.as_str()) {
        ("", name) => name.to_owned(),
        (namespace, "") => format!("in {namespace}"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    format!("{what}{overdue}: {} {place}", workload.kind)
}

fn diagnosis(diagnosed: &Diagnosed) -> Vec<String> {
    let Some(diagnosis) = diagnosed.diagnosis.as_ref() else {
        return Vec::new();
    };
    let mut sections = vec![
        labelled("Summary", &diagnosis.summary),
        labelled(&root_cause_label(diagnosed), &diagnosis.root_cause),
    ];
    let lines = cited_lines(diagnosed);
    if !lines.is_empty() {
        let share = (MAX_SECTION - "*Evidence*".len()) / lines.len() - 1;
        let mut section = "*Evidence*".to_owned();
        for line in &lines {
            let id = text::code(&line.evidence_id, share / 3);
            let quoted = text::code_block(&line.text, share - text::units(&id) - 1);
            section = format!("{section}\n{id}\n{quoted}");
        }
        sections.push(section);
    }
    sections.push(labelled("Recommendation", &diagnosis.recommendation));
    sections
}

/// How sure, and who says so.
fn root_cause_label(diagnosed: &Diagnosed) -> String {
    let Some(diagnosis) = diagnosed.diagnosis.as_ref() else {
        return "Root cause".to_owned();
    };
    let confidence = if diagnosis.confidence.is_nan() {
        0.0
    } else {
        diagnosis.confidence
    };
    let percent = (confidence.clamp(0.0, 1.0) * 100.0).round();
    let by = text::mrkdwn(&text::line(&diagnosis.diagnoser, 40), 60);
    let model = text::mrkdwn(&text::line(&diagnosis.model, 60), 90);
    let degraded = if diagnosis.degraded_reason.is_empty() {
        ""
    } else {
        ", as the fallback"
    };
    format!("Root cause ({percent} % sure, by {by}: {model}{degraded})")
}

fn decision(acted: &Acted) -> Vec<String> {
    let mut sections = Vec::new();
    sections.extend(command(acted));
    sections.push(format!("*Decision*\n{}", outcome(acted)));
    sections
}

/// What was decided or done, and what stood against more than that.
fn outcome(acted: &Acted) -> String {
    let change = acted.change.as_ref();
    let fix = change.and_then(|change| words::remedy(change.remedy.as_ref()?));
    let fix = fix.unwrap_or_else(|| "the change".to_owned());
    let may_be_pasted = change.is_some_and(|change| !change.suggested_command.is_empty());
    let what = match acted.step() {
        Step::Proposed if change.is_none() => {
            return "Nothing is changed for this: no safe fix is known.".to_owned();
        }
        Step::Proposed if may_be_pasted => format!("Only suggested, nothing is changed: {fix}."),
        Step::Proposed => format!("Not applied, nothing is changed: {fix}."),
        Step::Refused => format!("Refused at the last moment, nothing is changed: {fix}."),
        Step::Applied => format!("Applied, now being verified: {fix}."),
        Step::Verified => format!("It helped: {fix}."),
        Step::RolledBack => {
            format!(
                "It did not help: {fix}. Every field that it touched has its former value again."
            )
        }
        Step::Stuck => {
            format!(
                "A person is needed, this was applied and can neither be verified nor taken back: {fix}."
            )
        }
        Step::Intended | Step::Unspecified => format!("Undecided: {fix}."),
    };
    let mut lines = text::mrkdwn(&what, 600);
    for reason in reasons(acted) {
        lines = format!("{lines}\n{reason}");
    }
    lines
}

/// Every gate that objected, each in one line; the reason where none did and the change is news.
fn reasons(acted: &Acted) -> Vec<String> {
    let Some(decision) = &acted.decision else {
        return Vec::new();
    };
    let mode = words::mode(decision.mode());
    if decision.violations.is_empty() {
        let is_news = acted.step() == Step::Applied && !decision.reason.is_empty();
        let reason = text::mrkdwn(&text::line(&decision.reason, 400), 600);
        return is_news
            .then(|| format!("Why: {reason} (mode {mode})"))
            .into_iter()
            .collect();
    }
    let shown = decision.violations.iter().take(MAX_VIOLATIONS);
    let shown = shown.map(|violation| {
        let name = text::code(&text::line(&violation.name, 64), 70);
        let detail = text::mrkdwn(&text::line(&violation.detail, 240), 300);
        format!("{detail} ({name}")
    });
    let shown: Vec<_> = shown.collect();
    if let [only] = &shown[..] {
        return vec![format!("Why: {only}, mode {mode})")];
    }
    let heading = format!("Why (mode {mode}):");
    let left_out = decision.violations.len() - shown.len();
    let more = (left_out > 0).then(|| format!("• and {left_out} more"));
    let lines = shown.iter().map(|line| format!("• {line})"));
    [heading].into_iter().chain(lines).chain(more).collect()
}

fn what_happened(acted: &Acted) -> Vec<String> {
    let mut sections = vec![outcome(acted)];
    let violations = acted.decision.iter().flat_map(|it| &it.violations);
    let said: Vec<_> = violations.map(|violation| &violation.detail).collect();
    let verification = acted.verification.as_ref();
    if let Some(verification) = verification.filter(|it| !said.contains(&&it.observed)) {
        let since = time(verification.healthy_since.as_ref());
        let since = since
            .map(|at| format!(" (healthy since {at})"))
            .unwrap_or_default();
        let observed = text::line(&verification.observed, 600);
        sections.push(labelled("Observed", &format!("{observed}{since}")));
    }
    sections
}

fn command(acted: &Acted) -> Option<String> {
    let command = &acted.change.as_ref()?.suggested_command;
    if command.is_empty() {
        return None;
    }
    let is_open = matches!(acted.step(), Step::Proposed | Step::Refused);
    let label = if is_open {
        "*Suggested command*\n"
    } else {
        "*The same as a command*\n"
    };
    Some(format!(
        "{label}{}",
        text::code_block(&text::block(command, 2_000), MAX_SECTION - label.len())
    ))
}

fn resolution(resolution: &Resolution, is_the_news: bool) -> String {
    let how = match resolution.reason.as_str() {
        "RECOVERED" => "the workload has recovered",
        "GONE" => "the workload is gone",
        _ => "the incident has ended",
    };
    let when = Some(resolution.at).filter(|at| *at > 0).and_then(rfc3339);
    let when = when.map(|at| format!(" at {at}")).unwrap_or_default();
    let label = if is_the_news {
        "Resolved"
    } else {
        "Resolved in the meantime"
    };
    format!(
        "*{label}* ({}): {how}{when}.",
        text::mrkdwn(&resolution.reason, 40)
    )
}

/// The bare fact: what has not come, since when, and where to look.
fn overdue(overdue: &Overdue) -> String {
    let since = time(overdue.waiting_since.as_ref()).unwrap_or_else(|| "unknown".to_owned());
    let limit = words::limit(overdue.limit_seconds);
    let awaited = overdue.awaited();
    format!(
        "*Overdue*\nWaiting since {since}, longer than {limit}: {}. \
         Look whether {} is running, and at the dead letters.",
        words::overdue(awaited),
        words::answers(awaited)
    )
}

fn labelled(label: &str, body: &str) -> String {
    let label = format!("*{label}*\n");
    let budget = MAX_SECTION - text::units(&label);
    let body = text::mrkdwn(&text::line(body, MAX_SECTION), budget);
    format!(
        "{label}{}",
        if body.is_empty() { "(not said)" } else { &body }
    )
}

fn footer(notice: &Notice) -> String {
    let incident = &notice.incident;
    let opened = time(incident.opened_at.as_ref()).unwrap_or_else(|| "unknown".to_owned());
    let footer = format!(
        "{} · cluster {} · incident {} · episode {} · opened {opened}",
        words::failure_class(notice.failure_class),
        text::line(&incident.cluster, 100),
        incident.id,
        incident.episode,
    );
    text::mrkdwn(&footer, MAX_CONTEXT)
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{Awaited, ResolvedReason, Violation};
    use serde_json::Value;

    use super::*;
    use crate::samples;

    fn posted(notice: &Notice, full: bool) -> Value {
        serde_json::to_value(render(notice, full, None)).unwrap()
    }

    #[test]
    fn a_suggestion() {
        let notice = samples::notice(Step::Proposed, "proposed");
        insta::assert_json_snapshot!(posted(&notice, true));
    }

    #[test]
    fn a_change_that_is_the_first_news() {
        let notice = samples::notice(Step::Applied, "applied");
        insta::assert_json_snapshot!(posted(&notice, true));
    }

    #[test]
    fn what_follows() {
        for (name, step) in [
            ("applied", Step::Applied),
            ("verified", Step::Verified),
            ("rolled-back", Step::RolledBack),
            ("refused", Step::Refused),
            ("stuck", Step::Stuck),
        ] {
            insta::assert_json_snapshot!(name, posted(&samples::notice(step, name), false));
        }
    }

    #[test]
    fn the_end() {
        let notice = samples::end(ResolvedReason::Recovered);
        insta::assert_json_snapshot!("recovered", posted(&notice, false));
        let notice = samples::end(ResolvedReason::Gone);
        insta::assert_json_snapshot!("gone", posted(&notice, false));
    }

    #[test]
    fn what_is_overdue() {
        let notice = samples::overdue(Awaited::Diagnosis, "diagnosis-open");
        insta::assert_json_snapshot!("overdue", posted(&notice, false));
        let mut nameless = samples::overdue(Awaited::Verification, "verification-applied");
        if let Some(owner) = nameless.incident.root_owner.as_mut() {
            owner.name.clear();
        }
        insta::assert_json_snapshot!("overdue-nameless", posted(&nameless, false));
    }

    fn outcomes(step: Step, violations: &[(&str, &str)], command: &str) -> String {
        let (_, mut acted) = samples::acted(step, "s");
        let violations = violations.iter().map(|(name, detail)| Violation {
            name: (*name).to_owned(),
            detail: (*detail).to_owned(),
        });
        let decision = acted.decision.as_mut().unwrap();
        decision.violations = violations.collect();
        decision.reason = "x".to_owned();
        command.clone_into(&mut acted.change.as_mut().unwrap().suggested_command);
        outcome(&acted)
    }

    #[test]
    fn a_decision_says_everything_once() {
        let namespace = (
            "namespace-not-allowed",
            "shop is not in auto_apply_namespaces",
        );
        let mode = ("mode-suggest", "changes are only suggested");
        let gone = ("target-missing", "the object is gone");
        let cases = [
            (
                outcomes(Step::Proposed, &[namespace], "kubectl"),
                "Only suggested, nothing is changed: set the memory limit of container app to 128Mi.\n\
                 Why: shop is not in auto_apply_namespaces (`namespace-not-allowed`, mode suggest)",
            ),
            (
                outcomes(Step::Proposed, &[mode, namespace], "kubectl"),
                "Only suggested, nothing is changed: set the memory limit of container app to 128Mi.\n\
                 Why (mode suggest):\n\
                 • changes are only suggested (`mode-suggest`)\n\
                 • shop is not in auto_apply_namespaces (`namespace-not-allowed`)",
            ),
            (
                outcomes(Step::Refused, &[gone], ""),
                "Refused at the last moment, nothing is changed: set the memory limit of container app to 128Mi.\n\
                 Why: the object is gone (`target-missing`, mode auto)",
            ),
            (
                outcomes(Step::Verified, &[], ""),
                "It helped: set the memory limit of container app to 128Mi.",
            ),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
        let (_, mut nothing) = samples::acted(Step::Proposed, "s");
        nothing.change = None;
        assert_eq!(
            outcome(&nothing),
            "Nothing is changed for this: no safe fix is known."
        );
    }

    #[test]
    fn what_was_observed_is_not_said_twice() {
        let (_, mut acted) = samples::acted(Step::Stuck, "s");
        let observed = acted.verification.as_ref().unwrap().observed.clone();
        acted.decision.as_mut().unwrap().violations = vec![Violation {
            name: "changed-since".to_owned(),
            detail: observed.clone(),
        }];
        let told = what_happened(&acted).join("\n");
        assert_eq!(told.matches(&observed).count(), 1, "{told}");
    }

    #[test]
    fn a_first_message_after_the_end_says_so() {
        let notice = samples::notice(Step::Proposed, "proposed");
        let end = Resolution {
            reason: "RECOVERED".to_owned(),
            at: 1_795_600_120,
        };
        let post = serde_json::to_string(&render(&notice, true, Some(&end))).unwrap();
        assert!(
            post.contains("*Resolved in the meantime* (RECOVERED)"),
            "{post}"
        );
    }

    fn hostile() -> Notice {
        let hostile = "<!channel> @here <https://evil|bank> ``` *bold* & \u{202E}".repeat(400);
        let mut notice = samples::notice(Step::Proposed, "proposed");
        if let Some(owner) = notice.incident.root_owner.as_mut() {
            owner.name.clone_from(&hostile);
            owner.kind.clone_from(&hostile);
        }
        notice.incident.cluster.clone_from(&hostile);
        if let Some(diagnosis) = notice.diagnosed.as_mut().and_then(|m| m.diagnosis.as_mut()) {
            diagnosis.summary.clone_from(&hostile);
            diagnosis.root_cause.clone_from(&hostile);
            diagnosis.recommendation.clone_from(&hostile);
            diagnosis.diagnoser.clone_from(&hostile);
            diagnosis.model.clone_from(&hostile);
            diagnosis.confidence = f64::NAN;
        }
        if let Some(acted) = notice.acted.as_mut() {
            if let Some(decision) = acted.decision.as_mut() {
                decision.reason.clone_from(&hostile);
                decision.violations = vec![decision.violations[0].clone(); 60];
                decision.violations[0].name.clone_from(&hostile);
                decision.violations[0].detail.clone_from(&hostile);
            }
            if let Some(change) = acted.change.as_mut() {
                change.suggested_command = hostile;
            }
        }
        notice
    }

    #[test]
    fn hostile_text_stays_within_slacks_limits_and_reaches_nobody() {
        let post = posted(&hostile(), true);
        let blocks = post["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{}", blocks.len());
        for block in blocks {
            let (text, limit) = match block["type"].as_str().unwrap() {
                "header" => (&block["text"], 150),
                "section" => (&block["text"], 3_000),
                _ => (&block["elements"][0], 3_000),
            };
            let shown = text["text"].as_str().unwrap();
            assert!(
                text::units(shown) <= limit,
                "{}: {shown}",
                text::units(shown)
            );
            assert!(!shown.is_empty());
            if text["type"] == "mrkdwn" {
                assert_eq!(text["verbatim"], true);
                assert!(!shown.contains('<') && !shown.contains('>'), "{shown}");
                assert!(
                    !shown.contains("!channel") && !shown.contains("@here"),
                    "{shown}"
                );
                assert_eq!(shown.matches("```").count() % 2, 0, "{shown}");
            }
            assert!(!shown.contains('\u{202E}'));
        }
        let fallback = post["text"].as_str().unwrap();
        assert!(
            !fallback.contains('<') && !fallback.contains("!channel"),
            "{fallback}"
        );
    }
}
