//! A server that owes an answer and does not know it.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use bonesetter_chassis::topology::{ENRICHER, redrive_of};
use bonesetter_proto::Stage;
use bonesetter_proto::v1::{Detected, Enriched};
use bonesetter_testbed::fault::{Link, Proxy};
use bonesetter_testbed::ready;

use crate::bed::{Bed, start, stored};
use crate::runner::{nats_client, pass, publish, run};

const LIMIT: Duration = Duration::from_mins(1);
/// The server's word that a pull has ended (ADR-9).
const ENDED: &[u8] = b"NATS/1.0 408";

pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let probe = async || is().await.then_some(()).ok_or_else(|| "not yet".to_owned());
    ready::until(what, LIMIT, &mut [], probe).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_whose_end_got_lost_is_made_anew_on_the_same_connection() {
    let bed = Bed::start_plain().await;
    let server = bed.nats.url().replace("nats://", "").parse().unwrap();
    let proxy = Proxy::start(server).await.unwrap();
    let mut common = bed.common("svc-enricher");
    common.nats.url = format!("nats://{}", proxy.address());
    let enricher = start("svc-enricher", common)
        .await
        .expect("through the proxy");
    let (_, running) = run::<Detected, Enriched>(&enricher, ENRICHER, pass);
    // It pulls from its consumer, and from that of what it is asked to handle again.
    let context = jetstream::new(nats_client(&bed, "provisioner").await);
    for spec in [&ENRICHER, redrive_of(&ENRICHER).unwrap()] {
        let found = context.get_consumer_from_stream(spec.name, spec.stream.name);
        let mut consumer: PullConsumer = found.await.unwrap();
        let pulls = async || consumer.info().await.unwrap().num_waiting > 0;
        until("it pulls", pulls).await;
    }
    // From now on the server owes nothing, and the stage waits for what it has asked for.
    proxy.set(Link::Deaf);
    let both_ended = async || {
        let lost = proxy.lost();
        let ends = lost.windows(ENDED.len()).filter(|it| *it == ENDED);
        ends.count() == 2
    };
    until("both pulls have ended", both_ended).await;
    proxy.set(Link::Open);
    publish(&bed, 0..3).await;
    let found = stored(&bed.bus("svc-redactor").await, Stage::Enriched, 3).await;
    assert_eq!(found.len(), 3);
    assert_eq!(proxy.accepted(), 1, "it connected anew");
    enricher.shutdown.cancel();
    running.await.unwrap().unwrap();
}
