//! What the application itself says about its end.

use super::finding::{Finding, Group};
use super::reading::{Reading, Subject, last_error, read};
use super::words::quote;
use crate::case::{Case, Container, cite_text, head};

/// What is wrong and what to do, for one subject of last words.
struct Meaning {
    subject: Subject,
    cause: &'static str,
    /// `{what}` stands for what the line names.
    says: &'static str,
    /// Where the line names nothing.
    says_plainly: &'static str,
    advice: &'static str,
    /// Fields of the container (or paths of the pod) through which a rollout can have caused it.
    fields: &'static [&'static str],
}

const CODE: &[&str] = &["/image", "/command", "/args"];
const ADDRESSES: &[&str] = &["/env", "/envFrom", "/args", "/command"];
const FILES: &[&str] = &[
    "/volumeMounts",
    "/image",
    "/command",
    "/args",
    "/env",
    "/spec/volumes",
];
const RIGHTS: &[&str] = &[
    "/securityContext",
    "/spec/securityContext",
    "/volumeMounts",
    "/image",
];

const MEANINGS: [Meaning; 17] = [
    Meaning {
        subject: Subject::Refused,
        cause: "connection-refused",
        says: "it cannot reach {what}: the connection is refused",
        says_plainly: "a service that it needs refuses the connection",
        advice: "Check that the service is running and listens on that port, and that the address is right.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::Unresolved,
        cause: "name-not-resolved",
        says: "the host name {what} cannot be resolved",
        says_plainly: "a host name cannot be resolved",
        advice: "Check the name (does the Service exist, in which namespace?), then cluster DNS and network policies.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::TimedOut,
        cause: "connection-timed-out",
        says: "{what} does not answer",
        says_plainly: "a service that it needs does not answer",
        advice: "Check network policies and whether the address is right; a refused connection would have answered at once.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::Reset,
        cause: "connection-reset",
        says: "{what} cuts the connection",
        says_plainly: "the other side cuts the connection",
        advice: "Look at the log of the other side at the same time.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::LoginFailed,
        cause: "login-refused",
        says: "the login of {what} is refused",
        says_plainly: "its login is refused",
        advice: "Check that user and password are those that the server knows; a Secret may have been rotated on one side only.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::Certificate,
        cause: "certificate-refused",
        says: "a TLS certificate is refused",
        says_plainly: "a TLS certificate is refused",
        advice: "Check validity, names and issuer of the certificate, and which authorities the container trusts.",
        fields: ADDRESSES,
    },
    Meaning {
        subject: Subject::PortInUse,
        cause: "port-in-use",
        says: "port {what} is already in use",
        says_plainly: "its port is already in use",
        advice: "Two processes of the pod (or, with hostNetwork, of the node) want the same port: give one of them another.",
        fields: &["/args", "/env", "/command", "/ports", "/spec/containers"],
    },
    Meaning {
        subject: Subject::DiskFull,
        cause: "disk-full",
        says: "a disk is full",
        says_plainly: "a disk is full",
        advice: "Find out which volume the path lies on; free space there or make it larger.",
        fields: &[],
    },
    Meaning {
        subject: Subject::ReadOnly,
        cause: "read-only-file-system",
        says: "{what} lies on a read-only file system",
        says_plainly: "it writes to a read-only file system",
        advice: "Mount a writable volume at the path, or allow writing to the root file system.",
        fields: RIGHTS,
    },
    Meaning {
        subject: Subject::Denied,
        cause: "permission-denied",
        says: "it may not access {what}",
        says_plainly: "it is denied a permission",
        advice: "Compare the user of the container (securityContext) with the owner and mode of the path; fsGroup makes volumes writable.",
        fields: RIGHTS,
    },
    Meaning {
        subject: Subject::FileMissing,
        cause: "missing-file",
        says: "the file {what} is missing",
        says_plainly: "a file is missing",
        advice: "Check which volume or image should hold the file, and the mount path.",
        fields: FILES,
    },
    Meaning {
        subject: Subject::ModuleMissing,
        cause: "missing-module",
        says: "{what} is missing from the image",
        says_plainly: "a module is missing from the image",
        advice: "Build the image with the missing dependency, or correct the command.",
        fields: CODE,
    },
    Meaning {
        subject: Subject::TooManyFiles,
        cause: "too-many-open-files",
        says: "it has used up its file descriptors",
        says_plainly: "it has used up its file descriptors",
        advice: "Look for connections or files that are never closed; raise the limit of the process if the number is justified.",
        fields: &[],
    },
    Meaning {
        subject: Subject::WrongArchitecture,
        cause: "wrong-architecture",
        says: "{what} was built for another processor architecture",
        says_plainly: "the program was built for another processor architecture",
        advice: "Use an image for the architecture of the node, or a multi-architecture one.",
        fields: CODE,
    },
    Meaning {
        subject: Subject::Migration,
        cause: "database-schema",
        says: "the database schema does not fit ({what})",
        says_plainly: "the database schema does not fit",
        advice: "Check which migration ran last, and whether the application and the schema are of the same version.",
        fields: CODE,
    },
    Meaning {
        subject: Subject::Licence,
        cause: "licence-refused",
        says: "its licence is refused",
        says_plainly: "its licence is refused",
        advice: "Renew or mount the licence.",
        fields: &["/env", "/volumeMounts"],
    },
    Meaning {
        subject: Subject::Forbidden,
        cause: "service-account-forbidden",
        says: "{what} lacks a permission in the cluster",
        says_plainly: "its service account lacks a permission",
        advice: "Grant exactly the verb and resource that the line names to the service account, or use the right service account.",
        fields: &["/spec/serviceAccountName"],
    },
];

