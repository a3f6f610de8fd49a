//! The configuration of the bus, read by the real server.

use std::fs;
use std::process::Command;

use bonesetter_chassis::topology::{
    ExternalUser, USERS, authorization_of, authorization_with, variable,
};
use bonesetter_testbed::programs::{Program, Programs};

use crate::workloads::{root, run};

#[test]
fn nats_server_accepts_the_configuration_with_keys_and_with_variables() {
    let dir = tempfile::tempdir().unwrap();
    let tools = [ExternalUser::new("siem", ["shop", "pay"]).unwrap()];
    let tool = tools[0].user();
    let users: Vec<&str> = USERS.iter().map(|user| user.name).chain([&*tool]).collect();
    let keys = bonesetter_keys::init(&dir.path().join("keys"), &users).unwrap();
    let server = Programs::locate(&[Program::NatsServer]).unwrap();
    let server = server.get(Program::NatsServer).unwrap();
    let config = dir.path().join("nats-server.conf");
    let text = fs::read_to_string(root().join("deploy/nats/nats-server.conf")).unwrap();
    bonesetter_testbed::nats::make_certificates(dir.path()).unwrap();
    let tls = dir.path().join("tls");
    let text = text
        .replace(
            "/etc/nats/tls/tls.",
            &format!("{}/nats-server.", tls.display()),
        )
        .replace("/etc/nats/tls/", &format!("{}/", tls.display()));
    fs::write(&config, text).unwrap();

    let accounts = dir.path().join("accounts.conf");
    fs::write(&accounts, authorization_of(&keys, &tools).unwrap()).unwrap();
    run(Command::new(server).arg("-t").arg("-c").arg(&config), "");

    let with_variables = authorization_with(&tools, |user| vec![format!("${}", variable(user))]);
    fs::write(&accounts, with_variables).unwrap();
    let mut check = Command::new(server);
    for user in users {
        let key = fs::read_to_string(keys.nkey_public(user)).unwrap();
        check.env(variable(user), key.trim());
    }
    run(check.arg("-t").arg("-c").arg(&config), "");
}

/// The server's default keeps what it has acknowledged in memory for up to two minutes.
#[test]
fn what_is_acknowledged_is_on_the_disk() {
    let config = fs::read_to_string(root().join("deploy/nats/nats-server.conf")).unwrap();
    assert!(
        config
            .lines()
            .any(|line| line.trim() == "sync_interval: always")
    );
}

/// Who asks the monitoring port needs no password, and is told subjects, users and consumers.
#[test]
fn monitoring_listens_on_loopback_only() {
    let config = fs::read_to_string(root().join("deploy/nats/nats-server.conf")).unwrap();
    let own = bonesetter_testbed::nats::configuration(1, 2, &root(), None);
    for text in [config, own] {
        let monitoring: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| {
                let setting = line.split([':', '=', ' ']).next().unwrap_or_default();
                setting.starts_with("http") || setting.starts_with("monitor")
            })
            .collect();
        let [line] = monitoring[..] else {
            panic!("{monitoring:?}");
        };
        assert!(line.starts_with("http: \"127.0.0.1:"), "{line}");
    }
}
