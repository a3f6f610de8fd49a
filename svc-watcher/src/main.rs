//! The svc-watcher process.

fn main() {}
