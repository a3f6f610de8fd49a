//! Measures `bonesetter replay --since 30d --with rules=DIR` over a bus of its own, beside raw reading of
//! the same streams by a pull consumer on the same server in the same run.
//!
//! `cargo run --release -p bonesetter --example bench-replay -- BONESETTER [INCIDENTS]`, where BONESETTER is
//! the program to measure.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement ends with what it could not do, and prints"
)]

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer};
use bonesetter_chassis::bus::with_certificates;
use futures::StreamExt as _;
use serde_json::Value;

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/world.rs"]
mod world;

use world::{BAD_VALUE, Case, End, OUT_OF_MEMORY, World};

/// What a minute must hold.
const GOAL: f64 = 10_000.0;
/// Of each; the median counts.
const ROUNDS: usize = 3;
/// Log lines that are added to the evidence of every incident, about 16 KiB.
const LINES: usize = 160;
const STREAMS: [&str; 3] = [
    "BONESETTER_ACTED",
    "BONESETTER_DIAGNOSED",
    "BONESETTER_REDACTED",
];
const RULES: &str = "
rules:
- cause: x-licence-refused
  when: {log: 'licence server (?P<server>\\S+) answered 402'}
  confidence: 0.97
  summary: '{workload}: {server} refuses the licence.'
  recommendation: Renew the licence.
";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().expect("the program to measure");
    let count = arguments
        .next()
        .map_or(10_000, |text| text.parse().expect("a number"));
    // The one right that raw reading needs and nobody has.
    let world = World::start_with(|accounts| {
        let info = "\"$JS.API.INFO\"";
        let next = "\"$JS.API.CONSUMER.MSG.NEXT.>\"";
        accounts.replacen(info, &format!("{info}\n            {next}"), 1)
    })
    .await;
    let started = Instant::now();
    let bytes = fill(&world, count).await;
    println!(
        "{count} incidents, {:.0} MiB of evidence, published in {:.0} s",
        mebibytes(bytes),
        started.elapsed().as_secs_f64()
    );
    let rules = tempfile::tempdir().expect("a folder");
    std::fs::write(rules.path().join("own.yaml"), RULES).expect("written");
    let with = format!("rules={}", rules.path().display());
    let (mut replayed, mut raw) = (Vec::new(), Vec::new());
    let mut is_right = true;
    for round in 1..=ROUNDS {
        let (took, messages) = read_raw(&world).await;
        raw.push(took);
        let (spent, history) = replay(&world, &program, &with);
        is_right &= is_as_it_should_be(&history, count);
        replayed.push(spent);
        println!(
            "round {round}: raw {messages} messages in {:.2} s, replay in {:.2} s",
            took.as_secs_f64(),
            spent.as_secs_f64()
        );
    }
    let per_minute = |spent: &mut Vec<Duration>| {
        spent.sort();
        let median = spent[spent.len() / 2].as_secs_f64();
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) * 60.0 / median
    };
    let (product, limit) = (per_minute(&mut replayed), per_minute(&mut raw));
    println!(
        "result: bench-replay incidents={count} per_minute={product:.0} raw_ratio={:.2} raw_per_minute={limit:.0} right={is_right}",
        product / limit
    );
    ExitCode::from(u8::from(!(is_right && product >= GOAL)))
}

/// Publishes incidents, two kinds by turns, and returns how many bytes of evidence they have.
async fn fill(world: &World, count: usize) -> usize {
    let one = |number: usize| async move {
        let (document, name) = if number.is_multiple_of(2) {
            (BAD_VALUE, "orders")
        } else {
            (OUT_OF_MEMORY, "cache")
        };
        let case = Case::new(&long(document), name, number, End::Proposed);
        world.redact(&case).await;
        world.diagnose(&case).await;
        world.act(&case).await;
        prost::Message::encoded_len(&case.redacted)
    };
    futures::stream::iter(0..count)
        .map(one)
        .buffer_unordered(64)
        .fold(0, |sum, bytes| async move { sum + bytes })
        .await
}

/// A document with as many log lines before the last ones as real evidence has.
fn long(document: &str) -> String {
    let mut document: Value = serde_json::from_str(document).expect("JSON");
    let items = document["evidence"]["items"].as_array_mut().expect("items");
    for item in items {
        let Some(lines) = item.pointer_mut("/log/lines").and_then(Value::as_array_mut) else {
            continue;
        };
        for number in 0..LINES {
            let text = format!(
                "INFO handler: request {number} of the checkout answered with 200 in {} ms, cart of {} items",
                number % 17,
                number % 5
            );
            lines.insert(0, serde_json::json!({"text": text}));
        }
    }
    document.to_string()
}

/// Reads the streams that the replay reads, as fast as this client and server can.
async fn read_raw(world: &World) -> (Duration, u64) {
    let settings = world.bus.server.settings(&world.bus.keys, "provisioner");
    let settings = settings.expect("settings");
    let seed = std::fs::read_to_string(&settings.nkey_file).expect("a seed");
    let options =
        ConnectOptions::with_nkey(seed.trim().to_owned()).custom_inbox_prefix("_INBOX_provisioner");
    let client = with_certificates(options, &settings.tls)
        .expect("certificates")
        .connect(settings.url)
        .await
        .expect("connected");
    let js = jetstream::new(client);
    let started = Instant::now();
    let mut messages = 0;
    for name in STREAMS {
        let stream = js.get_stream(name).await.expect("a stream");
        let config = consumer::pull::Config {
            name: Some(format!("raw-{}", rand::random::<u32>())),
            ack_policy: consumer::AckPolicy::None,
            filter_subject: stream.cached_info().config.subjects[0].clone(),
            inactive_threshold: Duration::from_secs(30),
            ..consumer::pull::Config::default()
        };
        let reader = stream.create_consumer(config).await.expect("a consumer");
        let mut left = stream.cached_info().state.messages;
        let mut all = reader
            .stream()
            .max_messages_per_batch(500)
            .messages()
            .await
            .expect("messages");
        while left > 0 {
            all.next().await.expect("a message").expect("readable");
            left -= 1;
            messages += 1;
        }
    }
    (started.elapsed(), messages)
}

/// Runs the command as people do, from its start to its end.
fn replay(world: &World, program: &str, with: &str) -> (Duration, Value) {
    let arguments = world.trusting(&["replay", "--since", "30d", "--with", with, "-o", "json"]);
    let started = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program runs");
    let took = started.elapsed();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (took, serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Every second incident has the new cause, and every one was run again.
fn is_as_it_should_be(history: &Value, count: usize) -> bool {
    history["incidents"] == count
        && history["unproven"] == 0
        && history["differences"]["cause"] == count / 2
        && history["causes"][0]["replayed"] == "x-licence-refused"
}

fn mebibytes(bytes: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "printed without decimals")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}
