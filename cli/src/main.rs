//! The bonesetter command.
fn main() {}
