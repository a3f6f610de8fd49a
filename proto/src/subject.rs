//! `bonesetter.v1.<stage>.<cluster>.<namespace>.<kind>.<incident>.<step>`
//!
//! Eight tokens, always. The namespace stands at a fixed place because NATS permissions are
//! positional wildcards that match whole tokens only. Namespaces are RFC 1123 labels and therefore
//! need no escaping: what is not a label is refused, never escaped, so that a hostile claim cannot
//! become another namespace. Everything else is escaped byte by byte; the escape is injective, and
//! its output is valid as a KV key too (`=` is allowed there, `%` is not).

use std::fmt::{self, Write as _};
use std::str::FromStr;

const ROOT: &str = "bonesetter";
const VERSION: &str = "v1";
const TOKENS: usize = 8;
/// A cluster-scoped object has no namespace; `_` is not a legal namespace name.
const NO_NAMESPACE: &str = "_";
const MAX_SUBJECT_BYTES: usize = 512;

/// Why a subject could not be built or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Not eight tokens, or too long.
    #[error(
        "subject {0:?} does not have the eight tokens of bonesetter.v1.<stage>.<cluster>.<namespace>.<kind>.<incident>.<step>"
    )]
    Shape(String),
    /// Another product or another major version.
    #[error("subject {0:?} does not start with bonesetter.v1")]
    Version(String),
    /// A stage that this version does not know.
    #[error("unknown stage {0:?} in a subject")]
    Stage(String),
    /// Not an RFC 1123 label.
    #[error("{0:?} is not a namespace name (an RFC 1123 label of at most 63 characters)")]
    Namespace(String),
    /// Not the form that our incident ids have.
    #[error("{0:?} is not an incident id (26 characters of lower-case base32)")]
    Incident(String),
    /// A token that the escape cannot have produced.
    #[error("token {0:?} of a subject is not validly escaped")]
    Escape(String),
}

/// The stages that publish, in the order in which an incident passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Written by svc-watcher.
    Detected,
    /// Written by svc-enricher; raw, sealed.
    Enriched,
    /// Written by svc-redactor, signed.
    Redacted,
    /// Written by svc-llm, signed.
    Diagnosed,
    /// Written by svc-actuator, signed.
    Acted,
    /// Written by svc-notifier.
    Notified,
    /// Written by svc-audit.
    Audit,
    /// Written by approvers.
    Approval,
    /// Dead letters, written by every stage runner.
    Dlq,
    /// What people decided about dead letters.
    Redrive,
    /// Written by the sweeper of svc-audit.
    Overdue,
    /// Written by `svc-notifier publish`: diagnoses as CloudEvents in JSON, signed.
    DiagnosedJson,
    /// Written by svc-redactor, signed: what happened at the trust boundary.
    Security,
}

impl Stage {
    /// Every stage, in pipeline order.
    pub const ALL: [Self; 13] = [
        Self::Detected,
        Self::Enriched,
        Self::Redacted,
        Self::Diagnosed,
        Self::Acted,
        Self::Notified,
        Self::Audit,
        Self::Approval,
        Self::Dlq,
        Self::Redrive,
        Self::Overdue,
        Self::DiagnosedJson,
        Self::Security,
    ];

    /// The token that stands for the stage in a subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Enriched => "enriched",
            Self::Redacted => "redacted",
            Self::Diagnosed => "diagnosed",
            Self::Acted => "acted",
            Self::Notified => "notified",
            Self::Audit => "audit",
            Self::Approval => "approval",
            Self::Dlq => "dlq",
            Self::Redrive => "redrive",
            Self::Overdue => "overdue",
            Self::DiagnosedJson => "diagnosed-json",
            Self::Security => "security",
        }
    }

    /// The subject filter of everything that the stage publishes.
    pub fn filter(self) -> String {
        format!("{ROOT}.{VERSION}.{}.>", self.as_str())
    }

    /// The subject filter of one step of the stage, over all incidents.
    pub fn step_filter(self, step: &str) -> String {
        format!("{ROOT}.{VERSION}.{}.*.*.*.*.{step}", self.as_str())
    }

    /// The subject filter of everything that the stage publishes about one namespace, in any cluster.
    pub fn namespace_filter(self, namespace: &Namespace) -> String {
        format!("{ROOT}.{VERSION}.{}.*.{namespace}.>", self.as_str())
    }

    /// The subject filter of everything that the stage publishes about one incident.
    pub fn incident_filter(self, incident: &IncidentId) -> String {
        format!("{ROOT}.{VERSION}.{}.*.*.*.{incident}.>", self.as_str())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == text)
            .ok_or_else(|| SubjectError::Stage(text.to_owned()))
    }
}

