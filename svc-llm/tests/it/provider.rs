//! Servers that answer as recorded, or as a hostile model would.

use std::net::TcpListener;
use std::time::Duration;

use bonesetter_proto::v1::remedy::Fix;
use serde_json::{Value, json};
use svc_llm::DiagnoseError;
use svc_llm::config::{Config, OpenAiSettings, Provider};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::evidence::{BAD_VALUE, diagnosis, handle, input};

fn config(server: &MockServer) -> Config {
    config_at(&server.uri())
}

pub(crate) fn config_at(url: &str) -> Config {
    let openai = OpenAiSettings {
        base_url: format!("{url}/v1"),
        model: "m".to_owned(),
        timeout: Duration::from_secs(20),
        ..OpenAiSettings::default()
    };
    Config {
        provider: Provider::OpenAi,
        openai,
        ..Config::default()
    }
}

pub(crate) async fn serve(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

/// The answer of a recorded exchange.
fn recorded(name: &str) -> ResponseTemplate {
    let file = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let exchange: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let response = &exchange["response"];
    let status: u16 = response["status"].as_u64().unwrap().try_into().unwrap();
    let body = response["body"].as_str().unwrap().as_bytes().to_vec();
    let mut template = ResponseTemplate::new(status).set_body_raw(body, "application/json");
    for (name, value) in response["headers"].as_object().unwrap() {
        if name.starts_with("retry-after") {
            template = template.insert_header(name.as_str(), value.as_str().unwrap());
        }
    }
    template
}

pub(crate) fn completion(content: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "model": "m-2026",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content, "refusal": null } }],
        "usage": { "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100 },
    }))
}

pub(crate) fn answer() -> Value {
    json!({
        "object": "Deployment/shop/orders",
        "summary": "pool_size is a word.",
        "root_cause": "The new revision sets pool_size=ten, which is not an integer.",
        "recommendation": "Roll back to revision 1.",
        "cause": "bad-config-value",
        "confidence": 0.9,
        "evidence": [{ "evidence_id": "log/orders-1/app/previous", "quote": "invalid value \"ten\"" }],
        "remedy_kind": "roll_back",
        "to_revision": 1,
        "container": null,
        "memory_limit_bytes": null,
    })
}

#[tokio::test]
async fn a_good_answer_is_published_with_model_tokens_and_hash() {
    let server = serve(completion(&answer().to_string())).await;
    let output = handle(&config(&server), &input(BAD_VALUE)).await;
    let diagnosis = diagnosis(&output);
    assert_eq!(
        (diagnosis.diagnoser.as_str(), diagnosis.model.as_str()),
        ("openai", "m-2026")
    );
    assert_eq!(
        (diagnosis.tokens, diagnosis.response_hash.len()),
        (1_100, 64)
    );
    assert!(diagnosis.degraded_reason.is_empty() && diagnosis.summary == "pool_size is a word.");
    let fix = diagnosis
        .remedy
        .as_ref()
        .and_then(|remedy| remedy.fix.as_ref());
    assert!(matches!(fix, Some(Fix::RollBack(fix)) if fix.to_revision == 1));
}

#[tokio::test]
async fn every_request_has_a_boundary_of_its_own() {
    let server = serve(completion(&answer().to_string())).await;
    for _ in 0..2 {
        handle(&config(&server), &input(BAD_VALUE)).await;
    }
    let requests = server.received_requests().await.unwrap();
    let boundaries = requests.iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        let user = messages.last().unwrap()["content"].as_str().unwrap();
        let (_, rest) = user.split_once("<evidence boundary=\"").unwrap();
        let boundary = rest[..rest.find('"').unwrap()].to_owned();
        assert_eq!(user.matches(&boundary).count(), 2, "{user}");
        assert_eq!(boundary.len(), 32);
        boundary
    });
    let boundaries: Vec<String> = boundaries.collect();
    assert_eq!(boundaries.len(), 2);
    assert_ne!(boundaries[0], boundaries[1]);
}

