//! The svc-notifier process.

fn main() {}
