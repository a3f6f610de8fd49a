//! The configuration of the bus, read by the real server.

use std::fs;
use std::process::Command;

use bonesetter_chassis::topology::{USERS, authorization, authorization_of, variable};
use bonesetter_testbed::programs::{Program, Programs};

use crate::workloads::{root, run};

#[test]
fn nats_server_accepts_the_configuration_with_keys_and_with_variables() {
    let dir = tempfile::tempdir().unwrap();
    let users: Vec<&str> = USERS.iter().map(|user| user.name).collect();
    let keys = bonesetter_keys::init(&dir.path().join("keys"), &users).unwrap();
    let server = Programs::locate(&[Program::NatsServer]).unwrap();
    let server = server.get(Program::NatsServer).unwrap();
    let config = dir.path().join("nats-server.conf");
    fs::copy(root().join("deploy/nats/nats-server.conf"), &config).unwrap();

    let accounts = dir.path().join("accounts.conf");
    fs::write(&accounts, authorization_of(&keys).unwrap()).unwrap();
    run(Command::new(server).arg("-t").arg("-c").arg(&config), "");

    let with_variables = authorization(|user| format!("${}", variable(user.name)));
    fs::write(&accounts, with_variables).unwrap();
    let mut check = Command::new(server);
    for user in USERS {
        let key = fs::read_to_string(keys.nkey_public(user.name)).unwrap();
        check.env(variable(user.name), key.trim());
    }
    run(check.arg("-t").arg("-c").arg(&config), "");
}
