use std::time::{Duration, SystemTime};

use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::{FailureClass, ObjectRef};
use svc_enricher::config::EvidenceSettings;
use svc_enricher::{CollectError, Collector, QueryError};

use crate::cluster::{Sandbox, detected, is_in_phase, pod, root_owner};
use crate::reading::{ids, note};

pub(crate) fn collector(client: kube::Client, deadline: Duration) -> Collector {
    let settings = EvidenceSettings {
        deadline,
        ..EvidenceSettings::default()
    };
    Collector::new(client, None, settings, DigestKey::from_bytes(&[7; 32]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_a_note_that_says_so() {
    let sandbox = Sandbox::new().await;
    let root = sandbox
        .create(&pod("brief", &["exit", "--code", "3"]))
        .await;
    sandbox
        .await_pod("its end", |pod| is_in_phase(pod, "Failed"))
        .await;
    let client = sandbox.restricted(&[("", "pods", "get")]).await;
    let collector = collector(client, Duration::from_secs(10));
    let detected = detected(&root, &[&root], FailureClass::Failed);
    let evidence = collector
        .collect(&detected, SystemTime::UNIX_EPOCH)
        .await
        .unwrap();
    assert!(ids(&evidence).contains(&"object/Pod/brief"));
    for source in ["note/events", "note/nodes", "note/log/brief/app/current"] {
        assert!(note(&evidence, source).contains("not allowed"), "{source}");
    }
    sandbox.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_is_an_error_and_not_empty_evidence() {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    let detected = detected(&root_owner(), &[], FailureClass::Failed);
    let collector = collector(client, Duration::from_secs(10));
    let error = collector
        .collect(&detected, SystemTime::UNIX_EPOCH)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CollectError::Kubernetes(QueryError::Unavailable { .. })
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_never_answers_is_given_up_at_the_deadline() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let root = ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: "p".into(),
        ..ObjectRef::default()
    };
    let detected = detected(&root, &[], FailureClass::Failed);
    let collector = collector(client, Duration::from_millis(200));
    let error = collector
        .collect(&detected, SystemTime::UNIX_EPOCH)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("before the deadline"), "{error}");
}
