//! Open watches, and turns to ask the ledger: how many of each a caller may have. How a watch ends.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bonesetter_proto::v1::WatchIncidentsResponse;
use futures::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::Status;

use super::shares::{Share, Shares, Taken};
use crate::config::{Reader, ServeSettings};

/// Answers that wait for a slow client; who fills them then waits too.
const WINDOW: usize = 64;
/// A client that takes nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who may open how many.
#[derive(Debug)]
pub(crate) struct Watches(Shares);

impl Watches {
    /// As many as the settings allow, and of each reader a part of these.
    pub(crate) fn new(settings: &ServeSettings) -> Self {
        Self(Shares::new(settings.watches, &settings.readers))
    }

    /// Opens one.
    pub(crate) fn open(&self, caller: &str) -> Result<Share, Status> {
        self.0.take(caller).map_err(|taken| {
            Status::resource_exhausted(match taken {
                Taken::ByCaller => format!(
                    "{caller} has as many watches as one caller may, a quarter of serve.watches"
                ),
                Taken::ByAll => "there are as many watches as serve.watches allows".to_owned(),
            })
        })
    }
}

/// Callers who ask the ledger something: of each, not more at the same time than half of the connections
/// to it can answer. The others wait.
#[derive(Debug)]
pub(crate) struct Turns(BTreeMap<String, Arc<Semaphore>>);

impl Turns {
    pub(crate) fn new(settings: &ServeSettings, connections: u32) -> Self {
        let share = usize::try_from(connections / 2).unwrap_or(1).max(1);
        let own = |reader: &Reader| (reader.name.clone(), Arc::new(Semaphore::new(share)));
        Self(settings.readers.iter().map(own).collect())
    }

    /// When it is the caller's turn; `None` for one that the settings do not know, who gets no answer.
    pub(crate) async fn take(&self, caller: &str) -> Option<OwnedSemaphorePermit> {
        self.0.get(caller)?.clone().acquire_owned().await.ok()
    }
}

type Answer = Result<WatchIncidentsResponse, Status>;
/// What a client reads.
pub(crate) type Watch = Pin<Box<dyn Stream<Item = Answer> + Send>>;

/// Where answers for one client go.
#[derive(Debug)]
pub(crate) struct Client {
    answers: mpsc::Sender<WatchIncidentsResponse>,
    end: oneshot::Sender<Status>,
}

/// The client is gone, or does not take what it asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Gone,
    Stuck,
}

impl Client {
    /// With what it reads.
    pub(crate) fn new() -> (Self, Watch) {
        let (answers, mut waiting) = mpsc::channel(WINDOW);
        let (end, ended) = oneshot::channel();
        let answers_first = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
        // Nothing is said at the end to a client that is gone.
        let then_the_end =
            futures::stream::once(ended).filter_map(async |end| Some(Err(end.ok()?)));
        let watch = Box::pin(answers_first.map(Ok).chain(then_the_end));
        (Self { answers, end }, watch)
    }

    /// Waits for a slow client, for a while.
    pub(crate) async fn send(&self, answer: WatchIncidentsResponse) -> Result<(), Left> {
        match self.answers.send_timeout(answer, PATIENCE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Left::Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Left::Stuck),
        }
    }

    /// When the client is gone.
    pub(crate) async fn gone(&self) {
        self.answers.closed().await;
    }

    /// The last that the client reads, after what waits for it.
    pub(crate) fn end(self, status: Status) {
        // The client may be gone.
        drop(self.end.send(status));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::FutureExt as _;
    use tonic::Code;

    use super::*;

    fn settings(watches: usize) -> ServeSettings {
        let reader = |name: &str| Reader {
            name: name.to_owned(),
            namespaces: Vec::new(),
        };
        ServeSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            certificate_file: "a".into(),
            key_file: "b".into(),
            client_ca_file: "c".into(),
            readers: ["a", "b", "c", "d", "e"].map(reader).into(),
            watches,
            connections: 1,
        }
    }

    #[test]
    fn who_may_not_watch_is_told_why() {
        let watches = Watches::new(&settings(2));
        let open = watches.open("a").unwrap();
        let refused = watches.open("a").unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("a has as many"), "{refused}");
        let _other = watches.open("b").unwrap();
        let refused = watches.open("c").unwrap_err();
        assert!(refused.message().contains("there are as many"), "{refused}");
        drop(open);
        watches.open("c").unwrap();
    }

    #[tokio::test]
    async fn one_caller_leaves_connections_to_others() {
        for (connections, share) in [(8, 4), (3, 1), (1, 1)] {
            let turns = Turns::new(&settings(1), connections);
            let mut taken = Vec::new();
            for _ in 0..share {
                taken.push(turns.take("a").await.unwrap());
            }
            assert!(turns.take("a").now_or_never().is_none(), "{connections}");
            assert!(turns.take("b").now_or_never().is_some());
            drop(taken);
            assert!(turns.take("a").now_or_never().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_reads_why_after_what_waits() {
        let (client, watch) = Client::new();
        let answer = WatchIncidentsResponse::default;
        for _ in 0..WINDOW {
            client.send(answer()).await.unwrap();
        }
        assert_eq!(client.send(answer()).await, Err(Left::Stuck));
        client.end(Status::aborted("too slow"));
        let read: Vec<_> = watch.collect().await;
        assert_eq!(read.len(), WINDOW + 1);
        assert!(read[..WINDOW].iter().all(Result::is_ok));
        let last = read.last().unwrap().as_ref().unwrap_err();
        assert_eq!(last.code(), Code::Aborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_gone_is_noticed() {
        let (client, watch) = Client::new();
        drop(watch);
        client.gone().await;
        let sent = client.send(WatchIncidentsResponse::default()).await;
        assert_eq!(sent, Err(Left::Gone));
    }
}
