use serde_json::Value;

use crate::world::{BAD_VALUE, Case, End, OUT_OF_MEMORY, World};
use crate::{bonesetter, stderr, stdout};

/// Runs the command; it must succeed.
pub(crate) fn run(arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = bonesetter(&arguments, "");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

pub(crate) fn json(arguments: &[String]) -> Value {
    serde_json::from_str(&run(arguments)).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_rebuilt_with_its_causes_inputs_and_signatures() {
    let world = World::start().await;
    let case = Case::new(OUT_OF_MEMORY, "cache", 1, End::Mended);
    world.publish_case(&case).await;
    let record = json(&world.trusting(&["replay", case.id(), "-o", "json"]));
    assert_eq!(record["name"], "cache-1");
    assert_eq!(record["complete"], true);
    let roots = record["messages"].as_array().unwrap();
    assert_eq!((roots.len(), &roots[1]["step"]), (2, &"resolved".into()));
    assert_eq!(roots[1]["signature"]["state"], "valid");
    let mut path = Vec::new();
    let mut node = &roots[0];
    let mut cause = Value::Null;
    loop {
        let subject = node["subject"].as_str().unwrap();
        path.push(subject.split('.').nth(2).unwrap().to_owned());
        if node["stage"] != "detected" && node["absent"].is_null() {
            assert_eq!(node["caused_by"], cause["subject"]);
        }
        if cause["output"].is_object() {
            assert_eq!(
                node["input"],
                if node["absent"].is_null() {
                    cause["output"].clone()
                } else {
                    Value::Null
                }
            );
        }
        let expected = match path.last().map(String::as_str) {
            Some("detected" | "redacted" | "diagnosed" | "acted") => "valid",
            _ => "not-signed",
        };
        if node["absent"].is_null() {
            assert_eq!(node["signature"]["state"], expected, "{subject}");
        }
        cause = node.clone();
        match node["caused"].as_array().unwrap().as_slice() {
            [next] => node = next,
            [] => break,
            more => panic!("{more:?}"),
        }
    }
    let stages = [
        "detected",
        "enriched",
        "redacted",
        "diagnosed",
        "acted",
        "acted",
        "acted",
        "notified",
    ];
    assert_eq!(path, stages);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_who_decided_what_on_which_evidence() {
    let world = World::start().await;
    let case = Case::new(BAD_VALUE, "orders", 1, End::Proposed);
    world.publish_case(&case).await;
    // The beginning of the id is enough.
    let before = world.last_sequences().await;
    let text = run(&world.trusting(&["replay", &case.id()[..6]]));
    assert_eq!(world.last_sequences().await, before);
    for expected in [
        case.id(),
        "Deployment shop/orders-1",
        "sealed: only svc-redactor can open it",
        "✓ holds, key",
        "bad-config-value",
        "log/orders-1-1/app/previous",
        "Because         mode-suggest: changes are only suggested",
        "the workload has recovered",
        "Told            platform (slack): delivered",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours are for terminals");
    let unchecked = run(&world.arguments(&["replay", case.id()]));
    assert!(
        unchecked.contains("not checked: give --trusted-dir"),
        "{unchecked}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_aged_out_is_said_to_have_and_the_rest_is_shown() {
    let world = World::start().await;
    let case = Case::new(BAD_VALUE, "orders", 1, End::Proposed);
    // Nothing older than the decision is left, as it is after 90 days.
    world.act(&case).await;
    let text = run(&world.trusting(&["replay", case.id()]));
    assert!(text.contains("diagnosed open\n"), "{text}");
    assert!(
        text.contains("not stored any more: its stream keeps messages for 90 days"),
        "{text}"
    );
    assert!(text.contains("what is shown is what is left"), "{text}");
    let record = json(&world.trusting(&["replay", case.id(), "-o", "json"]));
    assert_eq!(record["complete"], false);
    let none = "a".repeat(26);
    let arguments = world.arguments(&["replay", &none]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = bonesetter(&arguments, "");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("nothing is stored") && said.contains("redacted 30 d"),
        "{said}"
    );
}
