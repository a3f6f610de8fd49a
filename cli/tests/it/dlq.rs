use bonesetter_chassis::stage::{Input, Outcome, Output, Stage};
use bonesetter_chassis::topology::{ENRICHER, STREAMS};
use bonesetter_proto::v1::{Detected, Enriched};
use bonesetter_testbed::{NatsOptions, NatsServer, identity};
use serde_json::Value;

use crate::world::{Case, End, OUT_OF_MEMORY, World, connection};
use crate::{bonesetter, stderr, stdout};

/// An enricher that handles a message when it was mended.
struct Enricher {
    is_mended: bool,
}

impl Stage for Enricher {
    const REASONS: &'static [&'static str] = &["no-evidence"];
    type In = Detected;
    type Out = Enriched;

    async fn handle(&self, input: &Input<Detected>) -> Outcome<Enriched> {
        if self.is_mended {
            return Outcome::Done(vec![Output {
                step: input.subject.step.clone(),
                message: Enriched::default(),
            }]);
        }
        Outcome::Reject {
            reason: "no-evidence",
            cause: anyhow::anyhow!("the API server knows no \u{1b}[2Jsuch object"),
        }
    }
}

fn run(world: &World, user: &str, command: &[&str]) -> std::process::Output {
    let arguments = world.arguments_as(user, command);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    bonesetter(&arguments, "")
}

