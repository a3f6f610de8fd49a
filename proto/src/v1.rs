//! Package `bonesetter.v1`. Fields are only added, never renumbered.
#![allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    reason = "generated code; its documentation is in the .proto files"
)]

include!("generated/bonesetter.v1.rs");