/// The last words name a cause that runtimes and libraries have in common.
pub(crate) fn said_in_the_log(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let words = case.last_words(container);
    let subjects = MEANINGS.map(|meaning| meaning.subject);
    let reading = read(&words, &subjects)?;
    let meaning = MEANINGS
        .iter()
        .find(|meaning| meaning.subject == reading.subject)?;
    let says = match reading.what {
        Some(what) => meaning.says.replace("{what}", head(what, 120)),
        None => meaning.says_plainly.to_owned(),
    };
    let name = container.name;
    let crash = container.crash();
    let verb = if crash.is_some() {
        "ends because"
    } else {
        "does not work because"
    };
    let finding = Finding::new(
        meaning.cause,
        Group::Application,
        format!("{}: container {name} {verb} {says}.", case.subject()),
    )
    .because(format!("Container {name} says why: {}", reading.quote()))
    .advise(meaning.advice)
    .fits(reading.weight())
    .fits_if(0.3, crash.is_some())
    .against_if(0.4, crash.is_none())
    .cite(reading.line.cite())
    .cite(exit_code(container));
    Some(finding.blaming(case, container, meaning.fields))
}

/// The application ends with an error that no other rule knows: its own words are the cause.
pub(crate) fn application_error(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let end = container.crash()?;
    let words = case.last_words(container);
    let (line, looks_like_error) = last_error(&words)?;
    let known = read(
        &words,
        &[
            Subject::MissingEnv,
            Subject::BadValue,
            Subject::UnknownOption,
        ],
    );
    let name = container.name;
    let code = end.exit_code;
    let quoted = quote(line.text);
    let finding = Finding::new(
        "application-error",
        Group::Symptom,
        format!("{}: container {name} ends with exit code {code}; its last error is: {quoted}", case.subject()),
    )
    .because(format!("The application in container {name} ends by itself with exit code {code}. Its last error line: {quoted}"))
    .advise("Read the cited line with the lines before it; what it names is the place to look.")
    .fits(if looks_like_error { 0.45 } else { 0.3 })
    .fits_if(0.2, is_fatal(line.text))
    .against_if(0.3, known.is_some())
    .against_if(0.5, end.exit_code == 137 || end.signal == Some(9))
    .cite(line.cite())
    .cite(exit_code(container));
    Some(finding.blaming(
        case,
        container,
        &["/image", "/command", "/args", "/env", "/envFrom"],
    ))
}

fn is_fatal(text: &str) -> bool {
    let lower = head(text, 1_000).to_lowercase();
    ["fatal", "panic", "unhandled", "uncaught", "exception"]
        .iter()
        .any(|word| lower.contains(word))
}

