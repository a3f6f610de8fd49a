//! `docs/subjects.md` tells the operator how to make a user for a tool; these are its commands.

use std::fs;

use bonesetter_testbed::{NatsOptions, NatsServer};

use crate::{bonesetter, stderr, stdout};

const PAGE: &str = include_str!("../../../docs/subjects.md");

/// The indented block of the section, as the list of tools and the lines of `bonesetter`.
fn block() -> (String, Vec<String>) {
    let (_, from) = PAGE.split_once("\n## For the operator").unwrap();
    let (section, _) = from.split_once("\n## ").unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let (mut list, mut commands) = (String::new(), Vec::<String>::new());
    let mut goes_on = false;
    for line in lines {
        let line = line.split(" # ").next().unwrap().trim_end();
        let (text, continues) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        if goes_on {
            commands.last_mut().unwrap().push_str(text);
        } else if text.starts_with("bonesetter ") {
            commands.push(text.to_owned());
        } else if text.starts_with("external:") || text.starts_with("- ") {
            list.push_str(text);
            list.push('\n');
        }
        goes_on = continues;
    }
    (list, commands)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_make_a_user_for_a_tool() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (keys, list) = (path("keys"), path("external.yaml"));
    assert!(bonesetter(&["keys", "init", &keys], "").status.success());
    let (tools, commands) = block();
    fs::write(&list, tools).unwrap();
    let run = |command: &str, url: &str| {
        let command = command.split(" > ").next().unwrap();
        let command = command.replace("nats://HOST:4222", url);
        let words: Vec<String> = command
            .split_whitespace()
            .skip(1)
            .map(|word| word.replace("KEYS", &keys).replace("external.yaml", &list))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = bonesetter(&words, "");
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        stdout(&output)
    };
    let [key, accounts, provision] = &commands[..] else {
        unreachable!("three commands: {commands:?}");
    };
    assert!(run(key, "").contains("_INBOX_external-siem"));
    let accounts = run(accounts, "");
    let options = NatsOptions {
        authorization: Some(accounts),
        plaintext: true,
        ..NatsOptions::default()
    };
    let nats = NatsServer::start(options).await.unwrap();
    let said = run(provision, &nats.url());
    assert!(
        said.contains("2 copies") && said.contains("4 consumers"),
        "{said}"
    );

    let seed = fs::read_to_string(path("keys/nats/external-siem.nk")).unwrap();
    let tool = async_nats::ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix("_INBOX_external-siem")
        .connect(nats.url())
        .await
        .unwrap();
    let subject = "$JS.API.CONSUMER.INFO.EXTERNAL_DIAGNOSED.siem_pay";
    let answer = tool.request(subject, "".into()).await.unwrap();
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    let filter = r#""filter_subject":"bonesetter.v1.diagnosed.*.pay.\u003e""#;
    assert!(answer.contains(filter), "made for it: {answer}");
}
