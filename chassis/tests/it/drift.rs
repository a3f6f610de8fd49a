use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull, stream};
use bonesetter_chassis::bus::{Drift, drift, drift_external, provision, provision_external};
use bonesetter_chassis::topology::{
    BUCKETS, DETECTED, ENRICHED, ENRICHER, PULL_EXPIRES, REDACTOR, STREAMS, consumers,
};

use crate::bed::Bed;
use crate::external;
use crate::runner::nats_client;
use crate::spy::Admin;

fn differs(drift: &[Drift]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for one in drift {
        if let Drift::Differs { what, field, .. } = one {
            found.push((what.as_str(), field.as_str()));
        }
    }
    found
}

fn unknown(drift: &[Drift]) -> Vec<&str> {
    let mut found = Vec::new();
    for one in drift {
        if let Drift::Unknown { what } = one {
            found.push(what.as_str());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_missing_on_a_new_server_and_nothing_after_it_is_provisioned() {
    let bed = Bed::start_bare().await;
    let bus = bed.bus("provisioner").await;
    let found = drift(&bus).await.unwrap();
    let is_missing = |drift: &&Drift| matches!(drift, Drift::Missing { .. });
    let missing = found.iter().filter(is_missing).count();
    let all = STREAMS.len() + consumers().count() + BUCKETS.len();
    assert_eq!((missing, found.len()), (all, all));
    provision(&bus).await.unwrap();
    assert_eq!(drift(&bus).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_added_by_hand_is_named_and_mended() {
    // A user who may do everything, as somebody with the server's configuration could be.
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    let bus = bed.bus("provisioner").await;
    provision(&bus).await.unwrap();
    let js = jetstream::new(admin.spy(&bed).await.client.clone());
    let mut config = js
        .get_stream(DETECTED.name)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_age = Duration::from_hours(1);
    config.allow_rollup = true;
    js.update_stream(config).await.unwrap();
    // Everything that is not said is another default than ours.
    let consumer = pull::Config {
        durable_name: Some(ENRICHER.name.to_owned()),
        filter_subject: ENRICHER.filter(),
        ack_wait: Duration::from_secs(3),
        backoff: vec![Duration::from_secs(3)],
        max_deliver: 3,
        ..pull::Config::default()
    };
    js.create_consumer_on_stream(consumer, DETECTED.name)
        .await
        .unwrap();
    let extra = pull::Config {
        durable_name: Some("spy".to_owned()),
        ..pull::Config::default()
    };
    js.create_consumer_on_stream(extra, ENRICHED.name)
        .await
        .unwrap();
    let pause = format!("$JS.API.CONSUMER.PAUSE.{}.{}", ENRICHED.name, REDACTOR.name);
    let until = r#"{"pause_until":"2100-01-01T00:00:00Z"}"#;
    let paused = js.client().request(pause, until.into()).await.unwrap();
    let paused = String::from_utf8_lossy(&paused.payload);
    assert!(paused.contains(r#""paused":true"#), "{paused}");
    let old = stream::Config {
        name: "BONESETTER_OLD".to_owned(),
        subjects: vec!["old.>".to_owned()],
        ..stream::Config::default()
    };
    js.create_stream(old).await.unwrap();
    // A copy of what nobody but the redactor may read.
    let mirror = stream::Config {
        name: "SPY".to_owned(),
        mirror: Some(stream::Source {
            name: ENRICHED.name.to_owned(),
            ..stream::Source::default()
        }),
        ..stream::Config::default()
    };
    js.create_stream(mirror).await.unwrap();
    let found = drift(&bus).await.unwrap();
    let consumer = "consumer enricher of BONESETTER_DETECTED";
    assert_eq!(
        differs(&found),
        [
            ("stream BONESETTER_DETECTED", "allow_rollup_hdrs"),
            ("stream BONESETTER_DETECTED", "max_age"),
            (consumer, "ack_wait"),
            (consumer, "backoff"),
            (consumer, "max_ack_pending"),
            (consumer, "max_deliver"),
            ("consumer redactor of BONESETTER_ENRICHED", "pause_until"),
        ]
    );
    let not_ours = [
        "consumer spy of BONESETTER_ENRICHED",
        "stream BONESETTER_OLD",
        "stream SPY",
    ];
    assert_eq!(unknown(&found), not_ours);
    // What is not ours is for a person to delete, and what is paused for one to resume.
    let paused = provision(&bus).await.unwrap_err().to_string();
    assert!(paused.contains("consumers redactor: somebody"), "{paused}");
    let left = drift(&bus).await.unwrap();
    assert_eq!(
        differs(&left),
        [("consumer redactor of BONESETTER_ENRICHED", "pause_until")]
    );
    let resume = format!("$JS.API.CONSUMER.PAUSE.{}.{}", ENRICHED.name, REDACTOR.name);
    js.client().request(resume, "".into()).await.unwrap();
    provision(&bus).await.unwrap();
    let found = drift(&bus).await.unwrap();
    assert_eq!(differs(&found), []);
    assert_eq!(unknown(&found), not_ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_the_account_of_external_tools_is_named_and_mended() {
    let admin = Admin::new();
    let bed = external::start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    let bus = bed.bus("provisioner-external").await;
    let tools = external::tools();
    assert_eq!(drift_external(&bus, Some(&tools)).await.unwrap(), []);
    assert_eq!(drift_external(&bus, None).await.unwrap(), []);

    let js = jetstream::new(admin.spy(&bed).await.client.clone());
    js.delete_stream("EXTERNAL_DIAGNOSED_JSON").await.unwrap();
    let copy = js.get_stream("EXTERNAL_DIAGNOSED").await.unwrap();
    let mut config = copy.cached_info().config.clone();
    let mut source = config.sources.take().unwrap().remove(0);
    source.filter_subject = Some("bonesetter.v1.diagnosed.*.shop.>".to_owned());
    config.sources = Some(vec![source]);
    js.update_stream(config).await.unwrap();
    // It sees every namespace now.
    let wide = pull::Config {
        durable_name: Some("carol_shop".to_owned()),
        filter_subject: "bonesetter.v1.diagnosed.>".to_owned(),
        ack_wait: Duration::from_secs(30),
        max_expires: PULL_EXPIRES,
        ..pull::Config::default()
    };
    copy.create_consumer(wide).await.unwrap();
    let extra = pull::Config {
        durable_name: Some("mallory_pay".to_owned()),
        ..pull::Config::default()
    };
    copy.create_consumer(extra).await.unwrap();
    let more = stream::Config {
        name: "MORE".to_owned(),
        subjects: vec!["more.>".to_owned()],
        ..stream::Config::default()
    };
    js.create_stream(more).await.unwrap();

    let found = drift_external(&bus, Some(&tools)).await.unwrap();
    let missing = Drift::Missing {
        what: "copy EXTERNAL_DIAGNOSED_JSON".to_owned(),
    };
    assert!(found.contains(&missing), "{found:?}");
    let consumer = "consumer carol_shop of EXTERNAL_DIAGNOSED";
    let differing = differs(&found);
    for expected in [
        ("copy EXTERNAL_DIAGNOSED", "sources"),
        (consumer, "filter_subject"),
    ] {
        assert!(differing.contains(&expected), "{found:?}");
    }
    assert_eq!(
        unknown(&found),
        [
            "consumer mallory_pay of EXTERNAL_DIAGNOSED",
            "stream MORE of account EXTERNAL"
        ]
    );
    let without_tools = drift_external(&bus, None).await.unwrap();
    assert_eq!(unknown(&without_tools), ["stream MORE of account EXTERNAL"]);

    provision_external(&bus, &tools).await.unwrap();
    let found = drift_external(&bus, Some(&tools)).await.unwrap();
    assert_eq!(differs(&found), []);
    assert_eq!(unknown(&found), ["stream MORE of account EXTERNAL"]);
    assert_eq!(found.len(), 1, "{found:?}");
}

/// `backoff` replaces `ack_wait` and does nothing for a nak: none of ours has one.
#[tokio::test(flavor = "multi_thread")]
async fn no_consumer_of_ours_has_a_backoff_or_several_filters() {
    let bed = Bed::start().await;
    let js = jetstream::new(nats_client(&bed, "provisioner").await);
    for spec in consumers() {
        let consumer: jetstream::consumer::PullConsumer = js
            .get_consumer_from_stream(spec.name, spec.stream.name)
            .await
            .unwrap();
        let config = &consumer.cached_info().config;
        assert!(config.backoff.is_empty(), "{}", spec.name);
        assert_eq!(config.ack_wait, spec.ack_wait, "{}", spec.name);
        assert!(config.filter_subjects.is_empty(), "{}", spec.name);
        assert_eq!(config.filter_subject, spec.filter());
    }
}
