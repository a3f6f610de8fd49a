//! Queries to Loki, built from labels. Nothing that comes from a cluster can end the string that it
//! is written into.

/// The label names under which Loki knows a container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct LabelNames {
    /// Of the namespace.
    pub namespace: String,
    /// Of the pod's name.
    pub pod: String,
    /// Of the container's name.
    pub container: String,
    /// Of the cluster's name; empty where one Loki serves one cluster.
    pub cluster: String,
}

impl Default for LabelNames {
    fn default() -> Self {
        Self {
            namespace: "namespace".to_owned(),
            pod: "pod".to_owned(),
            container: "container".to_owned(),
            cluster: String::new(),
        }
    }
}

/// Whether Loki accepts this as the name of a label (`[a-zA-Z_][a-zA-Z0-9_]*`).
pub(crate) fn is_label_name(name: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_start)
        && name
            .bytes()
            .all(|byte| is_start(byte) || byte.is_ascii_digit())
}

/// The stream selector of every container of one pod.
pub(crate) fn selector(names: &LabelNames, cluster: &str, namespace: &str, pod: &str) -> String {
    let mut matchers = Vec::new();
    if !names.cluster.is_empty() {
        matchers.push(format!("{}={}", names.cluster, quote(cluster)));
    }
    matchers.push(format!("{}={}", names.namespace, quote(namespace)));
    matchers.push(format!("{}={}", names.pod, quote(pod)));
    format!("{{{}}}", matchers.join(","))
}

/// A string literal: double-quoted, with the escapes of a Go string literal.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {
                quoted.push_str("\\u");
                quoted.extend([12, 8, 4, 0].map(|shift| hex_digit(u32::from(control) >> shift)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn hex_digit(bits: u32) -> char {
    char::from_digit(bits & 0xF, 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_name_the_pod() {
        let names = LabelNames::default();
        assert_eq!(
            selector(&names, "c", "shop", "api-1"),
            r#"{namespace="shop",pod="api-1"}"#
        );
        let names = LabelNames {
            cluster: "k8s_cluster".to_owned(),
            pod: "pod_name".to_owned(),
            ..LabelNames::default()
        };
        assert_eq!(
            selector(&names, "c", "shop", "api-1"),
            r#"{k8s_cluster="c",namespace="shop",pod_name="api-1"}"#
        );
    }

    #[test]
    fn a_hostile_name_stays_inside_its_string() {
        let cases = [
            (r#"x"} or {a="b"#, r#""x\"} or {a=\"b""#),
            (r"x\", r#""x\\""#),
            ("x\n} |= `y`", r#""x\n} |= `y`""#),
            ("x\u{0}\u{7f}", r#""x\u0000\u007f""#),
        ];
        for (text, expected) in cases {
            assert_eq!(quote(text), expected);
        }
    }

    #[test]
    fn label_names_are_checked() {
        for good in ["a", "_", "k8s_pod_name", "Namespace"] {
            assert!(is_label_name(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "a.b", "a\"", "é"] {
            assert!(!is_label_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_quote_inside_a_string_is_escaped(text in "\\PC*") {
            let quoted = quote(&text);
            let mut escaped = false;
            for character in quoted[1..quoted.len() - 1].chars() {
                prop_assert!(escaped || character != '"');
                escaped = character == '\\' && !escaped;
            }
            prop_assert!(!escaped);
        }
    }
}
