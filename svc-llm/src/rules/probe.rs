//! Probes that fail, and the kills that follow.

use bonesetter_proto::v1::{Citation, FailureClass};

use super::finding::{Finding, Group};
use super::listening::{Heard, declared, heard, probed};
use super::words::{quote, quote_within};
use crate::case::{Case, Container, cite_text};

/// One kind of probe, with the names of its causes.
struct Probe {
    field: &'static str,
    /// As the kubelet says it: "Liveness probe failed: ...".
    failed: &'static str,
    adjective: &'static str,
    consequence: &'static str,
    wrong_port: &'static str,
    wrong_path: &'static str,
    refused: &'static str,
    failing: &'static str,
}

const LIVENESS: Probe = Probe {
    field: "livenessProbe",
    failed: "Liveness probe failed",
    adjective: "liveness",
    consequence: "is killed again and again",
    wrong_port: "liveness-probe-wrong-port",
    wrong_path: "liveness-probe-wrong-path",
    refused: "liveness-probe-refused",
    failing: "liveness-probe-failing",
};

const STARTUP: Probe = Probe {
    field: "startupProbe",
    failed: "Startup probe failed",
    adjective: "startup",
    consequence: "is killed before it has started",
    wrong_port: "startup-probe-wrong-port",
    wrong_path: "startup-probe-wrong-path",
    refused: "startup-probe-too-short",
    failing: "startup-probe-too-short",
};

const READINESS: Probe = Probe {
    field: "readinessProbe",
    failed: "Readiness probe failed",
    adjective: "readiness",
    consequence: "never becomes ready",
    wrong_port: "readiness-probe-wrong-port",
    wrong_path: "readiness-probe-wrong-path",
    refused: "readiness-probe-refused",
    failing: "readiness-probe-failing",
};

/// The kubelet kills the container because its liveness probe fails.
pub(crate) fn liveness(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    examine(case, container, &LIVENESS)
}

/// The kubelet kills the container because its startup probe did not succeed in time.
pub(crate) fn startup(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    examine(case, container, &STARTUP)
}

/// The container runs and is never ready.
pub(crate) fn readiness(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let finding = examine(case, container, &READINESS)?;
    // What is killed or crashes is unready for that reason.
    Some(finding.against_if(
        0.6,
        container.restarts() > 0 || container.waiting().is_some(),
    ))
}

/// What is known about a failing probe.
struct Seen<'c> {
    container: &'c Container<'c>,
    /// What the kubelet says; empty where the events are gone.
    text: String,
    told: Option<Citation>,
    killed: Option<Citation>,
    port: Option<(u16, String)>,
    heard: Vec<Heard<'c>>,
}

fn examine(case: &Case<'_>, container: &Container<'_>, probe: &Probe) -> Option<Finding> {
    container.get(&format!("/{}", probe.field))?;
    let kill_text = format!("{} probe", probe.adjective);
    let is_of = |text: &str| about_container(text, container);
    let kill = case.event(&["Killing"], |text| {
        text.contains(&kill_text) && is_of(text)
    });
    let failure = case.event(&["Unhealthy", "ProbeWarning"], |text| {
        text.starts_with(probe.failed)
    });
    let only_class = case.class() == FailureClass::ProbeKill && probe.field == "livenessProbe";
    if failure.is_none() && kill.is_none() && !only_class {
        return None;
    }
    let words = case.all_words(container);
    let seen = Seen {
        container,
        text: failure
            .map(|event| event.item.message.clone())
            .unwrap_or_default(),
        told: failure.map(|event| cite_text(event.id, &event.item.message)),
        killed: kill.map(|event| cite_text(event.id, &event.item.message)),
        port: probed(container, probe.field),
        heard: heard(&words),
    };
    let kills = probe.field != READINESS.field;
    let finding = wrong_port(case, &seen, probe)
        .or_else(|| answered(case, &seen, probe))
        .unwrap_or_else(|| unanswered(case, &seen, probe))
        .fits_if(0.5, seen.killed.is_some())
        .fits_if(0.3, only_class)
        .against_if(0.4, kills && seen.killed.is_none() && !only_class)
        .cite(seen.told.clone())
        .cite(seen.killed.clone());
    // Of a probe that is new as a whole, what is wrong with it says most.
    let path = format!("/{}/httpGet/path", probe.field);
    let port = seen.port.as_ref().map(|(_, port)| port.as_str());
    let field = format!("/{}", probe.field);
    let first = if finding.cause == probe.wrong_path {
        Some(path.as_str())
    } else {
        port
    };
    Some(finding.blaming(case, container, &[first.unwrap_or(&field), &field]))
}

/// Kill messages name the container: "Container app failed liveness probe, will be restarted".
fn about_container(text: &str, container: &Container<'_>) -> bool {
    match text.strip_prefix("Container ") {
        Some(rest) => rest.split_whitespace().next() == Some(container.name),
        None => true,
    }
}

