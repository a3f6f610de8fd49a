//! What is done to the system.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use bonesetter_demo::receiver::Answer;
use bonesetter_proto::Stage;
use bonesetter_testbed::fault::Link;

use crate::garbage;

/// A server that the services need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// NATS.
    Nats,
    /// PostgreSQL.
    Postgres,
    /// MinIO.
    Minio,
    /// Loki.
    Loki,
    /// The API server of Kubernetes.
    KubeApiserver,
}

/// Another side of the services whose connections go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// NATS.
    Nats,
    /// PostgreSQL.
    Postgres,
    /// MinIO.
    Minio,
    /// Loki.
    Loki,
    /// Who receives notices.
    Receiver,
    /// The API server of Kubernetes.
    KubeApiserver,
}

/// Bytes that are no message of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Garbage {
    /// Random bytes.
    Noise,
    /// Nothing.
    Empty,
    /// The beginning of a message.
    Truncated,
    /// A message of another incident.
    Moved,
    /// A message with its own subject that says nothing, and is not signed.
    Hollow,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A service is killed (SIGKILL) and started again; by its place among the services.
    KillService(usize),
    /// A service stands still (SIGSTOP).
    PauseService(usize),
    /// A server is killed (SIGKILL) and started again.
    KillServer(Server),
    /// A server stands still (SIGSTOP).
    PauseServer(Server),
    /// A connection is slow, stalled or cut.
    Link(Peer, Link),
    /// The receiver of notices refuses, or answers late.
    Answer(Answer),
    /// The disk of JetStream is full.
    FullDisk,
    /// Garbage is published to a stage.
    Garbage(Stage, Garbage),
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Nats,
        Self::Postgres,
        Self::Minio,
        Self::Loki,
        Self::KubeApiserver,
    ];

    /// Its name, as its process is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Postgres => "postgres",
            Self::Minio => "minio",
            Self::Loki => "loki",
            Self::KubeApiserver => "kube-apiserver",
        }
    }
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Nats,
        Self::Postgres,
        Self::Minio,
        Self::Loki,
        Self::Receiver,
        Self::KubeApiserver,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Postgres => "postgres",
            Self::Minio => "minio",
            Self::Loki => "loki",
            Self::Receiver => "the receiver",
            Self::KubeApiserver => "kube-apiserver",
        }
    }
}

impl Garbage {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Noise,
        Self::Empty,
        Self::Truncated,
        Self::Moved,
        Self::Hollow,
    ];
}

impl Fault {
    /// Whether it ends the process of a service or a server.
    pub const fn is_kill(self) -> bool {
        matches!(self, Self::KillService(_) | Self::KillServer(_))
    }

    /// Whether it can make that a notice is posted and not recorded: the one thing that a target
    /// without idempotency can see twice. `notifier` is the place of a replica of svc-notifier.
    pub fn can_repeat_a_notice(self, notifier: usize) -> bool {
        match self {
            Self::KillService(place) | Self::PauseService(place) => place == notifier,
            Self::KillServer(server) | Self::PauseServer(server) => server == Server::Nats,
            Self::Link(peer, _) => matches!(peer, Peer::Nats | Peer::Receiver),
            Self::Answer(_) | Self::FullDisk => true,
            Self::Garbage(..) => false,
        }
    }

    /// As it is told, with the names of the services.
    pub fn describe(self, services: &[String]) -> String {
        let service = |place: usize| services.get(place).map_or("?", String::as_str);
        match self {
            Self::KillService(place) => format!("kill -9 {}", service(place)),
            Self::PauseService(place) => format!("pause {}", service(place)),
            Self::KillServer(server) => format!("kill -9 {}", server.as_str()),
            Self::PauseServer(server) => format!("pause {}", server.as_str()),
            Self::Link(peer, link) => {
                let how = match link {
                    Link::Open => "open",
                    Link::Slow(_) => "slow",
                    Link::Stalled => "stalled",
                    Link::Deaf => "deaf",
                    Link::Cut => "cut",
                };
                format!("{how} connections to {}", peer.as_str())
            }
            Self::Answer(Answer::Refuse(status)) => format!("the receiver refuses with {status}"),
            Self::Answer(Answer::Late(_)) => {
                "the receiver takes notices and does not answer".into()
            }
            Self::Answer(Answer::Accept) => "the receiver accepts".into(),
            Self::FullDisk => "the disk of JetStream is full".into(),
            Self::Garbage(stage, garbage) => format!("garbage ({garbage}) on {}", stage.as_str()),
        }
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Noise => "noise",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Moved => "of another incident",
            Self::Hollow => "hollow",
        })
    }
}

/// Every fault there is, for so many services; garbage once for every stage.
pub fn all(services: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for service in 0..services {
        // What a service may do when it dies is what this is about: twice as often as the rest.
        faults.extend([Fault::KillService(service); 2]);
        faults.push(Fault::PauseService(service));
    }
    for server in Server::ALL {
        faults.extend([Fault::KillServer(server), Fault::PauseServer(server)]);
    }
    for peer in Peer::ALL {
        let slow = Link::Slow(Duration::from_millis(200));
        faults.extend([slow, Link::Stalled, Link::Cut].map(|link| Fault::Link(peer, link)));
    }
    faults.extend(
        [
            Answer::Refuse(StatusCode::INTERNAL_SERVER_ERROR),
            Answer::Refuse(StatusCode::TOO_MANY_REQUESTS),
            Answer::Late(Duration::from_secs(30)),
        ]
        .map(Fault::Answer),
    );
    faults.push(Fault::FullDisk);
    let kinds = Garbage::ALL.iter().cycle();
    faults.extend(
        garbage::stages()
            .zip(kinds)
            .map(|(stage, kind)| Fault::Garbage(stage, *kind)),
    );
    faults
}
