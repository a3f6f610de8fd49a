//! How containers end, where nothing says why.

use super::crash::exit_code;
use super::finding::{Finding, Group};
use crate::case::{Case, Container, Line};

/// Killed by a signal: by the exit code 128 + n, or as the runtime reports it.
pub(crate) fn by_signal(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let end = container.termination()?;
    let signal = end.signal.or_else(|| {
        let from_code = end.exit_code - 128;
        (1..=31).contains(&from_code).then_some(from_code)
    })?;
    if container.is_oom_killed() || end.reason == "StartError" {
        return None;
    }
    let (cause, says, advice) = meaning(signal)?;
    let name = container.name;
    let finding = Finding::new(
        cause,
        Group::Symptom,
        format!(
            "{}: container {name} ends by signal {signal}: {says}.",
            case.subject()
        ),
    )
    .because(format!(
        "Container {name} ended by signal {signal} (exit code {}): {says}.",
        end.exit_code
    ))
    .advise(advice)
    .fits(0.4)
    .cite(exit_code(container));
    // A crash of the program itself can come with a new image; being killed cannot be told.
    Some(match signal {
        4 | 6 | 11 => finding.blaming(case, container, &["/image"]),
        _ => finding,
    })
}

fn meaning(signal: i64) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match signal {
        4 => (
            "illegal-instruction",
            "the program uses an instruction that this processor lacks",
            "Build the image for the processors of the nodes.",
        ),
        6 => (
            "aborted",
            "the program aborted itself, often after a failed assertion or in its memory allocator",
            "Look at what it wrote before, and at its core dump.",
        ),
        8 => (
            "arithmetic-error",
            "the program divided by zero or overflowed",
            "Look at what it wrote before, and at its core dump.",
        ),
        9 => (
            "killed-not-for-memory",
            "something killed it, and the kubelet does not say that it was for memory",
            "Look for a failed liveness probe, a memory kill inside the container (of a child process), or a deadline that was exceeded while it ignored SIGTERM.",
        ),
        11 => (
            "segmentation-fault",
            "the program accessed memory that it may not",
            "Look for a change of the image or of a native library, and at its core dump.",
        ),
        15 => (
            "terminated",
            "it was asked to end and did",
            "Look for who ended it: a failed probe, a drained node, a new rollout.",
        ),
        _ => return None,
    })
}

/// The main process of something that should run for ever ends, and says that all is well.
pub(crate) fn ends_by_itself(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let end = container.termination()?;
    let is_job = case
        .workload()
        .is_some_and(|workload| workload.reference.kind == "Job");
    let is_restarted = container
        .object
        .text("/spec/restartPolicy")
        .unwrap_or("Always")
        == "Always";
    let was_killed = case
        .event(&["Killing"], |message| message.contains("probe"))
        .is_some();
    if end.exit_code != 0
        || container.init
        || is_job
        || !is_restarted
        || was_killed
        || container.is_running()
    {
        return None;
    }
    let name = container.name;
    let last = case.last_words(container).last().map(Line::cite);
    let finding = Finding::new(
        "main-process-ends",
        Group::Platform,
        format!("{}: the main process of container {name} ends by itself (exit code 0) and is started again and again.", case.subject()),
    )
    .because(format!("The main process of container {name} completes without an error, but a {} restarts what ends. The command probably is a one-off, starts a daemon in the background, or finds nothing to do.", case.workload().map_or("controller", |workload| workload.reference.kind.as_str())))
    .advise("Run the long-lived process in the foreground, or use a Job for work that ends.")
    .fits(0.7)
    .cite(exit_code(container))
    .cite(last);
    Some(finding.blaming(case, container, &["/command", "/args", "/image"]))
}
