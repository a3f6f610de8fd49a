//! svc-notifier tells people about incidents.
//!
//! # Consumes
//! - `Acted` (durable `notifier-acted`): `proposed`, `applied`, `refused`, `verified`, `rolled-back`
//!   and `stuck`, also of reclassified incidents. An intent is not told: what came of it follows.
//! - `Detected` (durable `notifier-resolved`): the step `resolved` only.
//! - `Overdue` (durable `notifier-overdue`): the bare fact that something has not come in time.
//! - `Diagnosed` (durable `publisher`): in the mode `publish`, see below.
//!
//! # Produces
//! `Notified` under `<notice kind>-<input step>`, with the result on every channel.
//!
//! `svc-notifier publish`, a process with a user of its own, produces the twin of every diagnosis
//! under `diagnosed-json` and the same step: a CloudEvent in JSON, signed, see [`twin`].
//!
//! # Guarantees
//! - One message per incident, which holds workload, failure class, summary, root cause, the cited
//!   evidence lines, recommendation, suggested command and the decision with its reason; and new
//!   posts when something is applied, refused, verified, taken back or resolved. A reclassified
//!   incident is told again only if its cause is another one.
//! - What is overdue is told even when svc-llm or svc-actuator is dead, and not when what was awaited
//!   has been told meanwhile. It carries no text of a cluster or a model.
//! - Of an incident of which nothing was told, the end is not told either. If its first notice comes
//!   after its end (the pipeline was slower than the recovery), that notice says so.
//! - Each channel gets the notices of an incident in the order in which they were decided, with any
//!   number of replicas, and the outcome of a change never before the change, unless that is not told
//!   within a minute. While no process dies between a post and its record, it gets each once, also where
//!   NATS is away then, unless that lasts longer than a post may take and ten seconds, and another replica
//!   is faster afterwards. After such a death the webhook's receiver can drop the repetition by its `Idempotency-Key`; Slack has
//!   no such key and shows it twice.
//! - What is shown rests on a diagnosis whose signature was verified. Text of clusters and models is
//!   escaped and cannot mention, link or fake.
//! - There is one twin of a diagnosis, and of none whose signature was not verified.
//! - Addresses are read from files at each use and appear nowhere else.
//!
//! # On failure
//! Time-outs, 408, 425, 429 and 5xx are tried again, a receiver's `Retry-After` is honoured up to ten
//! minutes, until `delivery.give_up_after`; every other answer is final. Both ends are published with
//! their failure class. A channel that fails does not repeat the other, and delays it only when so many
//! notices wait for it that the consumer hands out no more (32 of each). An unverifiable diagnosis
//! goes to the dead letters as `unsigned-diagnosis`, in the mode `publish` with what is wrong with the
//! signature; what has no twin, as `no-json` or `too-large`. While the bucket is away, messages wait.
//!
//! # Settings
//! See [`config::Config`]; `keys.trusted_dir` always, `keys.webhook_file` for the webhook,
//! `keys.signing_file` for `publish`, which needs nothing else.
//!
//! # Metrics
//! `bonesetter_notifier_attempts_total{channel,outcome}`; outcome is `delivered`, `refused` or `again`.

pub mod channel;
pub mod config;
pub mod notice;
pub mod notices;
pub mod post;
pub mod record;
pub mod run;
pub mod twin;
pub mod webhook;

mod evidence;
mod metrics;
mod slack;
mod stage;
mod telling;
mod text;
mod words;

#[cfg(test)]
mod samples;

pub use config::Config;
pub use evidence::{CitedLine, cited_lines};
pub use metrics::NotifierMetrics;
pub use run::{ABOUT, PUBLISH, run};
