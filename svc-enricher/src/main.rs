//! The svc-enricher process.

fn main() {}
