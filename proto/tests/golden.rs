//! Messages as released versions wrote them, one of each type with every field set.
//!
//! Streams hold messages for up to 90 days, so that a new version reads what an old one wrote. The
//! files under `golden/<version>` are written once (`BLESS=1` writes those that are missing) and
//! never again: a new field is given here with the value that its absence means, a release that
//! adds fields gets a folder of its own.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of a test")]

#[path = "golden/messages.rs"]
mod messages;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bonesetter_proto::Message;

fn file(version: &str, event_type: &str) -> PathBuf {
    let name = event_type
        .strip_prefix("dev.bonesetter.")
        .and_then(|name| name.strip_suffix(".v1"))
        .expect("an event type of ours");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{version}/{name}.bin"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's switch, not configuration"
)]
fn is_blessed() -> bool {
    env::var("BLESS").is_ok()
}

fn check<M: Message + PartialEq + Debug>(version: &str, expected: &M) {
    let path = file(version, M::EVENT_TYPE);
    if is_blessed() && !path.exists() {
        fs::write(&path, expected.encode_to_vec()).expect("the folder is writable");
    }
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let decoded = M::decode(&bytes[..]).expect("decodes");
    assert_eq!(&decoded, expected, "{}", path.display());
    // A message that was cut off, or followed by fields of a later version, is no reason to panic.
    for length in 0..bytes.len() {
        let _ = M::decode(&bytes[..length]);
    }
    let later = [&bytes[..], &[0xfa, 0x3e, 1, b'x']].concat();
    assert_eq!(M::decode(&later[..]).expect("decodes"), *expected);
}

#[test]
fn what_0_1_wrote_means_what_it_meant() {
    let version = "0.1";
    check(version, &messages::detected());
    check(version, &messages::enriched());
    check(version, &messages::redacted());
    check(version, &messages::diagnosed());
    check(version, &messages::acted());
    check(version, &messages::notified());
    check(version, &messages::archived());
    check(version, &messages::dead_letter());
    check(version, &messages::redrive());
    check(version, &messages::overdue());
    check(version, &messages::security());
}
