use std::fs;
use std::path::Path;

use crate::{bonesetter, stdout};

#[test]
fn the_accounts_in_deploy_are_those_of_the_table() {
    let output = bonesetter(&["deploy", "nats"], "");
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/accounts.conf");
    let checked_in = fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == stdout(&output),
        "deploy/nats/accounts.conf is stale; run: make generate"
    );
}
