//! The svc-audit process.

fn main() {}
