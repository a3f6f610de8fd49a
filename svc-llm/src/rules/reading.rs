//! Reading the last words of a container.

use std::sync::LazyLock;

use regex::Regex;

use super::patterns::PATTERNS;
use super::words::quote;
use crate::case::{Line, head};

/// What a log line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    MissingEnv,
    BadValue,
    UnknownOption,
    BadConfigFile,
    HeapFull,
    Refused,
    Unresolved,
    TimedOut,
    Reset,
    LoginFailed,
    Certificate,
    PortInUse,
    DiskFull,
    ReadOnly,
    Denied,
    FileMissing,
    ModuleMissing,
    TooManyFiles,
    WrongArchitecture,
    Migration,
    Licence,
    Forbidden,
}

/// A log line that says why.
#[derive(Debug, Clone)]
pub(crate) struct Reading<'a> {
    pub(crate) subject: Subject,
    pub(crate) line: Line<'a>,
    /// What the line names: the key, host, path or port.
    pub(crate) what: Option<&'a str>,
    /// How many lines were written after it, stack frames not counted.
    pub(crate) lines_after: usize,
}

impl Reading<'_> {
    /// The line as it stands in a sentence.
    pub(crate) fn quote(&self) -> String {
        quote(self.line.text)
    }

    /// How much its place says: the very last words more than what was followed by others.
    pub(crate) fn weight(&self) -> f64 {
        if self.lines_after <= 1 { 0.8 } else { 0.6 }
    }
}

/// What was said so long before the end does not count as last words.
const LINES_BACK: usize = 20;
/// No message that a person reads is longer; keeps matching linear in what is worth reading.
const MAX_LINE_BYTES: usize = 4_096;

static COMPILED: LazyLock<Vec<(Subject, Regex)>> = LazyLock::new(|| {
    PATTERNS
        .iter()
        .filter_map(|(subject, pattern)| Some((*subject, Regex::new(pattern).ok()?)))
        .collect()
});

/// The last line that says something about one of these subjects.
pub(crate) fn read<'a>(words: &[Line<'a>], subjects: &[Subject]) -> Option<Reading<'a>> {
    let said = words
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, line)| !is_frame(line.text));
    said.take(LINES_BACK)
        .enumerate()
        .find_map(|(lines_after, (index, line))| {
            let (subject, what) = about(line.text).or_else(|| key_error(words, index))?;
            let reading = Reading {
                subject,
                line: *line,
                what,
                lines_after,
            };
            subjects.contains(&subject).then_some(reading)
        })
}

/// The last line that says something about any subject.
pub(crate) fn read_any<'a>(words: &[Line<'a>]) -> Option<Reading<'a>> {
    let said = words
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, line)| !is_frame(line.text));
    said.take(LINES_BACK)
        .enumerate()
        .find_map(|(lines_after, (index, line))| {
            let (subject, what) = about(line.text).or_else(|| key_error(words, index))?;
            Some(Reading {
                subject,
                line: *line,
                what,
                lines_after,
            })
        })
}

/// Words that stand where a name would: the line is prose, often of a usage text.
const ARTICLES: [&str; 8] = ["the", "a", "an", "this", "that", "its", "your", "any"];

/// What a line is about, by the first pattern that fits, and what it names.
pub(crate) fn about(text: &str) -> Option<(Subject, Option<&str>)> {
    let text = head(text, MAX_LINE_BYTES);
    COMPILED.iter().find_map(|(subject, pattern)| {
        let captures = pattern.captures(text)?;
        let what = captures.name("what").map(|found| found.as_str());
        let is_name = !what.is_some_and(|what| ARTICLES.contains(&what));
        is_name.then_some((*subject, what.filter(|what| !what.is_empty())))
    })
}

/// Python names a missing variable by its key alone; the lines before it tell that it is one.
fn key_error<'a>(words: &[Line<'a>], index: usize) -> Option<(Subject, Option<&'a str>)> {
    let name = words[index]
        .text
        .trim()
        .strip_prefix("KeyError: ")?
        .trim_matches(['\'', '"']);
    let before = &words[index.saturating_sub(8)..index];
    before
        .iter()
        .any(|line| line.text.contains("os.environ") || line.text.contains("/os.py"))
        .then_some((Subject::MissingEnv, Some(name)))
}

