use std::time::{Duration, SystemTime};

use bonesetter_chassis::http::{self, HttpOptions};
use bonesetter_proto::v1::{FailureClass, ObjectRef};
use bonesetter_testbed::State;
use serde_json::json;
use svc_enricher::Loki;
use svc_enricher::config::LokiSettings;

use crate::cluster::{Sandbox, detected};
use crate::reading::{ids, log, note};

fn now() -> SystemTime {
    bonesetter_chassis::clock::Clock::system().now()
}

/// Gives lines to Loki, as an agent on a node does.
async fn push(url: &str, pod: &ObjectRef, lines: &[(Duration, &str)]) {
    let client = http::client(&HttpOptions::default()).unwrap();
    let values: Vec<_> = lines
        .iter()
        .map(|(ago, line)| {
            let at = (now() - *ago)
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap();
            json!([at.as_nanos().to_string(), line])
        })
        .collect();
    let labels = json!({"namespace": pod.namespace, "pod": pod.name, "container": "app"});
    let body = json!({"streams": [{"stream": labels, "values": values}]});
    let answer = client
        .post(format!("{url}/loki/api/v1/push"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
}

fn gone_pod(namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: namespace.into(),
        name: "gone".into(),
        uid: "c6a1d0de-0000-0000-0000-000000000000".into(),
    }
}

fn loki(url: &str, settings: LokiSettings) -> Option<Loki> {
    let settings = LokiSettings {
        url: Some(url.to_owned()),
        ..settings
    };
    Loki::new(&settings, "test").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn loki_has_the_last_words_of_a_pod_that_is_gone() {
    let sandbox = Sandbox::new().await;
    let url = State::load().unwrap().loki_url().unwrap().to_owned();
    let pod = gone_pod(&sandbox.namespace);
    let seconds = Duration::from_secs;
    let lines = [
        (seconds(7200), "too long ago"),
        (seconds(20), "starting"),
        (seconds(10), "panic: \"quoted\" {x}"),
    ];
    push(&url, &pod, &lines).await;
    let collector = sandbox.collector(loki(&url, LokiSettings::default()));
    let detected = detected(&pod, &[&pod], FailureClass::Failed);
    let evidence = collector.collect(&detected, now()).await.unwrap();
    let chunk = log(&evidence, "loki/gone/app");
    let texts: Vec<_> = chunk.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["starting", "panic: \"quoted\" {x}"]);
    assert!(
        evidence
            .queries
            .iter()
            .any(|query| query.tool == "loki.query_range")
    );
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_is_away_or_refuses_is_a_note() {
    let sandbox = Sandbox::new().await;
    let url = State::load().unwrap().loki_url().unwrap().to_owned();
    let pod = gone_pod(&sandbox.namespace);
    let detected = detected(&pod, &[&pod], FailureClass::Failed);
    let elsewhere = format!("{url}/nowhere");
    for (url, reason) in [
        ("http://127.0.0.1:9", "cannot reach Loki"),
        (&elsewhere, "Loki answered 404"),
    ] {
        let collector = sandbox.collector(loki(url, LokiSettings::default()));
        let evidence = collector.collect(&detected, now()).await.unwrap();
        assert!(
            note(&evidence, "note/loki").contains(reason),
            "{:?}",
            ids(&evidence)
        );
    }
    sandbox.remove().await;
}
