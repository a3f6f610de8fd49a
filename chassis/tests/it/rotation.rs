//! Keys that take each other's place while everything runs.

use std::sync::atomic::Ordering;

use async_nats::connection::State;
use bonesetter_chassis::stage::Outcome;
use bonesetter_chassis::topology::LLM;
use bonesetter_keys::{Login, Rotating};
use bonesetter_proto::v1::{Diagnosed, Redacted};
use bonesetter_proto::{Stage, Writer};
use bonesetter_testbed::identity;

use crate::bed::{Bed, stored, subject};
use crate::runner::{login, run};

/// As svc-redactor does it after it was started with the keys of now.
async fn publish(bed: &Bed, number: u8) {
    let redactor = bed.service("svc-redactor").await;
    let subject = subject(number, "open").at(Stage::Redacted, "open");
    let publisher = redactor.publisher::<Redacted>().unwrap();
    publisher
        .publish(&subject, Redacted::default(), "")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_is_rotated_while_its_readers_run() {
    let bed = Bed::start().await;
    let what = Rotating::Signing(Writer::Redactor);
    let llm = bed.service("svc-llm").await;
    let (handled, running) = run::<Redacted, Diagnosed>(&llm, LLM, |_| Outcome::Done(Vec::new()));
    let old = what.list(&bed.keys).unwrap().remove(0).id;
    publish(&bed, 0).await;
    what.make_known(&bed.keys).unwrap();
    publish(&bed, 1).await;
    let new = what.promote(&bed.keys).unwrap();
    publish(&bed, 2).await;
    what.retire(&bed.keys, &old).unwrap();
    publish(&bed, 3).await;
    while handled.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    llm.shutdown.cancel();
    running.await.unwrap().unwrap();
    let operator = bed.bus("operator").await;
    let messages = stored(&operator, Stage::Redacted, 4).await;
    let signers: Vec<String> = messages
        .iter()
        .map(|message| message.signature().unwrap().key_id)
        .collect();
    assert_eq!(signers, [&old, &old, &new, &new].map(String::clone));
    assert!(stored(&operator, Stage::Dlq, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_is_rotated_without_a_moment_in_which_its_user_is_shut_out() {
    let bed = Bed::start().await;
    let operator = Login::of("operator");
    let seed = || std::fs::read_to_string(bed.keys.nkey_seed("operator")).unwrap();
    let tell_the_server = async || {
        let accounts = identity::authorization(bed.dir()).unwrap();
        let reload = bonesetter_testbed::nats::reload;
        reload(&bed.nats.state(), bed.nats.pid(), &accounts)
            .await
            .unwrap();
    };
    let answers = async |client: &async_nats::Client| {
        let info = "$JS.API.STREAM.INFO.BONESETTER_DETECTED";
        client.request(info, "".into()).await.is_ok()
    };
    let old = seed();
    let before = login(&bed, "operator", old.clone()).await.unwrap();
    let retired = operator.public_keys(&bed.keys).unwrap().remove(0);
    operator.make_known(&bed.keys).unwrap();
    tell_the_server().await;
    operator.promote(&bed.keys).unwrap();
    let after = login(&bed, "operator", seed()).await.unwrap();
    assert_ne!(seed(), old);
    assert!(answers(&before).await && answers(&after).await);

    operator.retire(&bed.keys, &retired).unwrap();
    tell_the_server().await;
    assert!(answers(&after).await);
    while before.connection_state() == State::Connected {
        tokio::task::yield_now().await;
    }
    assert!(login(&bed, "operator", old).await.is_err());
}