/// A Kubernetes namespace name: an RFC 1123 label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// Accepts labels only; nothing is escaped or corrected.
    pub fn new(name: impl Into<String>) -> Result<Self, SubjectError> {
        let name = name.into();
        let is_inner =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let bytes = name.as_bytes();
        let is_label = (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| is_inner(*byte))
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-');
        if is_label {
            Ok(Self(name))
        } else {
            Err(SubjectError::Namespace(name))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 26 characters of lower-case base32 (RFC 4648 alphabet, no padding): 130 bits of a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IncidentId(String);

impl IncidentId {
    /// The length of every id, in characters.
    pub const LENGTH: usize = 26;

    /// Accepts the exact form only.
    pub fn new(id: impl Into<String>) -> Result<Self, SubjectError> {
        let id = id.into();
        let is_valid = id.len() == Self::LENGTH
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte));
        if is_valid {
            Ok(Self(id))
        } else {
            Err(SubjectError::Incident(id))
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Who writes it.
    pub stage: Stage,
    /// The cluster's configured name, unescaped.
    pub cluster: String,
    /// `None` for cluster-scoped objects.
    pub namespace: Option<Namespace>,
    /// The kind of the root owner, unescaped.
    pub kind: String,
    /// The incident.
    pub incident: IncidentId,
    /// What makes the subject unique within the incident, unescaped; for dead letters and approvals the writer.
    pub step: String,
}

impl Subject {
    /// The same incident at another stage, under the given step.
    #[must_use]
    pub fn at(&self, stage: Stage, step: impl Into<String>) -> Self {
        Self {
            stage,
            step: step.into(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{ROOT}.{VERSION}.{}.{}.{}.{}.{}.{}",
            self.stage,
            escape(&self.cluster),
            self.namespace
                .as_ref()
                .map_or(NO_NAMESPACE, Namespace::as_str),
            escape(&self.kind),
            self.incident,
            escape(&self.step),
        )
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_SUBJECT_BYTES {
            return Err(SubjectError::Shape(text.chars().take(64).collect()));
        }
        let tokens: Vec<&str> = text.split('.').collect();
        let [
            root,
            version,
            stage,
            cluster,
            namespace,
            kind,
            incident,
            step,
        ] = tokens[..]
        else {
            return Err(SubjectError::Shape(text.to_owned()));
        };
        debug_assert_eq!(tokens.len(), TOKENS);
        if (root, version) != (ROOT, VERSION) {
            return Err(SubjectError::Version(text.to_owned()));
        }
        Ok(Self {
            stage: stage.parse()?,
            cluster: unescape(cluster)?,
            namespace: match namespace {
                NO_NAMESPACE => None,
                name => Some(Namespace::new(name)?),
            },
            kind: unescape(kind)?,
            incident: IncidentId::new(incident)?,
            step: unescape(step)?,
        })
    }
}

/// Escapes one token: `[A-Za-z0-9-]` stays, any other byte becomes `=HH`, the empty string becomes `_`.
pub fn escape(token: &str) -> String {
    if token.is_empty() {
        return "_".to_owned();
    }
    let mut escaped = String::with_capacity(token.len());
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "={byte:02X}");
        }
    }
    escaped
}