fn list(world: &World, more: &[&str]) -> Vec<Value> {
    let command = [&["dlq", "list", "-o", "json"], more].concat();
    let output = run(world, "operator", &command);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

/// Runs svc-enricher until so many dead letters are listed as the filter finds.
async fn until(world: &World, is_mended: bool, more: &[&str], count: usize) {
    let service = world.another("svc-enricher").await;
    let stopping = service.shutdown.clone();
    let stage = Enricher { is_mended };
    let task = tokio::spawn(async move { service.run_stage(&ENRICHER, stage).await });
    while list(world, more).len() != count {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
    task.await.expect("ends").expect("well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_redriven_and_dropped() {
    let world = World::start().await;
    let cases = [1, 2].map(|number| Case::new(OUT_OF_MEMORY, "cache", number, End::Mended));
    for case in &cases {
        world.detect(case).await;
    }
    until(&world, false, &[], 2).await;

    let table = stdout(&run(&world, "operator", &["dlq", "list"]));
    assert!(
        table.contains("no-evidence") && table.contains(&cases[0].id()[..8]),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "{table:?}");
    for (filter, count) in [
        (["--consumer", "enricher"], 2),
        (["--consumer", "llm"], 0),
        (["--reason", "no-evidence"], 2),
        (["--reason", "exhausted"], 0),
        (["--incident", &cases[1].id()[..10]], 1),
        (["--state", "redriven"], 0),
    ] {
        assert_eq!(list(&world, &filter).len(), count, "{filter:?}");
    }
    let first = list(&world, &["--incident", cases[0].id()]).remove(0);
    let number = first["letter"].to_string();
    let shown = stdout(&run(&world, "operator", &["dlq", "show", &number]));
    for part in [
        "BONESETTER_DETECTED",
        cases[0].id(),
        "dlq redrive",
        "svc-enricher",
    ] {
        assert!(shown.contains(part), "{shown}");
    }

    // The operator reads and does not decide.
    let refused = run(&world, "operator", &["dlq", "redrive", &number]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("another user"),
        "{}",
        stderr(&refused)
    );

    // The same letter twice is one decision.
    let done = run(
        &world,
        "redriver",
        &["dlq", "redrive", &number, &number, "--note", "it is back"],
    );
    assert_eq!(stdout(&done).lines().count(), 1, "{}", stdout(&done));
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(list(&world, &["--state", "redriven"]).len(), 1);
    let twice = run(&world, "redriver", &["dlq", "redrive", &number]);
    assert!(
        stderr(&twice).contains("redriven already"),
        "{}",
        stderr(&twice)
    );

    // It dies again: it is open again, under the number of its new letter.
    until(&world, false, &[], 2).await;
    let again = list(&world, &["--incident", cases[0].id()]).remove(0);
    assert_eq!(again["letters"].as_array().map(Vec::len), Some(2));
    assert_eq!(again["decisions"][0]["note"], "it is back");

    // Replay tells it as it was: died, handled again as somebody decided, died.
    let replay = world.arguments(&["replay", cases[0].id(), "-o", "json"]);
    let replay = crate::replay::json(&replay);
    let caused = |node: &Value| node["caused"].as_array().cloned().unwrap_or_default();
    let deaths = caused(&replay["messages"][0]);
    let stages: Vec<_> = deaths.iter().map(|death| &death["stage"]).collect();
    assert_eq!(stages, ["dlq", "dlq"], "{replay}");
    let decided = caused(&deaths[0]);
    assert_eq!(decided[0]["details"]["note"], "it is back", "{replay}");
    assert_eq!(caused(&deaths[1]), [Value::Null; 0], "{replay}");
    let text = crate::replay::run(&world.arguments(&["replay", cases[0].id()]));
    for expected in ["decision", "it is to be handled again", "it is back"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }

    let all = ["dlq", "redrive", "--all", "--consumer", "enricher"];
    let done = run(&world, "redriver", &[&all[..], &["-o", "json"]].concat());
    let decided: Vec<Value> = serde_json::from_str(&stdout(&done)).expect("JSON");
    assert_eq!(decided.len(), 2, "{}", stderr(&done));
    let is_decided = |it: &Value| it["action"] == "redrive" && it["decision"].is_u64();
    assert!(decided.iter().all(is_decided), "{decided:?}");
    let last = decided[1]["letter"].to_string();
    let refused = ["dlq", "redrive", &last, "-o", "json"];
    let refused = run(&world, "redriver", &refused);
    assert_eq!(refused.status.code(), Some(1));
    let told: Vec<Value> = serde_json::from_str(&stdout(&refused)).expect("JSON");
    assert!(told[0]["decision"].is_null(), "{told:?}");
    let error = told[0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("redriven already"), "{error}");
    until(&world, true, &[], 0).await;
    let bare = run(&world, "redriver", &["dlq", "redrive", "--all"]);
    assert!(stderr(&bare).contains("--all needs"), "{}", stderr(&bare));
    let dropped = run(&world, "redriver", &["dlq", "drop", &number, "--again"]);
    assert!(dropped.status.success(), "{}", stderr(&dropped));
    assert_eq!(list(&world, &["--state", "dropped"]).len(), 1);
    let unknown = run(&world, "redriver", &["dlq", "drop", "99"]);
    assert!(
        stderr(&unknown).contains("no dead letter 99"),
        "{}",
        stderr(&unknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_difference_of_a_server_is_told_by_the_exit_code_too() {
    let world = World::start().await;
    let done = run(&world, "provisioner", &["provision", "-o", "json"]);
    let done: Value = serde_json::from_str(&stdout(&done)).expect("JSON");
    assert_eq!(done["streams"], STREAMS.len(), "{done}");
    assert!(done["external"].is_null(), "{done}");
    let none = run(&world, "provisioner", &["provision", "--diff"]);
    assert_eq!(none.status.code(), Some(0), "{}", stderr(&none));
    assert!(stdout(&none).contains("no drift"));

    let dir = tempfile::tempdir().expect("a folder");
    let options = NatsOptions {
        authorization: Some(identity::authorization(dir.path()).expect("accounts")),
        ..NatsOptions::default()
    };
    let nats = NatsServer::start(options).await.expect("nats-server");
    let keys = identity::keys(dir.path()).expect("keys");
    let options = connection(nats.settings(&keys, "provisioner").expect("settings"));
    let mut diff = vec!["provision", "--diff"];
    diff.extend(options.iter().map(String::as_str));
    let missing = bonesetter(&diff, "");
    assert_eq!(missing.status.code(), Some(2), "{}", stderr(&missing));
    assert!(stdout(&missing).contains("stream BONESETTER_REDRIVE"));
    let json = bonesetter(&[&diff[..], &["-o", "json"]].concat(), "");
    let json: Vec<Value> = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert!(json.iter().all(|one| one["drift"] == "missing"));

    let outside = keys.nkey_seed("provisioner-external");
    let outside = outside.to_str().expect("a path");
    let both = [&diff[..], &["--external-nkey-file", outside]].concat();
    let both = stdout(&bonesetter(&both, ""));
    assert!(both.contains("copy EXTERNAL_DIAGNOSED_JSON"), "{both}");

    let refused = run(&world, "operator", &["provision", "--diff"]);
    assert_eq!(refused.status.code(), Some(1));
    let words = stderr(&refused);
    let says_whose = "this takes the nkey of the user \"provisioner\"";
    assert!(words.contains(says_whose), "{words}");
}
