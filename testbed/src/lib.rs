//! Starts the real servers that the demo, the tests and the benchmarks run against: NATS with
//! JetStream, PostgreSQL, MinIO, Loki, and a Kubernetes node with real containers.
//!
//! The command `testbed up` starts them under a supervisor that outlives it and writes what it
//! started to `testbed.json` ([`State`]); a test finds that file through the environment variable
//! `BONESETTER_TESTBED` ([`State::load`]). A test that needs a server of its own, to stop it or to
//! break it, starts one with a guard: [`NatsServer`], or [`TestBus`] for one with services on it. One that wants the traces of services starts a
//! [`Collector`].
//!
//! Versions are pinned in files under `servers/`; what is not on the machine is built once into
//! a cache outside the checkout ([`paths::cache_dir`]).

pub mod authority;
pub mod bus;
pub mod cluster;
pub mod collector;
pub mod cri;
pub mod fault;
pub mod identity;
pub mod image;
pub mod loki;
pub mod minio;
pub mod nats;
pub mod node;
pub mod paths;
pub mod ports;
pub mod postgres;
pub mod preflight;
pub mod process;
pub mod programs;
pub mod progress;
pub mod ready;
pub mod run;
pub mod s3;
pub mod service;
pub mod shipper;
pub mod state;
pub mod supervisor;
pub mod versions;

pub use bus::TestBus;
pub use collector::Collector;
pub use nats::{NatsOptions, NatsServer};
pub use postgres::Postgres;
pub use s3::S3Admin;
pub use state::State;