/// Reads what [`escape`] wrote and nothing else: of every string there is exactly one escaped form.
pub fn unescape(token: &str) -> Result<String, SubjectError> {
    let invalid = || SubjectError::Escape(token.to_owned());
    if token == "_" {
        return Ok(String::new());
    }
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(invalid)?;
        rest = tail;
        let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| invalid())?);
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    if text.is_empty() || escape(&text) != token {
        return Err(invalid());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(cluster: &str, kind: &str, step: &str) -> Subject {
        Subject {
            stage: Stage::Detected,
            cluster: cluster.to_owned(),
            namespace: Some(Namespace::new("shop").unwrap()),
            kind: kind.to_owned(),
            incident: IncidentId::new("abcdefghijklmnopqrstuvwx23").unwrap(),
            step: step.to_owned(),
        }
    }

    #[test]
    fn a_subject_reads_as_documented() {
        assert_eq!(
            subject("gke_p_z", "Deployment", "open").to_string(),
            "bonesetter.v1.detected.gke=5Fp=5Fz.shop.Deployment.abcdefghijklmnopqrstuvwx23.open"
        );
    }

    #[test]
    fn cluster_scoped_objects_have_a_namespace_that_cannot_be_one() {
        let cluster_scoped = Subject {
            namespace: None,
            ..subject("c", "Node", "open")
        };
        assert!(cluster_scoped.to_string().contains(".c._.Node."));
        assert_eq!(cluster_scoped.to_string().parse(), Ok(cluster_scoped));
    }

    #[test]
    fn what_is_not_a_subject_of_ours_is_refused_with_its_reason() {
        let id = "abcdefghijklmnopqrstuvwx23";
        let cases = [
            ("", "shape"),
            ("bonesetter.v1.detected", "shape"),
            (
                &format!("bonesetter.v1.detected.c.n.K.{id}.open.more"),
                "shape",
            ),
            (
                &format!("bonesetter.v2.detected.c.n.K.{id}.open"),
                "version",
            ),
            (&format!("bonesetter.v1.guessed.c.n.K.{id}.open"), "stage"),
            (
                &format!("bonesetter.v1.detected.c.N.K.{id}.open"),
                "namespace",
            ),
            (
                &format!("bonesetter.v1.detected.c.*.K.{id}.open"),
                "namespace",
            ),
            (
                &format!("bonesetter.v1.detected.c.n.K.{}.open", id.to_uppercase()),
                "incident",
            ),
            (
                &format!("bonesetter.v1.detected.c.n.=4b.{id}.open"),
                "escape",
            ),
            (
                &format!("bonesetter.v1.detected.c.n.=4B.{id}.open"),
                "escape",
            ),
            (&format!("bonesetter.v1.detected.c.n..{id}.open"), "escape"),
        ];
        for (text, expected) in cases {
            let kind = match text.parse::<Subject>() {
                Ok(subject) => format!("accepted as {subject:?}"),
                Err(SubjectError::Shape(_)) => "shape".to_owned(),
                Err(SubjectError::Version(_)) => "version".to_owned(),
                Err(SubjectError::Stage(_)) => "stage".to_owned(),
                Err(SubjectError::Namespace(_)) => "namespace".to_owned(),
                Err(SubjectError::Incident(_)) => "incident".to_owned(),
                Err(SubjectError::Escape(_)) => "escape".to_owned(),
            };
            assert_eq!(kind, expected, "{text}");
        }
    }

    #[test]
    fn namespaces_are_validated_not_escaped() {
        for bad in ["", "-a", "a-", "A", "a.b", "a*", ">", "_", &"a".repeat(64)] {
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
        assert!(Namespace::new("a".repeat(63)).is_ok());
    }

    proptest! {
        #[test]
        fn any_token_survives_and_is_safe(token in "\\PC*") {
            let escaped = escape(&token);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b"-=_".contains(&b)));
            prop_assert_eq!(unescape(&escaped).unwrap(), token);
        }

        #[test]
        fn the_escape_is_injective(a in "[_=.A-F0-9 ]{0,6}", b in "[_=.A-F0-9 ]{0,6}") {
            prop_assert_eq!(escape(&a) == escape(&b), a == b);
        }

        #[test]
        fn any_subject_round_trips(cluster in "\\PC{0,20}", kind in "\\PC{1,20}", step in "[a-z0-9-]{1,12}") {
            let subject = subject(&cluster, &kind, &step);
            prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,80}") {
            let _: Result<Subject, _> = text.parse();
        }
    }
}
