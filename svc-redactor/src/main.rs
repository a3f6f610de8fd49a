//! The svc-redactor process.

fn main() {}
