//! What runtimes, servers and libraries write before they die. Data; [`super::reading`] reads it.
//!
//! The first pattern that fits a line wins, so the special stands before the general. The group
//! `what` names the key, host, path or port.

use super::reading::Subject;

pub(crate) const PATTERNS: &[(Subject, &str)] = &[
    // A variable is missing. Names are in capitals unless the line says that it is a variable.
    (
        Subject::MissingEnv,
        r#"(?i)missing (?:required )?env(?:ironment)?(?: variables?| vars?)?[: ]+["'`]?(?-i:(?P<what>[A-Za-z_][A-Za-z0-9_]*))"#,
    ),
    (
        Subject::MissingEnv,
        r#"(?i)\benv(?:ironment)?(?: variable| var)?:? ["'`]?(?P<what>[A-Za-z_][A-Za-z0-9_]*)["'`]? (?:is |was )?(?:required|missing|not set|not defined|undefined|unset|must be set|not found|empty)"#,
    ),
    (
        Subject::MissingEnv,
        r"(?i)required key (?-i:(?P<what>[A-Z][A-Z0-9_]+)) missing value",
    ),
    (
        Subject::MissingEnv,
        r"\b(?P<what>[A-Za-z_][A-Za-z0-9_]*): (?:unbound variable|parameter (?:null or )?not set)",
    ),
    (
        Subject::MissingEnv,
        r#"["'`]?\b(?P<what>[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b["'`]? (?i:(?:is |was |env(?:ironment)? variable )*(?:required|missing|not set|not defined|undefined|unset|must be set|must be defined|cannot be empty))"#,
    ),
    (
        Subject::MissingEnv,
        r#"(?i)(?:please set|must set|you need to set|need to specify) (?:the )?(?:env(?:ironment)? var(?:iable)? )?["'`$]*(?-i:(?P<what>[A-Z][A-Z0-9]*_[A-Z0-9_]+))"#,
    ),
    (
        Subject::MissingEnv,
        r"(?i)\bNotPresent\b|environment variable not found",
    ),
    // Configuration files.
    (
        Subject::BadConfigFile,
        r#"\[emerg\] .*?(?:unknown directive|invalid number of arguments in|directive) "(?P<what>[^"]+)""#,
    ),
    (Subject::BadConfigFile, r"FATAL CONFIG FILE ERROR"),
    (
        Subject::BadConfigFile,
        r#"(?i)(?:failed|unable|could not|cannot|error)(?: to)? (?:parse|parsing|load|loading|decode|decoding|read) (?:the )?(?:config(?:uration)?|settings)(?: file)?:? ["'`]?(?P<what>/[^\s"'`:,]+)?[^\n]*(?:pars|syntax|expected|unexpected|invalid|yaml|toml|json|unmarshal)"#,
    ),
    (
        Subject::BadConfigFile,
        r"(?i)^(?:.*\b)?(?:yaml|toml)(?:\.parser\.ParserError|\.scanner\.ScannerError)?: (?:line \d+|unmarshal errors|while (?:parsing|scanning))",
    ),
    (
        Subject::BadConfigFile,
        r#"(?i)configuration file ["'`]?(?P<what>/[^\s"'`]+)["'`]? contains errors"#,
    ),
    // Options that nobody knows.
    (
        Subject::UnknownOption,
        r#"(?i)(?:unrecognized|unknown) (?:configuration )?(?:parameter|variable|config key|setting|property) ["'`](?P<what>[^"'`]+)["'`]"#,
    ),
    (
        Subject::UnknownOption,
        r#"(?i)(?:unknown (?:flag|option|shorthand flag|command)|unrecognized (?:option|arguments?)|flag provided but not defined|no such option|unexpected argument|invalid option):?(?: -- )? ?["'`]?(?P<what>-{0,2}[A-Za-z][\w.-]*)"#,
    ),
    // A value that is not one.
    (
        Subject::BadValue,
        r#"(?i)\b(?:config(?:uration)?|setting|option|key|parameter|property|field|flag|variable):? ["'`](?P<what>[\w.\-/]+)["'`]:? (?:has |is |: )*(?:an? )?(?:invalid|bad|illegal|malformed|unsupported|out of range|not a valid|not valid|must|required|is required|cannot)"#,
    ),
    (
        Subject::BadValue,
        r#"(?i)(?:invalid|bad|illegal|malformed|unsupported|wrong|unexpected) (?:config(?:uration)? )?value(?: ["'`][^"'`]*["'`]| [^\s"'`]+)? (?:for|of|in|at)(?: (?:the )?(?:key|parameter|setting|option|flag|field|property|variable|env(?:ironment)? variable))? ["'`]?(?P<what>[A-Za-z_][\w.\-]*)"#,
    ),
    (
        Subject::BadValue,
        r#"(?i)invalid argument ["'`][^"'`]*["'`] for ["'`](?:-\w, )?--(?P<what>[\w.\-]+)"#,
    ),
    (
        Subject::BadValue,
        r#"(?i)(?:cannot|could not|failed to|unable to|error) (?:parse|parsing|convert|converting|decode)(?: value (?:of|for))? ["'`]?(?P<what>(?-i:[A-Z][A-Z0-9_]{2,})|[a-z]\w*(?:[._]\w+)+)["'`]?\b"#,
    ),
    (
        Subject::BadValue,
        r"(?i)failed to bind properties under '(?P<what>[^']+)'",
    ),
    (
        Subject::BadValue,
        r"cannot unmarshal \S+ into Go struct field (?P<what>\S+)",
    ),
    (
        Subject::BadValue,
        r#"\b(?P<what>[A-Z][A-Z0-9]*_[A-Z0-9_]+|[a-z]\w*(?:[._]\w+)+)\b["'`]?:? (?i:must be (?:one of|a |an |between|greater|less|at least|at most|positive)|is not (?:a )?valid|is invalid|: invalid value)"#,
    ),
    (
        Subject::BadValue,
        r"(?i)\d+ validation errors? for (?P<what>\w*(?:Settings|Config)\w*)",
    ),
    // Memory of a managed runtime.
    (
        Subject::HeapFull,
        r"OutOfMemoryError|heap out of memory|Reached heap limit|Allowed memory size of \d+ bytes exhausted|System\.OutOfMemoryException",
    ),
    // The wrong program for this machine.
    (
        Subject::WrongArchitecture,
        r#"(?:exec ["'`]?(?P<what>/[^\s"'`:]+)["'`]?: )?exec format error"#,
    ),
    // Names and connections.
    (
        Subject::Unresolved,
        r#"(?i)could not resolve host(?:name)?:? ["'`]?(?P<what>[\w.\-]+)"#,
    ),
    (
        Subject::Unresolved,
        r"(?i)lookup (?P<what>[\w.\-]+)(?: on \S+)?: (?:no such host|server misbehaving|i/o timeout|temporary failure)",
    ),
    (
        Subject::Unresolved,
        r"(?:ENOTFOUND|EAI_AGAIN) (?P<what>[\w.\-]+)",
    ),
    (
        Subject::Unresolved,
        r"UnknownHostException: (?P<what>[\w.\-]+)",
    ),
    (
        Subject::Unresolved,
        r#"(?i)(?:could not translate host name|host) ["'`](?P<what>[^"'`]+)["'`] (?:to address|not found)"#,
    ),
    (
        Subject::Unresolved,
        r"(?i)name or service not known|temporary failure in name resolution|nodename nor servname|failed to lookup address|no such host",
    ),
    (
        Subject::Refused,
        r#"connection to server at ["'`](?P<what>[^"'`]+)["'`].*[Cc]onnection refused"#,
    ),
    (
        Subject::Refused,
        r"ECONNREFUSED(?: (?P<what>[\w.:\-\[\]]+:\d+))?",
    ),
    (
        Subject::Refused,
        r"(?:dial|connect)(?: tcp)? (?P<what>[\w.:\-\[\]<>]+:\d+): (?:connect: )?connection refused",
    ),
    (
        Subject::Refused,
        r"(?i)connection refused: (?P<what>[\w.\-\[\]<>]+:\d+)",
    ),
    (
        Subject::Refused,
        r"(?i)connection (?:to (?P<what>[\w.:\-\[\]<>]+) )?(?:was )?refused",
    ),
    (
        Subject::Certificate,
        r"(?i)x509:|certificate (?:has expired|verify failed|is not yet valid|signed by unknown)|CERTIFICATE_VERIFY_FAILED|PKIX path building failed|self[- ]signed certificate|SSLHandshakeException|tls: handshake failure",
    ),
    (
        Subject::TimedOut,
        r"(?:dial|connect)(?: tcp)? (?P<what>[\w.:\-\[\]<>]+:\d+): (?:i/o timeout|connect: connection timed out)",
    ),
    (
        Subject::TimedOut,
        r"(?i)\bETIMEDOUT\b|connect(?:ion)? timed out|connection attempt timed out|SocketTimeoutException",
    ),
    (
        Subject::Reset,
        r"(?i)connection reset by peer|\bECONNRESET\b|broken pipe",
    ),
    (
        Subject::LoginFailed,
        r#"(?i)(?:password|ident|peer) authentication failed for user ["'`](?P<what>[^"'`]+)["'`]"#,
    ),
    (
        Subject::LoginFailed,
        r"(?i)access denied for user '(?P<what>[^']+)'",
    ),
    (
        Subject::LoginFailed,
        r"(?i)\bWRONGPASS\b|\bNOAUTH\b|ACCESS_REFUSED|authentication failed|SASL authentication failed|invalid (?:username or password|credentials)|login failed",
    ),
    (
        Subject::PortInUse,
        r"(?i)listen(?: tcp\d?)? [^\s:]*:(?P<what>\d+): bind: address already in use",
    ),
    (
        Subject::PortInUse,
        r"(?i)(?:EADDRINUSE|address already in use|port (?P<p>\d+) (?:is )?already in use)(?:[^\n]*?:(?P<what>\d{2,5})\b)?",
    ),
    // Kubernetes' own access control.
    (
        Subject::Forbidden,
        r#"(?i)is forbidden: User ["'`](?P<what>[^"'`]+)["'`] cannot"#,
    ),
    // Files and disks.
    (
        Subject::DiskFull,
        r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded|disk full",
    ),
    (
        Subject::ReadOnly,
        r#"(?i)(?:["'`]?(?P<what>/[^\s"'`:]+)["'`]?: )?read-only file ?system|\bEROFS\b"#,
    ),
    (
        Subject::Denied,
        r#"(?i)permission denied: ["'`](?P<what>/[^"'`]+)["'`]"#,
    ),
    (
        Subject::Denied,
        r#"(?i)["'`]?(?P<what>/[^\s"'`:]+)["'`]?: permission denied"#,
    ),
    (
        Subject::Denied,
        r"(?i)permission denied|\bEACCES\b|operation not permitted|AccessDeniedException",
    ),
    (
        Subject::TooManyFiles,
        r"(?i)too many open files|\bEMFILE\b|\bENFILE\b",
    ),
    (
        Subject::ModuleMissing,
        r#"(?i)(?:cannot find module|no module named|cannot find package|class not found:?|could not find or load main class|ClassNotFoundException:|cannot load such file --) ["'`]?(?P<what>[\w./\-@$]+)"#,
    ),
    (
        Subject::ModuleMissing,
        r"(?i)error while loading shared libraries: (?P<what>[^\s:]+)",
    ),
    (
        Subject::FileMissing,
        r#"(?i)no such file or directory(?: \(os error 2\))?[:,]? (?:@ \S+ - |open )?["'`]?(?P<what>/[^\s"'`]+)"#,
    ),
    (
        Subject::FileMissing,
        r#"(?i)["'`]?(?P<what>/[^\s"'`:]+)["'`]?:? (?:file not found|no such file or directory|does not exist)"#,
    ),
    (
        Subject::FileMissing,
        r"FileNotFoundException: (?P<what>\S+)",
    ),
    // Databases and licences.
    (
        Subject::Migration,
        r"(?i)\bmigration(?:s)? (?:of )?(?:(?P<what>[\w.\-]+) )?(?:has )?failed|dirty database version|(?:flyway|liquibase|alembic)\b.*(?:failed|error|exception)",
    ),
    (
        Subject::Migration,
        r#"(?i)(?:relation|table|column) ["'`](?P<what>[^"'`]+)["'`] (?:does not exist|doesn't exist)"#,
    ),
    (
        Subject::Licence,
        r"(?i)licen[cs]e (?:key )?(?:has |is |was )?(?:expired|invalid|missing|not found|required)",
    ),
];
