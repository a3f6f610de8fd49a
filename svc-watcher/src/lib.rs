//! Detects failing workloads and turns them into incidents.

pub mod coverage;
pub mod detect;
pub mod episode;
pub mod facts;
pub mod index;
pub mod kubernetes;
pub mod namespaces;
pub mod observe;
pub mod owner;
pub mod record;
mod scan;

pub use scan::{Scan, scan};
