use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bonesetter_proto::Stage;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{Redacted, SecurityEvent, SecurityEventKind};
use prost::Message as _;

use crate::bed::{Bed, log, subject};

const SECRET: &str = "correct-horse-battery-7";
const MAIL: &str = "ada.l@example.com";

fn restore(bed: &Bed, dir: &Path, more: &[&str], incident: &str, text: &str) -> Output {
    let keys = &bed.bus.keys;
    let config = serde_json::json!({
        "cluster": "test",
        "nats": bed.bus.server.settings(keys, "svc-redactor").unwrap(),
        "keys": {
            "evidence_file": keys.evidence(),
            "digest_file": keys.digest(),
            "signing_file": keys.signing(bonesetter_proto::Writer::Redactor),
        },
    });
    std::fs::write(dir.join("config.yaml"), config.to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_svc-redactor"))
        .arg("restore")
        .args(["--config".as_ref(), dir.join("config.yaml").as_os_str()])
        .args(["--reader", "ada", "--reason", "who is locked out"])
        .args(more)
        .arg(incident)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

/// The lines of the one log of the first redacted message.
async fn lines(bed: &Bed) -> Vec<String> {
    let stored = bed.first(Stage::Redacted).await;
    let message = Redacted::decode(stored.payload).unwrap();
    let evidence = message.evidence.unwrap();
    let Some(Content::Log(log)) = &evidence.items[0].content else {
        panic!("no log in {evidence:?}");
    };
    log.lines.iter().map(|line| line.text.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_for_a_reader_who_is_on_record() {
    let bed = Bed::start().await;
    let open = subject("open");
    let raw = [
        format!("login of {MAIL} with password={SECRET} failed"),
        "said <email:abcdef> himself".to_owned(),
    ];
    let raw: Vec<&str> = raw.iter().map(String::as_str).collect();
    bed.publish(&log("log/p/app/current", &raw), &open, &open)
        .await;
    let lines = lines(&bed).await;
    assert!(lines[1].starts_with("said <forged:"), "{lines:?}");
    let dir = tempfile::tempdir().unwrap();
    let text = lines.join("\n");
    let id = open.incident.as_str();

    let output = restore(&bed, dir.path(), &[], id, &text);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(&format!("login of {MAIL} with password=<secret:")));
    assert!(printed.contains("said <forged:"), "{printed}");
    let event: SecurityEvent = bed.believed(&bed.first(Stage::Security).await);
    assert_eq!(event.kind(), SecurityEventKind::Restored);
    assert_eq!(
        (event.reader.as_str(), event.reason.as_str()),
        ("ada", "who is locked out")
    );
    let kinds: Vec<_> = event
        .findings
        .iter()
        .map(|it| (it.kind.as_str(), it.count))
        .collect();
    assert_eq!(kinds, [("email", 1)]);

    let output = restore(&bed, dir.path(), &["--secrets"], id, &text);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with(raw[0]), "{printed}");
    assert_eq!(bed.count(Stage::Security).await, 2);
    assert_eq!(bed.count(Stage::Redacted).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restored_once_the_evidence_is_gone() {
    let bed = Bed::start().await;
    let dir = tempfile::tempdir().unwrap();
    let output = restore(&bed, dir.path(), &[], &"b".repeat(26), "<email:abcdef>");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("it is kept for two days"), "{said}");
    assert!(output.stdout.is_empty());
    assert_eq!(bed.count(Stage::Security).await, 0);
}
