//! The svc-llm process.

fn main() {}
