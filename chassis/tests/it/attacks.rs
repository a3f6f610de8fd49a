//! Every way that JetStream and core NATS offer to read, replay or forge what is not one's own, tried
//! against the real server with the generated configuration. Each table ends with the same attempts
//! by somebody who may do everything, who succeeds: a table that could not fail would prove nothing.

use bonesetter_chassis::bus::{StreamReader, provision, provision_external};
use bonesetter_chassis::topology::{
    ACTED, ConsumerSpec, ExternalUser, LLM, PIPELINE_ACCOUNT, REDACTOR, USERS, consumers,
    permissions, user,
};
use bonesetter_proto::Stage;
use bonesetter_testbed::identity;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::bed::{Bed, subject};
use crate::external;
use crate::runner::nats_client;
use crate::spy::{Admin, Spy, Verdict, WAIT};

/// Who has to do with the raw stream: its writer, its readers, and who makes and purges it.
const OF_THE_RAW_STREAM: [&str; 5] = [
    "svc-enricher",
    "svc-redactor",
    "svc-redactor-replay",
    "provisioner",
    KEEPER,
];
/// It may ask how full the raw stream is, and purge it, and see nothing of it.
const KEEPER: &str = "keeper";

/// Everybody else in the account: none of them can name it.
pub(crate) fn behind_the_boundary() -> impl Iterator<Item = &'static str> {
    let users = USERS
        .iter()
        .filter(|user| user.streams() == PIPELINE_ACCOUNT);
    let names = users.map(|user| user.name);
    names.filter(|name| !OF_THE_RAW_STREAM.contains(name))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is called with what `json!` makes on the spot"
)]
fn consumer(stream: &str, config: Value) -> Value {
    json!({ "stream_name": stream, "config": config })
}

/// Requests that would read, copy or destroy a stream; the destructive ones last.
fn requests_about(stream: &str, durable: &str, filter: &str) -> Vec<(String, Value)> {
    let plain = json!({ "ack_policy": "none" });
    let named = |name: &str| json!({ "ack_policy": "none", "name": name });
    let filtered = json!({ "ack_policy": "none", "name": "spy-f", "filter_subject": filter });
    let several = json!({ "ack_policy": "none", "name": "spy-fs", "filter_subjects": [filter] });
    let pushed = json!({ "ack_policy": "none", "name": "spy-p", "deliver_subject": "spy.here" });
    let legacy = json!({ "ack_policy": "none", "durable_name": "spy-l" });
    let later = "2100-01-01T00:00:00Z";
    [
        (format!("CONSUMER.CREATE.{stream}"), consumer(stream, plain)),
        (
            format!("CONSUMER.CREATE.{stream}.spy-n"),
            consumer(stream, named("spy-n")),
        ),
        (
            format!("CONSUMER.CREATE.{stream}.spy-f.{filter}"),
            consumer(stream, filtered),
        ),
        (
            format!("CONSUMER.CREATE.{stream}.spy-fs"),
            consumer(stream, several),
        ),
        (
            format!("CONSUMER.CREATE.{stream}.spy-p"),
            consumer(stream, pushed),
        ),
        (
            format!("CONSUMER.DURABLE.CREATE.{stream}.spy-l"),
            consumer(stream, legacy),
        ),
        (format!("CONSUMER.INFO.{stream}.{durable}"), Value::Null),
        (format!("CONSUMER.NAMES.{stream}"), Value::Null),
        (format!("CONSUMER.LIST.{stream}"), Value::Null),
        (
            format!("CONSUMER.MSG.NEXT.{stream}.{durable}"),
            json!({ "batch": 1, "no_wait": true }),
        ),
        (
            format!("CONSUMER.PAUSE.{stream}.{durable}"),
            json!({ "pause_until": later }),
        ),
        (
            format!("STREAM.INFO.{stream}"),
            json!({ "subjects_filter": ">" }),
        ),
        ("STREAM.NAMES".to_owned(), Value::Null),
        ("STREAM.LIST".to_owned(), Value::Null),
        (format!("STREAM.MSG.GET.{stream}"), json!({ "seq": 1 })),
        (
            format!("STREAM.MSG.GET.{stream}"),
            json!({ "last_by_subj": filter }),
        ),
        (
            "STREAM.CREATE.SPY_MIRROR".to_owned(),
            json!({ "name": "SPY_MIRROR", "storage": "memory", "mirror": { "name": stream } }),
        ),
        (
            "STREAM.CREATE.SPY_SOURCE".to_owned(),
            json!({ "name": "SPY_SOURCE", "storage": "memory", "sources": [{ "name": stream }] }),
        ),
        (
            "STREAM.CREATE.SPY_PLAIN".to_owned(),
            json!({ "name": "SPY_PLAIN", "storage": "memory", "subjects": ["spy.>"] }),
        ),
        (
            "STREAM.UPDATE.SPY_PLAIN".to_owned(),
            json!({ "name": "SPY_PLAIN", "storage": "memory", "sources": [{ "name": stream }] }),
        ),
        (
            format!("STREAM.SNAPSHOT.{stream}"),
            json!({ "deliver_subject": "spy.snapshot" }),
        ),
        (format!("STREAM.MSG.DELETE.{stream}"), json!({ "seq": 1 })),
        (format!("CONSUMER.DELETE.{stream}.{durable}"), Value::Null),
        (format!("STREAM.PURGE.{stream}"), Value::Null),
        (format!("STREAM.DELETE.{stream}"), Value::Null),
    ]
    .map(|(subject, body)| (format!("$JS.API.{subject}"), body))
    .into()
}

