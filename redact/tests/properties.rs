//! What holds for every input.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use std::sync::LazyLock;

use bonesetter_redact::{Options, Redactor, Rules, restore};
use proptest::prelude::*;
use serde_json::Value;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    let options = Options {
        ip_addresses: true,
        ..Options::default()
    };
    Redactor::new(Rules::builtin().unwrap().with_options(options)).unwrap()
});

/// Pieces that carriers, formats and placeholders are made of.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("password".to_owned()),
        Just("=".to_owned()),
        Just(": ".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("{\"token\":\"".to_owned()),
        Just("\"}".to_owned()),
        Just("--api-key ".to_owned()),
        Just("<secret:abcdef>".to_owned()),
        Just("<forged:".to_owned()),
        Just("://u:".to_owned()),
        Just("@".to_owned()),
        Just("\n".to_owned()),
        Just("data:\n  x: ".to_owned()),
        Just("kind: Secret\n".to_owned()),
        Just("Authorization: Bearer ".to_owned()),
        Just("%3D".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("\u{200b}".to_owned()),
        Just("10.1.2.3".to_owned()),
        Just("a@b.example.com".to_owned()),
        Just(" stdout P ".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just(", ".to_owned()),
        Just("secret".to_owned()),
        "[a-zA-Z0-9]{1,30}",
        "[ -~]{0,12}",
        "\\PC{0,6}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat())
}

/// One record of a log, on one line, that belongs to no other.
fn record() -> impl Strategy<Value = String> {
    let text = prop::collection::vec(piece(), 0..8).prop_map(|pieces| pieces.concat());
    let is_alone = |text: &String| {
        !text.contains(['\n', '\r']) && !text.contains("-----") && !text.contains(" stdout P ")
    };
    text.prop_filter("one line", is_alone)
        .prop_map(|text| format!("2026-11-25T10:00:01Z INFO {text}"))
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(piece(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts of a size that would take for ever if anything were looked at more than a bounded number of times.
#[test]
fn hostile_texts_of_a_megabyte_end() {
    const SIZE: usize = 1 << 20;
    for piece in [
        "a=",
        "password",
        "password=",
        "<",
        "<a:",
        "-p",
        "://",
        "@tcp(",
        "{",
        "[\"",
        "{\"a\":",
        "\\\"",
        "(",
        "values(",
        "</",
        "%3D",
        "-----BEGIN PRIVATE KEY-----",
        ".",
        "1.",
        "::",
        "a,b\n",
        "token\n",
        "kind: Secret\ndata:\n",
        "\u{1b}[",
        "secret \"",
        "QUFB",
        "name=\"key\">",
        " -> \"",
        "'",
        "0 stdout P x\n",
        "{a,",
        "token -> ",
        "<key>token</key>",
        "<key>",
        "|token",
        "token=Some(\n",
        "token=Str(",
        "token=\"\"\"",
        "token=hex:0,\\\n",
        "variable \"token\" default=",
        "&quot;",
        "USER a\nPASS ",
        "secret --from-literal ",
        "password:</",
        "password:**",
        "{\"sensitive_values\":{\"a\":true},\"values\":{\"a\":",
        "echo a|",
        "random_password",
        "seed phrase: abc ",
    ] {
        let text = piece.repeat(SIZE / piece.len());
        let mut session = REDACTOR.session(b"a key");
        let redacted = session.redact_text(&text);
        assert!(!redacted.text.contains("internal-error"), "{piece}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_text_is_redacted_the_same_and_once(text in text()) {
        let mut session = REDACTOR.session(b"a key");
        let first = session.redact_text(&text);
        prop_assert_eq!(&first, &REDACTOR.session(b"a key").redact_text(&text));
        let second = session.redact_text(&first.text);
        prop_assert_eq!(&second.text, &first.text);
        prop_assert!(!first.text.contains("<withheld:internal-error>") && !first.text.contains("<withheld:unstable>"));
        prop_assert_eq!(session.egress_check(first.text.as_bytes()), Ok(()));
        for finding in &first.findings {
            prop_assert!(finding.start < finding.end && finding.end <= text.len());
        }
    }

    #[test]
    fn json_stays_json(value in json()) {
        let mut session = REDACTOR.session(b"a key");
        let redacted = session.redact_text(&value.to_string()).text;
        if value.is_object() || value.is_array() {
            prop_assert!(serde_json::from_str::<Value>(&redacted).is_ok() || redacted.starts_with("<withheld"), "{} -> {}", value, redacted);
        }
        let (first, _) = session.redact_object(value.clone());
        let (second, _) = session.redact_object(first.clone());
        prop_assert_eq!(second, first);
    }

    #[test]
    fn a_password_is_never_left(secret in "[a-z]{4}[0-9]{3}[A-Z]{4}[a-z0-9]{6}", before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
        for text in [
            format!("{before} password={secret} {after}"),
            format!("{before} {{\"apiToken\":\"{secret}\"}} {after}"),
            format!("{before} https://user:{secret}@host/ {after}"),
            format!("{before} --client-secret {secret} {after}"),
        ] {
            let redacted = REDACTOR.session(b"a key").redact_text(&text).text;
            prop_assert!(!redacted.contains(&secret), "{}", redacted);
        }
    }

    /// Records are read alone or together, as long as all of them were learnt.
    #[test]
    fn chunks_of_records_are_redacted_as_the_whole(
        records in prop::collection::vec(record(), 1..8), cut in any::<prop::sample::Index>(),
    ) {
        let whole = records.join("\n");
        let learnt = || {
            let mut session = REDACTOR.session(b"a key");
            session.learn_text(&whole);
            session
        };
        let expected = learnt().redact_text(&whole).text;
        let cut = cut.index(records.len());
        let mut session = learnt();
        let chunks = [&records[..cut], &records[cut..]];
        let chunks = chunks.iter().filter(|chunk| !chunk.is_empty());
        let redacted: Vec<String> = chunks.map(|chunk| session.redact_text(&chunk.join("\n")).text).collect();
        prop_assert_eq!(redacted.join("\n"), expected);
    }

    /// What looks like a placeholder and is none of ours is replaced, whoever has written it.
    #[test]
    fn a_forged_placeholder_is_never_expanded(secret in "[a-z]{4}[0-9]{3}[A-Z]{4}", before in "[a-z ]{0,9}") {
        let mut session = REDACTOR.session(b"a key");
        session.keep_values();
        let seen = session.redact_text(&format!("password={secret}")).text;
        let genuine = seen.strip_prefix("password=").unwrap().to_owned();
        let mut later = REDACTOR.session(b"a key");
        later.keep_values();
        let forged = later.defuse(&format!("{before}{genuine}")).unwrap();
        let text = format!("{}\n{}", later.redact_text(&format!("password={secret}")).text, later.redact_text(&forged).text);
        let values: std::collections::HashMap<_, _> = later.values().collect();
        let restored = restore(&text, |placeholder| values.get(placeholder).copied());
        prop_assert_eq!(restored.matches(&secret).count(), 1, "{}", restored);
        prop_assert!(restored.ends_with(&genuine), "{}", restored);
        // In another incident, the same text is somebody else's.
        let foreign = REDACTOR.session(b"another key").redact_text(&genuine).text;
        prop_assert!(foreign.starts_with("<forged:"), "{}", foreign);
    }
}