/// Whether a line belongs to a stack trace and says nothing of its own.
pub(crate) fn is_frame(text: &str) -> bool {
    let trimmed = text.trim_start();
    let indented = trimmed.len() < text.len();
    trimmed.is_empty()
        || (indented && (trimmed.starts_with("at ") || trimmed.starts_with("... ")))
        || trimmed.starts_with("File \"")
        || trimmed.starts_with("goroutine ")
        || (indented && (trimmed.contains(".go:") || trimmed.starts_with("raise ")))
        || trimmed.starts_with("[signal SIG")
        || trimmed.starts_with("exit status ")
        || trimmed.starts_with("note: run with `RUST_BACKTRACE")
        || trimmed.starts_with("Node.js v")
}

static ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b(?:fatal|panic|panicked|critical|emerg|exception|unhandled|uncaught|traceback)\b",
        r"|(?i:\berror\b)|[A-Za-z.]+(?:Error|Exception)\b|^E\d{4} |\bERR\b|(?i)\bfailed\b|\bcannot\b|\bcould not\b|\bunable to\b",
    ))
    .ok()
});

/// The line that people would call the error: the last one that looks like it, else the last one.
pub(crate) fn last_error<'a>(words: &[Line<'a>]) -> Option<(Line<'a>, bool)> {
    let mut said = words
        .iter()
        .rev()
        .filter(|line| !is_frame(line.text))
        .take(LINES_BACK * 2);
    let last = said.clone().next()?;
    let looks_like_it = |line: &&Line<'_>| {
        let text = head(line.text, MAX_LINE_BYTES);
        ERROR.as_ref().is_some_and(|pattern| pattern.is_match(text))
    };
    match said.find(looks_like_it) {
        Some(line) => Some((innermost(words, *line), true)),
        None => Some((*last, false)),
    }
}

