use std::path::{Path, PathBuf};

use base64::Engine as _;
use bonesetter_chassis::bus::PublishError;
use bonesetter_proto::v1::{Acted, Detected, Diagnosed, Notified, Redacted};
use bonesetter_proto::{Message, Stage};
use prost::Message as _;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::replay::{json, run};
use crate::world::{BAD_VALUE, Case, End, OUT_OF_MEMORY, World};
use crate::{bonesetter, stderr};

const RULES: &str = "
rules:
- cause: x-licence-refused
  when: {log: 'licence server (?P<server>\\S+) answered 402', kinds: [Deployment]}
  confidence: 0.97
  summary: '{workload}: {server} refuses the licence.'
  recommendation: Renew the licence.
overrides:
- {cause: memory-limit-too-low, max_confidence: 0.5}
";
const AUTO: &str = "mode: auto\nauto_apply_namespaces: [shop]\n";
const STRICT: &str =
    "mode: auto\nauto_apply_namespaces: [shop]\nbounds: {memory: {max_factor: 1, max: 4Gi}}\n";

/// A file of the test's own, as the value of an argument.
fn file(dir: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn two_incidents() -> (World, Case, Case) {
    let world = World::start().await;
    let proposed = Case::new(BAD_VALUE, "orders", 1, End::Proposed);
    let mended = Case::new(OUT_OF_MEMORY, "cache", 1, End::Mended);
    world.publish_case(&proposed).await;
    world.publish_case(&mended).await;
    (world, proposed, mended)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_are_run_over_the_stored_evidence_and_nothing_is_published() {
    let (world, _, mended) = Box::pin(two_incidents()).await;
    let dir = tempfile::tempdir().unwrap();
    file(dir.path(), "own.yaml", RULES);
    let with = format!("rules={}", dir.path().display());
    let before = world.last_sequences().await;
    let replayed = json(&world.trusting(&["replay", mended.id(), "--with", &with, "-o", "json"]));
    let step = &replayed["steps"][0];
    assert_eq!(
        step["differs"],
        json!(["cause", "remedy-gone", "change-gone"])
    );
    assert_eq!(
        step["recorded"]["diagnosis"]["cause"],
        "memory-limit-too-low"
    );
    assert_eq!(step["recorded"]["decision"]["verdict"], "apply");
    assert_eq!(step["replayed"]["diagnosis"]["cause"], "x-licence-refused");
    assert_eq!(
        step["replayed"]["diagnosis"]["summary"],
        "Deployment cache-1: licences.internal refuses the licence."
    );
    assert_eq!(step["replayed"]["decision"]["verdict"], "explain");
    let shown = run(&world.trusting(&["replay", mended.id(), "--with", &with]));
    for expected in [
        "differs in cause, remedy-gone, change-gone",
        "memory-limit-too-low",
        "│ x-licence-refused",
        "set the memory limit of container app to 128Mi",
        "│ none",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    run(&world.trusting(&["replay", "--since", "1d", "--with", &with]));
    assert_eq!(world.last_sequences().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credentials_of_a_replay_could_not_have_written_anything() {
    async fn try_it<M: Message>(world: &World, case: &Case) {
        // Even whoever has the operator's credentials and a key that is trusted to sign.
        let mut common = world.bus.common("operator").unwrap();
        common.keys.signing_file = M::SIGNED_BY.map(|writer| world.bus.keys.signing(writer));
        let operator = world.bus.service_with("operator", common).await.unwrap();
        let subject = case.at(M::STAGE, "forged");
        let published = operator
            .publisher::<M>()
            .unwrap()
            .publish(&subject, M::default(), "")
            .await;
        let error = published.unwrap_err();
        assert!(matches!(error, PublishError::NotAllowed { .. }), "{error}");
    }
    let (world, case, _) = Box::pin(two_incidents()).await;
    let before = world.last_sequences().await;
    try_it::<Detected>(&world, &case).await;
    try_it::<Redacted>(&world, &case).await;
    try_it::<Diagnosed>(&world, &case).await;
    try_it::<Acted>(&world, &case).await;
    try_it::<Notified>(&world, &case).await;
    assert_eq!(world.last_sequences().await, before);
    let raw = bonesetter_chassis::bus::StreamReader::new(
        world.bus.connect("operator").await.unwrap(),
        "BONESETTER_ENRICHED",
    );
    assert!(raw.extent().await.is_err() && raw.subjects(&Stage::Enriched.filter()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_says_what_would_have_been_done_what_is_new_and_what_is_gone() {
    let (world, proposed, mended) = Box::pin(two_incidents()).await;
    let dir = tempfile::tempdir().unwrap();
    let auto = format!("policy={}", file(dir.path(), "auto.yaml", AUTO));
    let strict = format!("policy={}", file(dir.path(), "strict.yaml", STRICT));
    let before = world.last_sequences().await;
    let step = |case: &Case, with: &str| {
        let arguments = world.trusting(&["replay", case.id(), "--with", with, "-o", "json"]);
        json(&arguments)["steps"][0].clone()
    };
    let new = step(&proposed, &auto);
    assert_eq!(new["differs"], json!(["change-new"]));
    assert_eq!(
        new["replayed"]["decision"]["verdict"],
        "apply-if-dry-run-allows"
    );
    assert!(
        text(&new["notes"][0]).contains("dry run were never made"),
        "{new}"
    );
    assert_eq!(
        step(&mended, &auto)["replayed"]["decision"]["verdict"],
        "apply"
    );
    let gone = step(&mended, &strict);
    let violations = &gone["replayed"]["decision"]["violations"];
    assert_eq!(violations[0]["name"], "memory-above-factor");
    let since = |with: &str| {
        ["replay", "--since", "30d", "--with"]
            .map(str::to_owned)
            .into_iter()
            .chain([with.to_owned()])
            .collect::<Vec<_>>()
    };
    let all = |with: &str, output: &[&str]| {
        let mut arguments = since(with);
        arguments.extend(output.iter().map(|it| (*it).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&world.trusting(&arguments))
    };
    let history: Value = serde_json::from_str(&all(&strict, &["-o", "json"])).unwrap();
    assert_eq!(
        (&history["incidents"], &history["unproven"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        history["differences"],
        json!({"change-new": 1, "change-gone": 1})
    );
    assert_eq!(history["changed"].as_array().unwrap().len(), 2);
    assert_eq!(
        history["verdicts"],
        json!({
            "apply": {"recorded": 1, "replayed": 0},
            "apply-if-dry-run-allows": {"recorded": 0, "replayed": 1},
            "suggest": {"recorded": 1, "replayed": 1},
        })
    );
    let shown = all(&strict, &[]);
    for expected in [
        "2 incidents, 2 diagnoses",
        "New: would be applied now, and was not: 1",
        "Gone: was applied, and would not be now: 1",
        "Deployment shop/orders-1",
        "Deployment shop/cache-1",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert_eq!(world.last_sequences().await, before);
}

/// One change per incident: what was made before the window begins counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_before_the_window_is_not_made_again_in_it() {
    let world = World::start().await;
    let late = Case::new(BAD_VALUE, "orders", 1, End::Claimed);
    world.publish_case(&late).await;
    let dir = tempfile::tempdir().unwrap();
    let auto = format!("policy={}", file(dir.path(), "auto.yaml", AUTO));
    let command = ["replay", "--since", "1d", "--with", &auto, "-o", "json"];
    let history = json(&world.trusting(&command));
    assert_eq!(history["differences"], json!({}));
    assert_eq!(
        history["verdicts"],
        json!({"suggest": {"recorded": 1, "replayed": 1}})
    );
    let command = ["replay", late.id(), "--with", &auto, "-o", "json"];
    let step = &json(&world.trusting(&command))["steps"][0];
    assert_eq!(step["replayed"]["decision"]["verdict"], "suggest");
}

/// Whether evidence is gone is not guessed from a question that nobody answered.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_cannot_be_read_is_not_taken_for_gone() {
    let refused = "STREAM.MSG.GET.BONESETTER_REDACTED";
    let edit = |accounts: String| accounts.replace(refused, "STREAM.MSG.GET.NOBODYS");
    let world = World::start_with(edit).await;
    let mended = Case::new(OUT_OF_MEMORY, "cache", 1, End::Mended);
    world.publish_case(&mended).await;
    let dir = tempfile::tempdir().unwrap();
    let auto = format!("policy={}", file(dir.path(), "auto.yaml", AUTO));
    let arguments = world.trusting(&["replay", "--since", "1d", "--with", &auto]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = bonesetter(&arguments, "");
    assert!(!output.status.success());
    let error = stderr(&output);
    assert!(error.contains("not allowed to read stream"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_policy_together_decide_on_what_the_rules_say_now() {
    let (world, _, mended) = Box::pin(two_incidents()).await;
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    file(
        &rules,
        "own.yaml",
        "overrides: [{cause: bad-config-value, remedy: withhold}]",
    );
    let rules = format!("rules={}", rules.display());
    let policy = format!("policy={}", file(dir.path(), "auto.yaml", AUTO));
    let command = [
        "replay", "--since", "30d", "--with", &rules, "--with", &policy, "-o", "json",
    ];
    let history = json(&world.trusting(&command));
    assert_eq!(
        history["differences"],
        json!({"remedy-gone": 1, "reasons": 1})
    );
    let other = format!("policy={}", file(dir.path(), "none.yaml", ""));
    let command = [
        "replay",
        mended.id(),
        "--with",
        &rules,
        "--with",
        &other,
        "-o",
        "json",
    ];
    let step = &json(&world.trusting(&command))["steps"][0];
    assert_eq!(step["differs"], json!(["change-gone"]));
    // Nothing was stored in a time that has not come.
    let command = ["replay", "--since", "0s", "--with", &rules, "-o", "json"];
    assert_eq!(json(&world.trusting(&command))["incidents"], 0);
}

/// An answer as it was recorded of the provider, with what the model said replaced.
fn recorded(name: &str, content: Option<&str>) -> ResponseTemplate {
    let file = format!(
        "{}/../svc-llm/tests/wire/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let exchange: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let response = &exchange["response"];
    let status: u16 = response["status"].as_u64().unwrap().try_into().unwrap();
    let mut body: Value = serde_json::from_str(text(&response["body"])).unwrap();
    if let Some(content) = content {
        body["choices"][0]["message"]["content"] = json!(content);
    }
    ResponseTemplate::new(status).set_body_json(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_asked_about_the_stored_evidence() {
    let (world, proposed, _) = Box::pin(two_incidents()).await;
    let dir = tempfile::tempdir().unwrap();
    let answer = json!({
        "object": "Deployment/shop/orders-1",
        "summary": "pool_size is a word.",
        "root_cause": "The revision sets pool_size=ten.",
        "recommendation": "Correct pool_size.",
        "cause": "bad-config-value",
        "confidence": 0.9,
        "evidence": [{ "evidence_id": "log/orders-1-1/app/previous", "quote": "invalid value \"ten\"" }],
        "remedy_kind": "none",
        "to_revision": null,
        "container": null,
        "memory_limit_bytes": null,
    })
    .to_string();
    for (name, content, summary, degraded) in [
        (
            "openai-chat-schema",
            Some(answer.as_str()),
            "pool_size is a word.",
            "",
        ),
        (
            "openai-chat-401",
            None,
            "configuration value",
            "unauthenticated",
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .respond_with(recorded(name, content))
            .mount(&server)
            .await;
        let providers = format!(
            "providers: {{local: {{base_url: '{}/v1', model: m}}}}\n",
            server.uri()
        );
        let providers = file(dir.path(), "providers.yaml", &providers);
        let command = [
            "replay",
            proposed.id(),
            "--with",
            "provider=local",
            "--providers",
            &providers,
            "-o",
            "json",
        ];
        let before = world.last_sequences().await;
        let step = &json(&world.trusting(&command))["steps"][0];
        assert_eq!(world.last_sequences().await, before);
        let diagnosis = &step["replayed"]["diagnosis"];
        assert!(text(&diagnosis["summary"]).contains(summary), "{step}");
        assert_eq!(diagnosis["degraded_reason"], degraded);
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_is_not_run_again() {
    let (world, proposed, _) = Box::pin(two_incidents()).await;
    let stranger = tempfile::tempdir().unwrap();
    let others = bonesetter_keys::init(stranger.path(), &[]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let with = format!("policy={}", file(dir.path(), "auto.yaml", AUTO));
    let refused = |arguments: &[String], expected: &str| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = bonesetter(&arguments, "");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    };
    let command = ["replay", proposed.id(), "--with", &with];
    refused(&world.arguments(&command), "--with needs --trusted-dir");
    let mut foreign = world.arguments(&command);
    foreign.extend([
        "--trusted-dir".to_owned(),
        others.trusted().display().to_string(),
    ]);
    refused(&foreign, "no trusted signature proves them (3 messages)");
    let mut since = world.arguments(&["replay", "--since", "1d", "--with", &with, "-o", "json"]);
    since.extend([
        "--trusted-dir".to_owned(),
        others.trusted().display().to_string(),
    ]);
    let history = json(&since);
    assert_eq!(
        (&history["incidents"], &history["unproven"]),
        (&json!(0), &json!(6))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_is_made_again_where_the_key_is_and_compared() {
    let (world, proposed, _) = Box::pin(two_incidents()).await;
    let dir = tempfile::tempdir().unwrap();
    // What `svc-redactor replay` prints: here with a line more of the log taken out.
    let mut message = proposed.redacted.clone();
    message.removals.push(bonesetter_proto::v1::Removal {
        kind: "order".to_owned(),
        rule: "own-order-number".to_owned(),
        place: "log/orders-1-1/app/previous".to_owned(),
        count: 3,
    });
    let items = &mut message.evidence.as_mut().unwrap().items;
    items.retain(|item| !item.id.starts_with("log/"));
    let line = json!({
        "subject": proposed.at(Stage::Enriched, "open").to_string(),
        "sequence": 1,
        "redacted": base64::engine::general_purpose::STANDARD.encode(message.encode_to_vec()),
    });
    file(dir.path(), "line", &line.to_string());
    let script = "test \"$1 $2 $3\" = 'replay --rules own.yaml' && cat \"$(dirname \"$0\")/line\"";
    let redactor = format!("sh {}", file(dir.path(), "redactor.sh", script));
    let before = world.last_sequences().await;
    let command = [
        "replay",
        proposed.id(),
        "--with",
        "redaction=own.yaml",
        "--redactor",
        &redactor,
    ];
    let mut arguments = world.trusting(&command);
    let shown = run(&arguments);
    assert!(shown.contains("3 × order by own-order-number"), "{shown}");
    arguments.extend(["-o".to_owned(), "json".to_owned()]);
    let step = &json(&arguments)["steps"][0];
    let differs = step["differs"].as_array().unwrap();
    assert!(
        differs.contains(&json!("redaction")) && differs.contains(&json!("cause")),
        "{step}"
    );
    let order = json!({"kind": "order", "rule": "own-order-number", "recorded": 0, "replayed": 3});
    assert!(
        step["removed"].as_array().unwrap().contains(&order),
        "{step}"
    );
    assert_eq!(world.last_sequences().await, before);
    for (redactor, expected) in [
        ("sh -c false", "svc-redactor replay has failed"),
        (
            "/nonexistent",
            "cannot run /nonexistent; --redactor says how",
        ),
        ("echo nonsense", "printed something else"),
    ] {
        let command = [
            "replay",
            proposed.id(),
            "--with",
            "redaction=own.yaml",
            "--redactor",
            redactor,
        ];
        let arguments = world.trusting(&command);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = bonesetter(&arguments, "");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}
