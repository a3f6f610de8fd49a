//! Keys that take each other's place while everything runs.

use std::sync::atomic::Ordering;

use bonesetter_chassis::stage::Outcome;
use bonesetter_chassis::topology::LLM;
use bonesetter_keys::Rotating;
use bonesetter_proto::v1::{Diagnosed, Redacted};
use bonesetter_proto::{Stage, Writer};

use crate::bed::{Bed, stored, subject};
use crate::runner::run;

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