#[tokio::test]
async fn every_recorded_failure_ends_in_the_rules_answer_and_says_why() {
    let offline = handle(&Config::default(), &input(BAD_VALUE)).await;
    for (name, reason) in [
        ("openai-chat-400", "invalid-request"),
        ("openai-chat-401", "unauthenticated"),
        ("openai-chat-404", "model-not-found"),
        ("openai-chat-429", "rate-limited"),
        ("azure-chat-429", "rate-limited"),
        ("azure-chat-400-filter", "content-filter"),
        ("azure-chat-filter", "content-filter"),
        ("openai-chat-refusal", "refused"),
        ("openai-chat-length", "truncated"),
        ("openai-chat-tool-forced", "malformed"),
        ("openai-chat-schema", "malformed"),
        ("ollama-openai-schema", "malformed"),
        ("vllm-chat-text", "malformed"),
        ("openai-chat-text", "malformed"),
    ] {
        let server = serve(recorded(name)).await;
        let output = handle(&config(&server), &input(BAD_VALUE)).await;
        let mut degraded = diagnosis(&output).clone();
        assert_eq!(degraded.degraded_reason, reason, "{name}");
        assert!(DiagnoseError::REASONS.contains(&reason), "{reason}");
        degraded.degraded_reason.clear();
        degraded.latency_ms = diagnosis(&offline).latency_ms;
        assert_eq!(&degraded, diagnosis(&offline), "{name}");
        let asked = server.received_requests().await.unwrap().len();
        assert_eq!(asked, 1, "{name} was asked {asked} times");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_in_the_rules_answer() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut config = Config {
        provider: Provider::OpenAi,
        ..Config::default()
    };
    config.openai.base_url = format!("http://127.0.0.1:{port}/v1");
    let output = handle(&config, &input(BAD_VALUE)).await;
    assert_eq!(diagnosis(&output).degraded_reason, "transport");
    assert_eq!(diagnosis(&output).diagnoser, "rules");
}

#[tokio::test]
async fn a_silent_server_ends_at_the_deadline() {
    let server = serve(completion("{}").set_delay(Duration::from_mins(1))).await;
    let mut config = config(&server);
    config.openai.timeout = Duration::from_secs(1);
    let output = handle(&config, &input(BAD_VALUE)).await;
    assert_eq!(diagnosis(&output).degraded_reason, "timeout");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_sent_once_more_and_shorter() {
    let too_long = json!({ "error": { "message": "maximum context length is 10 tokens", "code": "context_length_exceeded" } });
    let server = serve(ResponseTemplate::new(400).set_body_json(too_long)).await;
    let mut document: Value = serde_json::from_str(BAD_VALUE).unwrap();
    let lines: Vec<Value> = (0..400)
        .map(|n| json!({ "text": format!("line {n} {}", "x".repeat(400)) }))
        .collect();
    for n in 0..8 {
        let mut more = document["evidence"]["items"][2].clone();
        more["id"] = json!(format!("log/orders-{n}/app/current"));
        more["log"]["pod"]["name"] = json!(format!("orders-{n}0"));
        more["log"]["lines"] = json!(lines);
        document["evidence"]["items"]
            .as_array_mut()
            .unwrap()
            .push(more);
    }
    let message = input(&document.to_string());
    let output = handle(&config(&server), &message).await;
    assert_eq!(diagnosis(&output).degraded_reason, "context-too-long");
    let sizes: Vec<usize> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1] * 2 < sizes[0], "{sizes:?}");
}

#[tokio::test]
async fn a_busy_provider_is_asked_once_more() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "0"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(completion(&answer().to_string()))
        .mount(&server)
        .await;
    let output = handle(&config(&server), &input(BAD_VALUE)).await;
    assert_eq!(diagnosis(&output).diagnoser, "openai");
}

#[tokio::test]
async fn credentials_are_sent_from_files_that_may_rotate() {
    let dir = tempfile::tempdir().unwrap();
    let (key, auth) = (dir.path().join("key"), dir.path().join("auth"));
    std::fs::write(&key, "first\n").unwrap();
    std::fs::write(&auth, "X-Gateway-Auth: open sesame\n").unwrap();
    for secret in ["first", "second"] {
        std::fs::write(&key, secret).unwrap();
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(header("authorization", format!("Bearer {secret}").as_str()))
            .and(header("x-gateway-auth", "open sesame"))
            .and(body_partial_json(json!({ "model": "m", "stream": false, "response_format": { "type": "json_schema" } })))
            .respond_with(completion(&answer().to_string()))
            .expect(1)
            .mount(&server)
            .await;
        let mut config = config(&server);
        config.openai.api_key_file = Some(key.clone());
        config.openai.auth_header_file = Some(auth.clone());
        let output = handle(&config, &input(BAD_VALUE)).await;
        assert_eq!(diagnosis(&output).diagnoser, "openai");
    }
    let server = serve(completion("{}")).await;
    let mut config = config(&server);
    config.openai.api_key_file = Some(dir.path().join("gone"));
    let output = handle(&config, &input(BAD_VALUE)).await;
    assert_eq!(diagnosis(&output).degraded_reason, "credentials-unreadable");
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_hostile_server_brings_in_no_change_of_its_own() {
    let huge = "x".repeat(2 << 20);
    let mut other_object = answer();
    other_object["object"] = json!("Deployment/kube-system/coredns");
    let mut other_revision = answer();
    other_revision["to_revision"] = json!(99);
    let mut unknown_container = answer();
    unknown_container["remedy_kind"] = json!("set_memory");
    unknown_container["container"] = json!("sidecar");
    unknown_container["memory_limit_bytes"] = json!(1);
    let nested = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let named = |model: &str| {
        let choices =
            json!([{ "finish_reason": "stop", "message": { "content": answer().to_string() } }]);
        ResponseTemplate::new(200).set_body_json(json!({ "model": model, "choices": choices }))
    };
    for response in [
        named("<script>"),
        named(&huge[..300]),
        completion(&other_object.to_string()),
        completion(&other_revision.to_string()),
        completion(&unknown_container.to_string()),
        completion(&nested),
        completion(&huge),
        ResponseTemplate::new(200).set_body_string(huge.clone()),
        ResponseTemplate::new(200).set_body_string(nested.clone()),
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(200).set_body_json(json!({ "choices": [] })),
        ResponseTemplate::new(200)
            .set_body_json(json!({ "choices": [{ "message": { "content": 5 } }] })),
        ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"),
        ResponseTemplate::new(204),
    ] {
        let server = serve(response).await;
        let output = handle(&config(&server), &input(BAD_VALUE)).await;
        let diagnosis = diagnosis(&output);
        let rules = handle(&Config::default(), &input(BAD_VALUE)).await;
        let is_rules = diagnosis.diagnoser == "rules"
            && diagnosis.remedy == rules.message.diagnosis.as_ref().unwrap().remedy;
        assert!(is_rules || diagnosis.remedy.is_none(), "{diagnosis:?}");
        assert!(!diagnosis.model.contains(['<', 'x']), "{diagnosis:?}");
    }
}