/// Where a Go or Rust panic is followed by its trace only, the panic's own line says more.
fn innermost<'a>(words: &[Line<'a>], line: Line<'a>) -> Line<'a> {
    let is_panic = |line: &&Line<'_>| {
        let text = line.text.trim_start();
        text.starts_with("panic: ") || text.starts_with("fatal error: ")
    };
    if line.text.starts_with("main.") || line.text.starts_with("created by ") {
        words.iter().rev().find(is_panic).copied().unwrap_or(line)
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<'a>(texts: &[&'a str]) -> Vec<Line<'a>> {
        texts
            .iter()
            .map(|text| Line {
                id: "log/p/c/current",
                text,
            })
            .collect()
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
        assert!(ERROR.is_some());
    }

    #[test]
    fn lines_of_common_runtimes_are_understood() {
        let wrong: Vec<_> = CASES
            .iter()
            .filter(|(text, subject, what)| about(text) != Some((*subject, *what)))
            .map(|(text, ..)| (*text, about(text)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn ordinary_lines_say_nothing() {
        for text in [
            "2026-01-01T00:00:00Z INFO server: listening on 0.0.0.0:8080",
            "GET /healthz 200 1ms",
            "warmed up 32 of 128 MiB",
            "main: unrecoverable error, giving up",
            "ERROR cannot parse header",
            "                    fail on a bad value in the arguments",
            "config: 3 settings given",
            "all values are valid",
            "the environment is production",
            "password=<secret:abcdef> user=orders",
        ] {
            assert_eq!(about(text), None, "{text}");
        }
    }

    #[test]
    fn the_innermost_cause_of_a_stack_trace_is_read() {
        let java = lines(&[
            "Exception in thread \"main\" java.lang.IllegalStateException: could not load order 4711",
            "\tat com.example.orders.OrderStore.load(OrderStore.java:87)",
            "Caused by: java.sql.SQLException: connection refused: db.orders.svc:5432",
            "\tat org.postgresql.core.v3.ConnectionFactoryImpl.openConnectionImpl(ConnectionFactoryImpl.java:331)",
            "\t... 3 more",
        ]);
        let reading = read_any(&java).unwrap();
        assert_eq!(
            (reading.subject, reading.lines_after),
            (Subject::Refused, 0)
        );
        let python = lines(&[
            "Traceback (most recent call last):",
            "  File \"/app/main.py\", line 24, in main",
            "    store = OrderStore(os.environ[\"DATABASE_URL\"])",
            "  File \"/usr/lib/python3.11/os.py\", line 678, in __getitem__",
            "    raise KeyError(key) from None",
            "KeyError: 'DATABASE_URL'",
        ]);
        let reading = read_any(&python).unwrap();
        assert_eq!(
            (reading.subject, reading.what),
            (Subject::MissingEnv, Some("DATABASE_URL"))
        );
        let go = lines(&[
            "panic: runtime error: invalid memory address or nil pointer dereference",
            "[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x6b1f2a]",
            "",
            "goroutine 1 [running]:",
            "main.(*OrderStore).Load(0x0, 0x1267)",
            "\t/src/orders/store.go:52 +0x2a",
            "exit status 2",
        ]);
        assert!(
            last_error(&go)
                .unwrap()
                .0
                .text
                .starts_with("panic: runtime error")
        );
    }

    #[test]
    fn a_dictionary_key_is_not_an_environment_variable() {
        assert!(read_any(&lines(&["    value = row['id']", "KeyError: 'id'"])).is_none());
    }

    const CASES: &[(&str, Subject, Option<&str>)] = &[
        (
            "2026-11-25T10:00:00Z FATAL config: environment variable DATABASE_URL is required but not set",
            Subject::MissingEnv,
            Some("DATABASE_URL"),
        ),
        (
            "Error: missing required environment variable: API_BASE",
            Subject::MissingEnv,
            Some("API_BASE"),
        ),
        (
            "required key SERVICE_REGION missing value",
            Subject::MissingEnv,
            Some("SERVICE_REGION"),
        ),
        (
            "/entrypoint.sh: line 3: DB_HOST: unbound variable",
            Subject::MissingEnv,
            Some("DB_HOST"),
        ),
        (
            "sh: DB_HOST: parameter not set",
            Subject::MissingEnv,
            Some("DB_HOST"),
        ),
        (
            "DATABASE_URL must be set",
            Subject::MissingEnv,
            Some("DATABASE_URL"),
        ),
        (
            "env var \"REDIS_URL\" is not defined",
            Subject::MissingEnv,
            Some("REDIS_URL"),
        ),
        (
            "thread 'main' panicked at src/main.rs:9:41: DATABASE_URL not set: NotPresent",
            Subject::MissingEnv,
            Some("DATABASE_URL"),
        ),
        (
            "FATAL config: key \"pool_size\": invalid value \"ten\": expected an integer",
            Subject::BadValue,
            Some("pool_size"),
        ),
        (
            "invalid value \"abc\" for LISTEN_TIMEOUT",
            Subject::BadValue,
            Some("LISTEN_TIMEOUT"),
        ),
        (
            "Error: invalid configuration value for 'cache.size': -1",
            Subject::BadValue,
            Some("cache.size"),
        ),
        (
            "cannot parse PORT: strconv.Atoi: parsing \"80a\": invalid syntax",
            Subject::BadValue,
            Some("PORT"),
        ),
        (
            "Failed to bind properties under 'server.port' to java.lang.Integer:",
            Subject::BadValue,
            Some("server.port"),
        ),
        (
            "json: cannot unmarshal string into Go struct field Config.port of type int",
            Subject::BadValue,
            Some("Config.port"),
        ),
        (
            "FATAL:  invalid value for parameter \"max_connections\": \"many\"",
            Subject::BadValue,
            Some("max_connections"),
        ),
        (
            "nginx: [emerg] unknown directive \"proxy_pas\" in /etc/nginx/nginx.conf:12",
            Subject::BadConfigFile,
            Some("proxy_pas"),
        ),
        (
            "FATAL:  unrecognized configuration parameter \"shared_bufers\"",
            Subject::UnknownOption,
            Some("shared_bufers"),
        ),
        (
            "[ERROR] [MY-000067] [Server] unknown variable 'innodb_bufer=1'.",
            Subject::UnknownOption,
            Some("innodb_bufer=1"),
        ),
        (
            "Error: unknown flag: --prot",
            Subject::UnknownOption,
            Some("--prot"),
        ),
        (
            "flag provided but not defined: -verbos",
            Subject::UnknownOption,
            Some("-verbos"),
        ),
        (
            "*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***",
            Subject::BadConfigFile,
            None,
        ),
        (
            "yaml: line 4: mapping values are not allowed in this context",
            Subject::BadConfigFile,
            None,
        ),
        (
            "failed to parse config file /etc/app/app.yaml: expected key=value",
            Subject::BadConfigFile,
            Some("/etc/app/app.yaml"),
        ),
        (
            "java.lang.OutOfMemoryError: Java heap space",
            Subject::HeapFull,
            None,
        ),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            Subject::HeapFull,
            None,
        ),
        (
            "dial tcp 10.0.0.7:5432: connect: connection refused",
            Subject::Refused,
            Some("10.0.0.7:5432"),
        ),
        (
            "Error: connect ECONNREFUSED 10.0.0.7:6379",
            Subject::Refused,
            Some("10.0.0.7:6379"),
        ),
        (
            "connection to server at \"db\" (10.0.0.7), port 5432 failed: Connection refused",
            Subject::Refused,
            Some("db"),
        ),
        (
            "Caused by: java.sql.SQLException: connection refused: db.orders.svc:5432",
            Subject::Refused,
            Some("db.orders.svc:5432"),
        ),
        (
            "curl: (6) Could not resolve host: api.example.com",
            Subject::Unresolved,
            Some("api.example.com"),
        ),
        (
            "dial tcp: lookup db.shop.svc on 10.96.0.10:53: no such host",
            Subject::Unresolved,
            Some("db.shop.svc"),
        ),
        (
            "Error: getaddrinfo ENOTFOUND redis",
            Subject::Unresolved,
            Some("redis"),
        ),
        (
            "java.net.UnknownHostException: kafka: Name or service not known",
            Subject::Unresolved,
            Some("kafka"),
        ),
        (
            "psycopg2.OperationalError: could not translate host name \"db\" to address: Name or service not known",
            Subject::Unresolved,
            Some("db"),
        ),
        (
            "dial tcp 10.0.0.7:443: i/o timeout",
            Subject::TimedOut,
            Some("10.0.0.7:443"),
        ),
        (
            "read tcp 10.1.0.4:41234->10.0.0.7:5432: read: connection reset by peer",
            Subject::Reset,
            None,
        ),
        (
            "FATAL:  password authentication failed for user \"orders\"",
            Subject::LoginFailed,
            Some("orders"),
        ),
        (
            "Access denied for user 'app'@'10.1.0.3' (using password: YES)",
            Subject::LoginFailed,
            Some("app"),
        ),
        (
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
            Subject::Certificate,
            None,
        ),
        (
            "listen tcp :8080: bind: address already in use",
            Subject::PortInUse,
            Some("8080"),
        ),
        (
            "Error: listen EADDRINUSE: address already in use :::3000",
            Subject::PortInUse,
            Some("3000"),
        ),
        (
            "write /data/wal: no space left on device",
            Subject::DiskFull,
            None,
        ),
        (
            "open /var/run/app.pid: read-only file system",
            Subject::ReadOnly,
            Some("/var/run/app.pid"),
        ),
        (
            "open /etc/app/tls.key: permission denied",
            Subject::Denied,
            Some("/etc/app/tls.key"),
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/data/cache'",
            Subject::Denied,
            Some("/data/cache"),
        ),
        (
            "mkdir: cannot create directory '/data/x': Permission denied",
            Subject::Denied,
            Some("/data/x"),
        ),
        (
            "open /etc/app/app.yaml: no such file or directory",
            Subject::FileMissing,
            Some("/etc/app/app.yaml"),
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/config/app.ini'",
            Subject::FileMissing,
            Some("/config/app.ini"),
        ),
        (
            "config: cannot read /etc/app.conf: No such file or directory (os error 2)",
            Subject::FileMissing,
            Some("/etc/app.conf"),
        ),
        (
            "Error: Cannot find module './routes'",
            Subject::ModuleMissing,
            Some("./routes"),
        ),
        (
            "ModuleNotFoundError: No module named 'flask'",
            Subject::ModuleMissing,
            Some("flask"),
        ),
        (
            "Error: Could not find or load main class com.example.Main",
            Subject::ModuleMissing,
            Some("com.example.Main"),
        ),
        (
            "accept tcp [::]:8080: accept4: too many open files",
            Subject::TooManyFiles,
            None,
        ),
        (
            "exec /app/server: exec format error",
            Subject::WrongArchitecture,
            Some("/app/server"),
        ),
        (
            "Migration V7__add_index.sql failed",
            Subject::Migration,
            Some("V7__add_index.sql"),
        ),
        (
            "ERROR: relation \"orders\" does not exist (SQLSTATE 42P01)",
            Subject::Migration,
            Some("orders"),
        ),
        ("license has expired on 2026-01-01", Subject::Licence, None),
        (
            "pods is forbidden: User \"system:serviceaccount:shop:web\" cannot list resource \"pods\" in API group \"\"",
            Subject::Forbidden,
            Some("system:serviceaccount:shop:web"),
        ),
    ];
}
