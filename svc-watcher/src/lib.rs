//! Detects failing workloads and turns them into incidents.
//!
//! # Consumes
//! Pods, Deployments, ReplicaSets, Jobs and Events of reason `Killing`, by list and watch. Nothing
//! from the bus. Of every object only the facts that decide are kept ([`facts`]).
//!
//! # Produces
//! [`Detected`](bonesetter_proto::v1::Detected) on `bonesetter.v1.detected.>`, with the steps `open`,
//! `update-N`, `reclassified-N` and `resolved`: identifiers, enumerations and counts, never free
//! text. Records of episodes in the KV bucket `bonesetter-episodes`.
//!
//! # Guarantees
//! - One incident per root owner and episode, whatever number of pods fails and whatever classes it
//!   passes through. Its id is a hash of cluster, uid of the root owner and number of the episode.
//! - An incident's class only becomes more specific, or another specific one when the former has
//!   been absent for the stability window; it never returns to one that it has had.
//! - Steps are published in order, each is stored once, and none is lost in a crash, over restarts
//!   and with several replicas ([`episode`]).
//! - Level-triggered: what was missed is found by the next list. Nothing is judged before the first
//!   lists of all kinds are complete.
//! - RECOVERED means that all that is wanted has been updated and available, without any failure,
//!   for the stability window, or that the job has done its work. What is paused or scaled to zero
//!   does not do its work: its incident stays open until it is well again or deleted. GONE means
//!   that the root owner has been deleted; of a kind that is not watched (StatefulSet, DaemonSet,
//!   CronJob, ...), that nothing of it has been left for the stability window.
//! - After an incident another one of the same root owner and class is held back for the cooldown,
//!   also over restarts, and opens afterwards if the failure lasts.
//! - With `sharding.shards` of more than 1, replicas share the namespaces by Leases; those of one that
//!   is killed are watched by others within 15 s, those of one that ends at once, with complete lists
//!   first ([`shards`]). Who cannot renew a Lease stops before another begins. Leases only divide the
//!   work: that an incident is one is the doing of compare-and-set.
//! - A job that will try again, a rollout under way, a pod being deleted, the first restart of a
//!   container and a restart long ago are no failures.
//!
//! # On failure
//! - The API server cannot be reached: tried again with a growing delay, `/readyz` names
//!   `kubernetes` until the first lists are complete.
//! - Leases cannot be read or renewed: what is held is given up 6 s after its last renewal and not judged,
//!   until they can; `/readyz` names `leases` before the first time, and always says which shards are held.
//! - A kind may not be listed: said once and counted, the rest works. An owner of that kind is then
//!   known by its references only. Believed when it has lasted for 15 s, because an API server that has
//!   just been started refuses everything; until then what is known stays known and nothing is judged.
//! - An object cannot be decoded: a warning with kind, namespace and name; it is not judged.
//! - The bus is away: nothing is decided without being stored, and all is decided anew from the
//!   facts when it is back. After 10 s the shards are left to replicas that reach it.
//! - A record cannot be read: an error with its key; that owner is left alone until the key has been
//!   deleted and the service started again.
//!
//! # Settings
//! `kubeconfig`, `namespaces.watch` (`WATCH_NAMESPACES`), `namespaces.exclude`
//! (`EXCLUDE_NAMESPACES`), `sharding.shards`, `settle`, `stability_window`, `cooldown`
//! (`ANALYZE_COOLDOWN_MINUTES`), `unschedulable_grace`; see [`Config`]. It needs
//! `keys.signing_file`.
//!
//! # Metrics
//! `bonesetter_watcher_objects`, `_incidents_open`, `_steps_total{step}`,
//! `_undecodable_total{kind}`, `_refused_lists`, `_failed_rounds_total`, `_shards`, `_shards_held`,
//! `_takeovers_total`.

mod config;
pub mod coverage;
pub mod detect;
pub mod episode;
pub mod facts;
pub mod index;
pub mod kubernetes;
mod lease;
mod ledger;
mod loading;
mod metrics;
mod namespaces;
pub mod observe;
pub mod owner;
pub mod record;
mod run;
mod scan;
pub mod shards;
mod source;
mod view;
mod work;

pub use config::{Config, Sharding};
pub use metrics::WatcherMetrics;
pub use namespaces::Namespaces;
pub use run::run;
pub use scan::{Scan, scan};

/// What the binary says of itself.
pub const ABOUT: bonesetter_chassis::service::About = bonesetter_chassis::service::About {
    name: "svc-watcher",
    version: env!("CARGO_PKG_VERSION"),
    modes: &[],
};
