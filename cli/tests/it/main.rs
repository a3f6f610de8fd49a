//! The command as people use it.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod dlq;
mod external;
mod files;
mod generated;
mod past;
mod replay;
mod replay_with;
mod scan;
mod watch;
mod world;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bonesetter"));
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .env_remove("BONESETTER_NKEY_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn bonesetter(arguments: &[&str], input: &str) -> Output {
    let mut child = command(arguments).spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // A command that ends early does not read; its exit code and message are what is tested.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the command ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
