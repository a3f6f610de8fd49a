//! What every Bonesetter service shares: the runner, the bus, configuration, telemetry, health, shutdown.
//!
//! A service is one or several stages ([`stage::Stage`]: one message in, messages out), sinks
//! ([`stage::Sink`]: one message in, an effect) or sources (which hold a [`bus::Publisher`]).
//! [`service::main`] reads the configuration, starts telemetry and the health endpoint, connects,
//! and hands a [`service::Service`] to the service's `run`; [`service::Service::run_stage`] owns
//! everything between the broker and the handler.

pub mod answer;
pub mod bus;
pub mod clock;
pub mod config;
pub mod errors;
pub mod health;
pub mod http;
pub mod metrics;
pub mod secret;
pub mod service;
pub mod stage;
pub mod target;
pub mod telemetry;
pub mod topology;

mod runner;

pub use secrecy;