/// Nothing answers at the probed port, while the application listens at another.
fn wrong_port(case: &Case<'_>, seen: &Seen<'_>, probe: &Probe) -> Option<Finding> {
    let (port, pointer) = seen.port.as_ref()?;
    let ports = declared(seen.container);
    let says_elsewhere =
        !seen.heard.is_empty() && seen.heard.iter().all(|heard| heard.port != *port);
    let declares_elsewhere = !ports.is_empty() && !ports.contains(port);
    let answers = !seen.text.is_empty() && !is_unanswered(&seen.text);
    if answers || !(says_elsewhere || (declares_elsewhere && seen.heard.is_empty())) {
        return None;
    }
    let name = seen.container.name;
    let line = seen.heard.first().filter(|_| says_elsewhere);
    let right = line.map_or_else(
        || ports.first().copied().unwrap_or_default(),
        |heard| heard.port,
    );
    let how = line.map_or_else(
        || format!("its specification declares port {right}"),
        |heard| format!("its log says: {}", quote_within(heard.line.text, 200)),
    );
    let finding = Finding::new(
        probe.wrong_port,
        Group::Platform,
        format!("{}: container {name} {} because its {} probe asks port {port}, and it listens on {right}.", case.subject(), probe.consequence, probe.adjective),
    )
    .because(format!("The {} probe of container {name} asks port {port}, where nothing listens; {how}.", probe.adjective))
    .advise(format!("Let the {} probe ask port {right}.", probe.adjective))
    .fits(0.6)
    .fits_if(0.6, says_elsewhere)
    .fits_if(0.4, declares_elsewhere)
    .fits_if(0.4, is_unanswered(&seen.text))
    .against_if(0.4, ports.contains(port))
    .cite(seen.container.cite(pointer))
    .cite(line.map(|heard| heard.line.cite()))
    .cite(seen.container.cite("/ports/0/containerPort").filter(|_| declares_elsewhere));
    Some(finding)
}

fn is_unanswered(text: &str) -> bool {
    [
        "connection refused",
        "connect:",
        "no route to host",
        "dial tcp",
    ]
    .iter()
    .any(|known| text.contains(known))
}

/// The application answers, but not as the probe wants.
fn answered(case: &Case<'_>, seen: &Seen<'_>, probe: &Probe) -> Option<Finding> {
    let status = seen.text.split("statuscode: ").nth(1)?;
    let status: u16 = status
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()?;
    let name = seen.container.name;
    let pointer = format!("/{}/httpGet/path", probe.field);
    let path = seen.container.text(&pointer).unwrap_or("/");
    let (cause, why, advice) = match status {
        404 | 405 | 410 => (probe.wrong_path, format!("the application has no page {path} (HTTP {status})"), format!("Let the {} probe ask a path that the application serves.", probe.adjective)),
        401 | 403 => (probe.wrong_path, format!("the application wants a login at {path} (HTTP {status})"), "Let the probe ask a path that needs no login.".to_owned()),
        _ => (probe.failing, format!("the application says itself that it is not well (HTTP {status} at {path})"), "Look at the log of the application at the time of the probe: it answers, so it knows what is wrong.".to_owned()),
    };
    let finding = Finding::new(
        cause,
        Group::Platform,
        format!(
            "{}: container {name} {} because {why}.",
            case.subject(),
            probe.consequence
        ),
    )
    .because(format!(
        "The {} probe of container {name} fails: {why}. The kubelet says: {}",
        probe.adjective,
        quote(&seen.text)
    ))
    .advise(advice)
    .fits(0.8)
    .cite(seen.container.cite(&pointer));
    Some(finding)
}

/// The application does not answer (in time), or a command fails.
fn unanswered(case: &Case<'_>, seen: &Seen<'_>, probe: &Probe) -> Finding {
    let name = seen.container.name;
    let field = format!("/{}", probe.field);
    let refused = is_unanswered(&seen.text);
    let slow = seen.text.contains("deadline exceeded")
        || seen.text.contains("timed out")
        || seen.text.contains("Client.Timeout");
    let is_startup = probe.field == STARTUP.field;
    let (cause, why, advice) = if is_startup {
        (
            probe.refused,
            "it needs longer to start than the startup probe allows".to_owned(),
            "Raise failureThreshold or periodSeconds of the startup probe; look in the log for what takes so long.",
        )
    } else if refused {
        (
            probe.refused,
            "nothing answers at the probed port".to_owned(),
            "If the application needs longer to start, add a startup probe; else find out why it does not listen.",
        )
    } else if slow {
        (
            probe.failing,
            "it does not answer in time".to_owned(),
            "Look for a full CPU limit, a deadlock or a slow dependency; raise timeoutSeconds if the answer is merely slow.",
        )
    } else {
        (
            probe.failing,
            "the probe reports a failure".to_owned(),
            "Run the probe by hand in the container and look at what it says.",
        )
    };
    let answer = seen.text.strip_prefix(probe.failed);
    let said = match answer.map(|answer| answer.trim_matches([':', ' '])) {
        None => "its events are gone".to_owned(),
        Some("") => "its command failed and wrote nothing".to_owned(),
        Some(_) => format!("the kubelet says: {}", quote(&seen.text)),
    };
    Finding::new(
        cause,
        Group::Platform,
        format!(
            "{}: container {name} {} because {why}.",
            case.subject(),
            probe.consequence
        ),
    )
    .because(format!(
        "The {} probe of container {name} fails because {why}; {said}",
        probe.adjective
    ))
    .advise(advice)
    .fits(0.6)
    .cite(seen.container.cite(&field))
}