const RAW: &str = "bonesetter.v1.enriched.>";

fn raw_requests() -> Vec<(String, Value)> {
    requests_about("BONESETTER_ENRICHED", "redactor", RAW)
}

/// Where raw evidence passes on the wire, or where one could listen to how it is read.
const RAW_SUBJECTS: [&str; 11] = [
    RAW,
    "bonesetter.v1.*.>",
    "bonesetter.>",
    ">",
    "*.>",
    "_INBOX.>",
    "_INBOX_svc-redactor.>",
    "_INBOX_svc-enricher.>",
    "$JS.EVENT.>",
    "$JS.API.>",
    "$JS.ACK.>",
];

async fn with_raw_message() -> (Bed, Admin) {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let enricher = nats_client(&bed, "svc-enricher").await;
    let raw = subject(0, "open").at(Stage::Enriched, "open").to_string();
    enricher.publish(raw, "sealed".into()).await.unwrap();
    enricher.flush().await.unwrap();
    (bed, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_evidence_cannot_be_read_or_replayed_by_any_request() {
    let (bed, admin) = with_raw_message().await;
    for user in behind_the_boundary() {
        let mut spy = Spy::of(&bed, user).await;
        for (subject, body) in raw_requests() {
            let verdict = spy.request(&subject, &body).await;
            assert_eq!(verdict, Verdict::Denied, "{user}: {subject} {body}");
        }
        // The stream does not offer these to anybody.
        for subject in [
            "$JS.API.DIRECT.GET.BONESETTER_ENRICHED",
            "$JS.API.DIRECT.GET.BONESETTER_ENRICHED.bonesetter.v1.enriched.>",
        ] {
            let verdict = spy.request(subject, &json!({ "seq": 1 })).await;
            assert_eq!(verdict, Verdict::Denied, "{user}: {subject}");
        }
    }
    let keepers_own = permissions(user(KEEPER).unwrap()).publish;
    let mut spy = Spy::of(&bed, KEEPER).await;
    let not_its_own = |(subject, _): &(String, Value)| !keepers_own.contains(subject);
    for (subject, body) in raw_requests().into_iter().filter(not_its_own) {
        let verdict = spy.request(&subject, &body).await;
        assert_eq!(verdict, Verdict::Denied, "{KEEPER}: {subject} {body}");
    }
    let mut admin = admin.spy(&bed).await;
    for (subject, body) in raw_requests() {
        assert_eq!(
            admin.request(&subject, &body).await,
            Verdict::Done,
            "{subject} {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_evidence_cannot_be_overheard_or_forged() {
    let (bed, admin) = with_raw_message().await;
    let forged = subject(1, "open").at(Stage::Enriched, "open").to_string();
    for user in behind_the_boundary().chain([KEEPER]) {
        let mut spy = Spy::of(&bed, user).await;
        for subject in RAW_SUBJECTS {
            assert_eq!(
                spy.subscribe(subject).await,
                Verdict::Denied,
                "{user}: {subject}"
            );
        }
        let own = format!("_INBOX_{user}.>");
        assert_eq!(
            spy.subscribe(&own).await,
            Verdict::Done,
            "{user}: its own inbox"
        );
        assert_eq!(
            spy.publish(&forged, None, "x").await,
            Verdict::Denied,
            "{user}"
        );
        let ack = "$JS.ACK.BONESETTER_ENRICHED.redactor.1.1.1.1.0";
        assert_eq!(
            spy.publish(ack, None, "+TERM").await,
            Verdict::Denied,
            "{user}"
        );
    }
    let mut admin = admin.spy(&bed).await;
    for subject in RAW_SUBJECTS {
        assert_eq!(admin.subscribe(subject).await, Verdict::Done, "{subject}");
    }
    assert_eq!(admin.publish(&forged, None, "x").await, Verdict::Done);
}

/// The subject of an ack has two forms, and one of the first form that names somebody else's consumer can have
/// the end of one of the second form that names one's own. `+NXT` in it is a pull.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_pulls_through_the_ack_of_another_consumer() {
    let admin = Admin::new();
    let bed = Bed::start_with(&[], |accounts| admin.joining(&accounts, "BONESETTER")).await;
    provision(&bed.bus("provisioner").await).await.unwrap();
    let mixed = |victim: &ConsumerSpec, own: &ConsumerSpec| {
        let path = |spec: &ConsumerSpec| format!("{}.{}", spec.stream.name, spec.name);
        format!("$JS.ACK.{}.{}.1.1.1", path(victim), path(own))
    };
    for user in USERS {
        let is_own = |spec: &&ConsumerSpec| spec.user == user.name;
        let Some(own) = consumers().find(is_own) else {
            continue;
        };
        let mut spy = Spy::of(&bed, user.name).await;
        for victim in consumers().filter(|spec| !is_own(spec)) {
            let subject = mixed(victim, own);
            let verdict = spy.publish(&subject, None, "+NXT").await;
            assert_eq!(verdict, Verdict::Denied, "{}: {subject}", user.name);
        }
    }
    let enricher = nats_client(&bed, "svc-enricher").await;
    let raw = subject(0, "open").at(Stage::Enriched, "open").to_string();
    enricher.request(raw, "sealed".into()).await.unwrap();
    let admin = admin.spy(&bed).await;
    let subject = mixed(&REDACTOR, &LLM);
    let inbox = admin.client.new_inbox();
    let mut pulled = admin.client.subscribe(inbox.clone()).await.unwrap();
    let sent = admin
        .client
        .publish_with_reply(subject, inbox, "+NXT".into());
    sent.await.unwrap();
    let pulled = tokio::time::timeout(WAIT, pulled.next()).await.unwrap();
    assert_eq!(pulled.unwrap().payload, "sealed", "the attack is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_a_stage_that_is_not_theirs() {
    let bed = Bed::start().await;
    let writers = [
        ("svc-watcher", Some(Stage::Detected)),
        ("svc-enricher", Some(Stage::Enriched)),
        ("svc-redactor", Some(Stage::Redacted)),
        ("svc-llm", Some(Stage::Diagnosed)),
        ("svc-actuator", Some(Stage::Acted)),
        ("svc-notifier", Some(Stage::Notified)),
        ("operator", None),
    ];
    for (user, own) in writers {
        let mut spy = Spy::of(&bed, user).await;
        for stage in [
            Stage::Detected,
            Stage::Enriched,
            Stage::Redacted,
            Stage::Diagnosed,
            Stage::Acted,
            Stage::Notified,
            Stage::Audit,
            Stage::Approval,
        ] {
            let subject = subject(0, "open").at(stage, "open").to_string();
            let expected = if own == Some(stage) {
                Verdict::Done
            } else {
                Verdict::Denied
            };
            assert_eq!(
                spy.publish(&subject, None, "x").await,
                expected,
                "{user}: {subject}"
            );
        }
    }
}

const COPY: &str = "EXTERNAL_DIAGNOSED";

fn filter(namespace: &str) -> String {
    format!("bonesetter.v1.diagnosed.*.{namespace}.>")
}

/// What carol, who is pinned to "shop", tries.
fn attempts_of_carol() -> Vec<(String, Value)> {
    let create = |rest: &str, config: Value| {
        let path = format!("CONSUMER.CREATE.{COPY}{rest}");
        (path, consumer(COPY, config))
    };
    let config = |subject: &str| json!({ "name": "carol_shop", "filter_subject": subject });
    let own = format!(".carol_shop.{}", filter("shop"));
    let mut attempts = vec![
        // Her own consumer, made to deliver wherever she likes.
        create(
            &own,
            json!({ "name": "carol_shop", "filter_subject": filter("shop"),
                "deliver_subject": format!("$JS.API.STREAM.DELETE.{COPY}"), "idle_heartbeat": 1_000_000_000 }),
        ),
        create(&own, config(&filter("pay"))),
        // Another filter.
        create(
            &format!(".carol_shop.{}", filter("pay")),
            config(&filter("pay")),
        ),
        create(
            ".carol_shop.bonesetter.v1.diagnosed.>",
            config("bonesetter.v1.diagnosed.>"),
        ),
        create(".carol_shop", json!({ "name": "carol_shop" })),
        create("", json!({})),
        // Another name.
        create(
            &format!(".carol_pay.{}", filter("pay")),
            json!({ "filter_subject": filter("pay") }),
        ),
        create(
            &format!(".dave_pay.{}", filter("shop")),
            json!({ "filter_subject": filter("shop") }),
        ),
        (
            format!("CONSUMER.DURABLE.CREATE.{COPY}.carol_shop"),
            consumer(COPY, json!({ "durable_name": "carol_shop" })),
        ),
        (format!("CONSUMER.DELETE.{COPY}.carol_shop"), Value::Null),
    ];
    for verb in ["INFO", "MSG.NEXT", "RESET", "DELETE", "PAUSE"] {
        attempts.push((format!("CONSUMER.{verb}.{COPY}.dave_pay"), Value::Null));
    }
    for path in [
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "CONSUMER.LIST.EXTERNAL_DIAGNOSED",
    ] {
        attempts.push((path.to_owned(), Value::Null));
    }
    for verb in [
        "INFO",
        "MSG.GET",
        "MSG.DELETE",
        "SNAPSHOT",
        "UPDATE",
        "PURGE",
        "DELETE",
    ] {
        let body = json!({ "seq": 1, "deliver_subject": "x", "name": COPY });
        attempts.push((format!("STREAM.{verb}.{COPY}"), body));
    }
    for path in [
        format!("DIRECT.GET.{COPY}"),
        format!("DIRECT.GET.{COPY}.{}", filter("shop")),
    ] {
        attempts.push((path, json!({ "seq": 1 })));
    }
    let source = json!({ "name": "SPY", "sources": [{ "name": COPY }] });
    attempts.push(("STREAM.CREATE.SPY".to_owned(), source));
    attempts
        .into_iter()
        .map(|(path, body)| (format!("$JS.API.{path}"), body))
        .collect()
}

/// What carol may do with her consumer.
fn rights_of_carol() -> [(String, Value); 3] {
    [
        ("INFO", Value::Null),
        ("MSG.NEXT", json!({ "batch": 1, "no_wait": true })),
        ("RESET", json!({ "seq": 1 })),
    ]
    .map(|(verb, body)| (format!("$JS.API.CONSUMER.{verb}.{COPY}.carol_shop"), body))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_tool_cannot_leave_its_namespaces() {
    let admin = Admin::new();
    let bed = external::start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    external::diagnose(&bed, &[(0, "shop"), (1, "pay")]).await;
    let mut carol = Spy::of(&bed, "external-carol").await;
    for (subject, body) in attempts_of_carol() {
        let verdict = carol.request(&subject, &body).await;
        assert_eq!(verdict, Verdict::Denied, "{subject} {body}");
    }
    for subject in [
        filter("pay"),
        filter("*"),
        "bonesetter.v1.diagnosed.>".to_owned(),
        "bonesetter.>".to_owned(),
        ">".to_owned(),
        "_INBOX.>".to_owned(),
        "_INBOX_external-dave.>".to_owned(),
        "bonesetter-external.deliver.>".to_owned(),
        "$JS.EVENT.>".to_owned(),
        "$JS.API.>".to_owned(),
    ] {
        assert_eq!(
            carol.subscribe(&subject).await,
            Verdict::Denied,
            "{subject}"
        );
    }
    for (ack, body) in [
        (format!("$JS.ACK.{COPY}.dave_pay.1.1.1.1.0"), "+TERM"),
        (
            format!("$JS.ACK.{COPY}.dave_pay.{COPY}.carol_shop.1.1.1"),
            "+NXT",
        ),
    ] {
        assert_eq!(
            carol.publish(&ack, None, body).await,
            Verdict::Denied,
            "{ack}"
        );
    }

    // What is hers works, and the attempts that were denied are none to who may do everything.
    assert_eq!(carol.subscribe(&filter("shop")).await, Verdict::Done);
    for (subject, body) in rights_of_carol() {
        assert_eq!(
            carol.request(&subject, &body).await,
            Verdict::Done,
            "{subject}"
        );
    }
    let mut admin = admin.spy(&bed).await;
    for (subject, body) in requests_about(COPY, "dave_pay", "bonesetter.v1.diagnosed.>") {
        let verdict = admin.request(&subject, &body).await;
        // Nobody may delete a single message of a copy.
        let possible = [Verdict::Done, Verdict::Refused(10057)];
        assert!(possible.contains(&verdict), "{subject} {body}: {verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_external_account_reaches_nothing_of_the_pipeline() {
    let admin = Admin::new();
    let bed = external::start(|accounts| admin.joining(&accounts, "EXTERNAL")).await;
    external::diagnose(&bed, &[(0, "shop")]).await;
    let mut carol = Spy::of(&bed, "external-carol").await;
    let mut admin = admin.spy(&bed).await;
    // Not by the name of a stream, and not through what the copies are fed by.
    for (subject, body) in raw_requests().into_iter().chain([
        (
            "JS.bonesetter.api.STREAM.INFO.BONESETTER_DIAGNOSED".to_owned(),
            Value::Null,
        ),
        (
            format!("JS.bonesetter.api.CONSUMER.CREATE.BONESETTER_ENRICHED.x.{RAW}"),
            consumer(
                "BONESETTER_ENRICHED",
                json!({ "name": "x", "filter_subject": RAW }),
            ),
        ),
        (
            "JS.bonesetter.api.CONSUMER.CREATE.BONESETTER_DIAGNOSED.x".to_owned(),
            consumer("BONESETTER_DIAGNOSED", json!({ "name": "x" })),
        ),
    ]) {
        assert_eq!(
            carol.request(&subject, &body).await,
            Verdict::Denied,
            "{subject}"
        );
        let names_raw = subject.contains("BONESETTER_") && !subject.contains("STREAM.CREATE");
        if names_raw {
            let verdict = admin.request(&subject, &body).await;
            let nothing = [Verdict::Nobody, Verdict::Refused(10059)];
            assert!(nothing.contains(&verdict), "{subject}: {verdict:?}");
        }
    }
    let used_by_copies = format!(
        "JS.bonesetter.api.CONSUMER.CREATE.BONESETTER_DIAGNOSED.x.{}",
        "bonesetter.v1.diagnosed.>"
    );
    assert_eq!(
        carol.request(&used_by_copies, &Value::Null).await,
        Verdict::Denied
    );

    // Neither a publish nor a reply subject, which the server does not check, comes across.
    let decision = subject(0, "intended")
        .at(Stage::Acted, "intended")
        .to_string();
    assert_eq!(carol.publish(&decision, None, "x").await, Verdict::Denied);
    assert_eq!(admin.publish(&decision, None, "x").await, Verdict::Done);
    for (request, body) in rights_of_carol() {
        let verdict = carol
            .publish(&request, Some(&decision), body.to_string())
            .await;
        assert_eq!(verdict, Verdict::Done, "the request itself is hers");
    }
    let operator = bed.bus("operator").await;
    let acted = StreamReader::new(operator, ACTED.name);
    assert_eq!(acted.all("bonesetter.v1.acted.>").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_taken_away_cannot_be_read_through_what_was_made_before() {
    let bed = external::start(|accounts| accounts).await;
    let mut carol = Spy::of(&bed, "external-carol").await;
    for (subject, body) in rights_of_carol() {
        assert_eq!(carol.request(&subject, &body).await, Verdict::Done);
    }
    assert_eq!(carol.subscribe(&filter("shop")).await, Verdict::Done);

    let moved = [ExternalUser::new("carol", ["pay"]).unwrap()];
    let accounts = identity::authorization_with(bed.dir(), &moved).unwrap();
    let state = bed.nats.state();
    bonesetter_testbed::nats::reload(&state, bed.nats.pid(), &accounts)
        .await
        .unwrap();
    let mut carol = Spy::of(&bed, "external-carol").await;
    for (subject, body) in rights_of_carol() {
        assert_eq!(carol.request(&subject, &body).await, Verdict::Denied);
    }
    assert_eq!(carol.subscribe(&filter("shop")).await, Verdict::Denied);
    assert_eq!(carol.subscribe(&filter("pay")).await, Verdict::Done);
    // Nothing is left of what was made for carol and for dave.
    let provisioner = bed.bus("provisioner-external").await;
    let done = provision_external(&provisioner, &moved).await.unwrap();
    assert_eq!((done.consumers, done.deleted), (2, 6));
}
