use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are passed on at a time.
const PIECE: usize = 16 * 1024;

/// What a connection is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// As it should be.
    Open,
    /// Every piece of up to 16 KiB takes this long.
    Slow(Duration),
    /// Connections stand, and can be made, and nothing passes: what a client sees of a network that
    /// swallows packets.
    Stalled,
    /// What the client sends arrives, and what the server sends is lost. Of use where nothing is encrypted,
    /// and both sides are at rest when it begins and ends: a stream with a gap is no longer TLS.
    Deaf,
    /// Connections are closed, those that stand and those that are made.
    Cut,
}

/// Ends what several proxies pass, in both directions, when their clients have sent a number of
/// pieces to servers: to those servers it is as if the client had died at that instant.
#[derive(Debug, Clone)]
pub struct Fuse {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sent: AtomicU64,
    /// How many may be sent; nothing is counted before it is set.
    limit: OnceLock<u64>,
    is_blown: watch::Sender<bool>,
}

impl Default for Fuse {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                sent: AtomicU64::new(0),
                limit: OnceLock::new(),
                is_blown: watch::Sender::new(false),
            }),
        }
    }
}

impl Fuse {
    /// Begins to count, and lets so many pieces pass. One that is armed stays as it is.
    pub fn arm(&self, limit: u64) {
        self.shared.limit.get_or_init(|| limit);
    }

    /// How many were sent since it was armed.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Returns when one more than the limit was to be sent.
    pub async fn blown(&self) {
        let mut is_blown = self.shared.is_blown.subscribe();
        // The sender is in this very value.
        let _ = is_blown.wait_for(|is_blown| *is_blown).await;
    }

    /// Whether one more piece may pass.
    fn admits(&self, is_from_client: bool) -> bool {
        if let Some(limit) = self.shared.limit.get()
            && is_from_client
            && self.shared.sent.fetch_add(1, Ordering::SeqCst) >= *limit
        {
            self.shared.is_blown.send_replace(true);
        }
        !*self.shared.is_blown.borrow()
    }
}

/// What happened to connections.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    lost: Mutex<Vec<u8>>,
}

/// Passes TCP connections on to a server, as well as its link is. It listens on a free loopback port
/// until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens for a server at `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_with(target, Fuse::default()).await
    }

    /// As [`Proxy::start`], as long as a fuse holds.
    pub async fn start_with(target: SocketAddr, fuse: Fuse) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (link, changes) = watch::channel(Link::Open);
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((client, _)) = accepted {
                            counted.accepted.fetch_add(1, Ordering::SeqCst);
                            let way = Way {
                                link: changes.clone(),
                                fuse: fuse.clone(),
                                counts: counted.clone(),
                            };
                            connections.spawn(connection(client, target, way));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            link,
            counts,
            accepting,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections clients have made.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// What a server sent to deaf clients, in order of its arrival here.
    pub fn lost(&self) -> Vec<u8> {
        let lost = self.counts.lost.lock();
        lost.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the link, also of the connections that stand.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a connection goes through.
#[derive(Clone)]
struct Way {
    link: watch::Receiver<Link>,
    fuse: Fuse,
    counts: Arc<Counts>,
}

/// One connection from its beginning to its end; either side's errors end it, as they would without
/// anybody in between.
async fn connection(client: TcpStream, target: SocketAddr, way: Way) {
    let mut link = way.link.clone();
    let passing = async {
        let Ok(server) = TcpStream::connect(target).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pass(from_client, to_server, way.clone(), true),
            pass(from_server, to_client, way, false)
        );
    };
    tokio::select! {
        () = passing => {}
        _ = link.wait_for(|link| *link == Link::Cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way, is_from_client: bool) {
    let mut piece = vec![0; PIECE];
    loop {
        let count = match from.read(&mut piece).await {
            Ok(count) if count > 0 => count,
            // The other side learns of it by the end of what it reads.
            _ => return,
        };
        let now = way.link.wait_for(|link| *link != Link::Stalled).await;
        let Ok(now) = now.map(|link| *link) else {
            return;
        };
        if now == Link::Deaf && !is_from_client {
            let lost = way.counts.lost.lock();
            let mut lost = lost.unwrap_or_else(PoisonError::into_inner);
            lost.extend_from_slice(&piece[..count]);
            continue;
        }
        if !way.fuse.admits(is_from_client) {
            // The dead neither send nor read, and do not say that they are dead.
            std::future::pending::<()>().await;
        }
        if let Link::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
