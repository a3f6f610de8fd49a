//! Client and server of [`IncidentService`](incident_service_server::IncidentService).
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    reason = "generated code; its documentation is in the .proto files"
)]

include!("generated/bonesetter.v1.grpc.rs");