/// The container was started, and its postStart hook failed; so it is killed.
pub(crate) fn post_start_hook(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    const HOOK: &str = "/lifecycle/postStart";
    container.get(HOOK)?;
    let waits = container
        .waiting()
        .filter(|(reason, _)| *reason == "PostStartHookError");
    let (citation, message) = if let Some((_, message)) = waits {
        (container.cite_status("/state/waiting/message"), message)
    } else {
        // Between two tries only the event tells.
        let event = case.event(&["FailedPostStartHook"], |_| true)?;
        let message = event.item.message.as_str();
        (Some(cite_text(event.id, message)), message)
    };
    let name = container.name;
    let finding = Finding::new(
        "post-start-hook-failed",
        Group::Platform,
        format!(
            "{}: container {name} is killed because its postStart hook fails.",
            case.subject()
        ),
    )
    .because(format!(
        "The kubelet kills container {name} because its postStart hook fails: {}",
        quote(message)
    ))
    .advise("Run the command of the hook by hand in the container, or correct it.")
    .fits(0.9)
    .cite(citation)
    .cite(container.cite(HOOK));
    Some(finding.blaming(case, container, &["/lifecycle", "/image"]))
}

/// The container could not be started at all: the command is not there, or may not be executed.
pub(crate) fn start_error(case: &Case<'_>, container: &Container<'_>) -> Option<Finding> {
    let in_hook = |(reason, _): (&str, &str)| reason == "PostStartHookError";
    if container.is_oom_killed() || container.waiting().is_some_and(in_hook) {
        return None;
    }
    let (citation, text) = start_message(case, container)?;
    let name = container.name;
    let (cause, says, advice) = if text.contains("exec format error") {
        (
            "wrong-architecture",
            "its program was built for another processor architecture",
            "Use an image for the architecture of the node, or a multi-architecture one.",
        )
    } else if text.contains("permission denied") {
        (
            "command-not-executable",
            "its command may not be executed",
            "Make the file executable in the image, or correct the command.",
        )
    } else {
        (
            "command-not-found",
            "its command does not exist in the image",
            "Correct command and args, or use the image that holds the program.",
        )
    };
    let finding = Finding::new(
        cause,
        Group::Platform,
        format!(
            "{}: container {name} cannot start because {says}.",
            case.subject()
        ),
    )
    .because(format!(
        "The container runtime could not start container {name}: {}",
        quote(&text)
    ))
    .advise(advice)
    .fits(0.85)
    .cite(citation)
    .cite(container.cite("/command"));
    Some(finding.blaming(case, container, CODE))
}

type Said = (Option<bonesetter_proto::v1::Citation>, String);

fn start_message(case: &Case<'_>, container: &Container<'_>) -> Option<Said> {
    let is_start = |text: &str| {
        let lower = text.to_lowercase();
        lower.contains("executable file not found")
            || lower.contains("exec format error")
            || (lower.contains("exec") && lower.contains("no such file or directory"))
            || (lower.contains("exec") && lower.contains("permission denied"))
    };
    let end = container.termination().filter(|end| is_start(end.message));
    if let Some(end) = end {
        let pointer = format!("{}/message", end.pointer);
        return Some((container.object.cite(&pointer), end.message.to_owned()));
    }
    if let Some((_, message)) = container.waiting().filter(|(_, message)| is_start(message)) {
        return Some((
            container.cite_status("/state/waiting/message"),
            message.to_owned(),
        ));
    }
    if let Some(event) = case.event(&["Failed", "BackOff"], is_start) {
        return Some((
            Some(cite_text(event.id, &event.item.message)),
            event.item.message.clone(),
        ));
    }
    let end = container
        .termination()
        .filter(|end| matches!(end.exit_code, 126 | 127))?;
    let words = case.last_words(container);
    let line = words.last().copied();
    let text = line.map_or_else(
        || format!("exit code {}", end.exit_code),
        |line| line.text.to_owned(),
    );
    let text = if end.exit_code == 126 {
        format!("{text} (permission denied)")
    } else {
        text
    };
    Some((line.map(|line| line.cite()), text))
}

/// A citation of the exit code.
pub(crate) fn exit_code(container: &Container<'_>) -> Option<bonesetter_proto::v1::Citation> {
    let end = container.termination()?;
    container.object.cite(&format!("{}/exitCode", end.pointer))
}

/// Used by the rules about Jobs: the cause in the application's own words.
pub(crate) fn own_words<'a>(case: &Case<'a>, container: &Container<'_>) -> Option<Reading<'a>> {
    let words = case.last_words(container);
    let reading = super::reading::read_any(&words);
    if let Some(reading) = reading.filter(|reading| reading.lines_after <= 1) {
        return Some(reading);
    }
    let (line, _) = last_error(&words)?;
    Some(Reading {
        subject: Subject::BadValue,
        line,
        what: None,
        lines_after: 0,
    })
}
