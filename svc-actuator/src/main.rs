//! The svc-actuator process.

fn main() {}
