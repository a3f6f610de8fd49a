use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bonesetter_proto::Stage;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Evidence, EvidenceItem, LogChunk, LogLine, Redacted};
use prost::Message as _;
use serde_json::Value;

use crate::bed::{Bed, subject};

const SECRET: &str = "correct-horse-battery-7";
const RULES: &str = "
rules:
- id: own-order-number
  description: order numbers of the shop
  kind: order
  keywords: [ORDER-]
  pattern: '\\b(ORDER-[0-9]{6})\\b'
  examples: ['paid ORDER-123456']
";

fn evidence() -> Evidence {
    let line = LogLine {
        text: format!("ORDER-123456 failed: login with password={SECRET}"),
        ..LogLine::default()
    };
    let chunk = LogChunk {
        lines: vec![line],
        ..LogChunk::default()
    };
    Evidence {
        items: vec![EvidenceItem {
            id: "log/p/app/previous".into(),
            content: Some(Content::Log(chunk)),
        }],
        ..Evidence::default()
    }
}

fn replay(bed: &Bed, dir: &Path, rules: &str, incident: &str) -> Output {
    std::fs::write(dir.join("rules.yaml"), rules).unwrap();
    let keys = &bed.bus.keys;
    let config = serde_json::json!({
        "cluster": "test",
        "nats": bed.bus.server.settings(keys, "svc-redactor").unwrap(),
        "keys": {"evidence_file": keys.evidence(), "digest_file": keys.digest()},
    });
    std::fs::write(dir.join("config.yaml"), config.to_string()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_svc-redactor"))
        .arg("replay")
        .args(["--rules".as_ref(), dir.join("rules.yaml").as_os_str()])
        .args(["--config".as_ref(), dir.join("config.yaml").as_os_str()])
        .arg("--nkey-file")
        .arg(keys.nkey_seed("svc-redactor-replay"))
        .arg(incident)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_evidence_is_redacted_again_with_rules_more_and_nothing_is_published() {
    let bed = Bed::start().await;
    let subject = subject("open");
    bed.publish(&evidence(), &subject, &subject).await;
    let stored = bed.first(Stage::Redacted).await;
    assert!(String::from_utf8_lossy(&stored.payload).contains("ORDER-123456"));
    let dir = tempfile::tempdir().unwrap();
    let id = subject.incident.as_str();
    let output = replay(&bed, dir.path(), RULES, id);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let line: Value = serde_json::from_str(printed.trim()).unwrap();
    assert_eq!(line["subject"], subject.to_string());
    let bytes = STANDARD.decode(line["redacted"].as_str().unwrap()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for hidden in [SECRET, "ORDER-123456"] {
        assert!(!text.contains(hidden) && !said.contains(hidden), "{text}");
    }
    assert!(text.contains("<order:"), "{text}");
    let again = Redacted::decode(bytes.as_slice()).unwrap();
    assert!(
        again
            .removals
            .iter()
            .any(|it| it.rule == "own-order-number")
    );
    assert_eq!(again.envelope, None);
    // The same value has the same placeholder as in the message on record.
    let before = Redacted::decode(stored.payload).unwrap();
    let placeholder = |message: &Redacted| {
        let text = format!("{message:?}");
        text.split("password=<")
            .nth(1)
            .map(|rest| rest[..14].to_owned())
    };
    assert_eq!(placeholder(&before), placeholder(&again));
    assert_eq!(bed.count(Stage::Redacted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_used_and_evidence_that_is_gone_are_said_to_be() {
    let bed = Bed::start().await;
    let dir = tempfile::tempdir().unwrap();
    let taken = RULES.replace("own-order-number", "github-token");
    for (rules, expected) in [
        (RULES, "it is kept for two days"),
        (
            taken.as_str(),
            "rule github-token: another rule has the same id",
        ),
        ("rules: 7", "cannot parse the redaction rules"),
    ] {
        let output = replay(&bed, dir.path(), rules, &"b".repeat(26));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains(expected) && output.stdout.is_empty(),
            "{said}"
        );
    }
}
