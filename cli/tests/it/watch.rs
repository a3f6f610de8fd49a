//! Following what happens.

use std::io::{BufRead as _, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::command;
use crate::replay::json;
use crate::world::{BAD_VALUE, Case, End, World};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A watch that runs until it is dropped.
struct Watch {
    child: Child,
    /// What it prints, and what it says of errors.
    lines: Receiver<String>,
}

impl Watch {
    fn start(arguments: &[String]) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = command(&arguments).spawn().expect("the command starts");
        let (sender, lines) = channel();
        pass_on(child.stdout.take().expect("a pipe"), sender.clone());
        pass_on(child.stderr.take().expect("a pipe"), sender);
        Self { child, lines }
    }

    /// The next line that holds the words.
    fn until(&self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(TIMEOUT).expect(words);
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_with_streams_that_were_made_anew() {
    let mut world = World::start().await;
    let [before, after] =
        [1, 2].map(|number| Case::new(BAD_VALUE, "orders", number, End::Proposed));
    let watch = Watch::start(&world.arguments(&["watch", "--from-start"]));
    world.detect(&before).await;
    watch.until(&before.id()[..8]);

    world.lose_streams().await;
    let line = watch.until("made anew");
    assert!(line.contains("BONESETTER_DETECTED"), "{line}");
    world.detect(&after).await;
    watch.until(&after.id()[..8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_an_event_a_line_and_the_same_of_one_incident() {
    let world = World::start().await;
    let case = Case::new(BAD_VALUE, "orders", 1, End::Proposed);
    let watch = Watch::start(&world.arguments(&["watch", "--from-start", "-o", "json"]));
    world.publish_case(&case).await;
    let mut watched = Vec::new();
    for stage in ["detected", "redacted", "diagnosed", "acted", "notified"] {
        let line = watch.until(&format!("\"stage\":\"{stage}\""));
        watched.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    let shown = json(&world.arguments(&["show", case.id(), "-o", "json"]));
    let events = shown["events"].as_array().expect("events");
    for event in &watched {
        assert!(events.contains(event), "{event}\n{shown}");
    }
    assert_eq!(events[0]["writer"], "svc-watcher");
    let acted = events.iter().find(|event| event["stage"] == "acted");
    let decision = &acted.expect("a decision")["details"]["decision"];
    assert_eq!(decision["violations"][0]["name"], "mode-suggest", "{shown}");
    let listed = json(&world.arguments(&["incidents", "-o", "json"]));
    assert_eq!(shown["incident"], listed[0]);
    assert_eq!(shown["incident"]["state"], "resolved");
}
