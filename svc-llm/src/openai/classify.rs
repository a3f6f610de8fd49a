//! What an error of an OpenAI-compatible endpoint means.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::diagnoser::DiagnoseError;

/// What the body of an error says. `error` may be an object, a text, or missing around its fields; `code`
/// may be a word, a number or a number as text.
struct Told {
    code: String,
    kind: String,
    message: String,
}

impl Told {
    fn read(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let error = match value.get("error") {
            Some(Value::String(message)) => {
                return Self {
                    code: String::new(),
                    kind: String::new(),
                    message: message.clone(),
                };
            }
            Some(error) => error,
            None => &value,
        };
        let text = |field: &str| match error.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = [text("message"), text("detail")]
            .into_iter()
            .find(|text| !text.is_empty());
        Self {
            code: text("code"),
            kind: text("type"),
            message: message.unwrap_or_default(),
        }
    }

    fn is(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| self.code == *name || self.kind == *name)
    }

    fn says(&self, texts: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        texts.iter().any(|text| message.contains(text))
    }

    /// A word of the provider that is safe to show; messages may repeat the prompt.
    fn word(&self) -> String {
        let is_word = |text: &&String| {
            !text.is_empty()
                && text.len() <= 48
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        [&self.code, &self.kind]
            .into_iter()
            .find(is_word)
            .cloned()
            .unwrap_or_default()
    }
}

/// The meaning of an answer other than 200; of an error inside an answer of 200, with status 200.
pub(crate) fn failure(status: u16, headers: &HeaderMap, body: &[u8]) -> DiagnoseError {
    let told = Told::read(body);
    if told.is(&[
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
    ]) {
        return DiagnoseError::QuotaExhausted;
    }
    if told.is(&[
        "content_filter",
        "content_policy_violation",
        "ResponsibleAIPolicyViolation",
    ]) {
        return DiagnoseError::ContentFilter;
    }
    if is_too_long(status, &told) {
        return DiagnoseError::ContextTooLong;
    }
    if told.is(&["model_not_found", "DeploymentNotFound"]) {
        return DiagnoseError::ModelNotFound;
    }
    match status {
        401 => DiagnoseError::Auth,
        402 => DiagnoseError::QuotaExhausted,
        403 => DiagnoseError::Forbidden,
        404 => DiagnoseError::ModelNotFound,
        408 | 500..=599 => DiagnoseError::Overloaded { status },
        429 => DiagnoseError::RateLimited {
            after: wait(headers, &told.message),
        },
        _ if told.is(&["rate_limit_exceeded"]) => DiagnoseError::RateLimited {
            after: wait(headers, &told.message),
        },
        _ if told.is(&["server_error", "server_is_overloaded", "overloaded_error"]) => {
            DiagnoseError::Overloaded { status }
        }
        _ if told.is(&["invalid_api_key"]) => DiagnoseError::Auth,
        _ if told.says(&["model"]) && told.says(&["does not exist", "not found"]) => {
            DiagnoseError::ModelNotFound
        }
        _ => DiagnoseError::InvalidRequest { code: told.word() },
    }
}

/// The wordings of OpenAI, vLLM (old and new), Ollama, llama.cpp and gateways in front of others.
fn is_too_long(status: u16, told: &Told) -> bool {
    const TEXTS: [&str; 7] = [
        "maximum context length",
        "context length",
        "context window",
        "context size",
        "prompt is too long",
        "input tokens exceeded",
        "input token count",
    ];
    let codes = [
        "context_length_exceeded",
        "exceed_context_size_error",
        "string_above_max_length",
    ];
    status == 413 || told.is(&codes) || (status < 500 && status != 429 && told.says(&TEXTS))
}

/// The longest of the waits that headers and text name: they contradict each other in the field.
fn wait(headers: &HeaderMap, message: &str) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let millis = header("retry-after-ms").map(|millis| millis / 1_000.0);
    [millis, header("retry-after"), said(message)]
        .into_iter()
        .flatten()
        .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
        .fold(None, |most: Option<f64>, seconds| {
            Some(most.map_or(seconds, |most| most.max(seconds)))
        })
        .map(|seconds| Duration::from_secs_f64(seconds.min(1e9)))
}

/// Seconds in "try again in 114h18m0s", "in 1.5s", "in 20ms", "after 86400 seconds".
fn said(message: &str) -> Option<f64> {
    let lower = message.to_lowercase();
    let rest = ["try again in ", "retry after ", "retry in "]
        .iter()
        .find_map(|text| lower.split_once(text).map(|(_, rest)| rest))?;
    let end = rest.find(|c: char| c.is_whitespace()).unwrap_or(rest.len());
    let word = rest[..end].trim_end_matches(['.', ',']);
    if let Ok(number) = word.parse::<f64>() {
        let minutes = rest[end..].trim_start().starts_with("min");
        return Some(if minutes { number * 60.0 } else { number });
    }
    let mut seconds = 0.0;
    let mut left = word;
    while !left.is_empty() {
        let digits = left.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = left[..digits].parse().ok()?;
        let unit_end = left[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(left.len(), |length| digits + length);
        seconds += number
            * match &left[digits..unit_end] {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        left = &left[unit_end..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::openai::completion::parse;

    /// A recorded exchange of `tests/wire`.
    fn recorded(name: &str) -> (u16, HeaderMap, Vec<u8>) {
        let path = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let exchange: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let response = &exchange["response"];
        let mut headers = HeaderMap::new();
        for (header, value) in response["headers"].as_object().unwrap() {
            headers.insert(
                HeaderName::from_bytes(header.as_bytes()).unwrap(),
                HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
            );
        }
        let status = response["status"].as_u64().unwrap().try_into().unwrap();
        (
            status,
            headers,
            response["body"].as_str().unwrap().as_bytes().to_vec(),
        )
    }

    #[test]
    fn recorded_errors_are_told_apart() {
        for (name, reason) in [
            ("openai-chat-400", "invalid-request"),
            ("openai-chat-401", "unauthenticated"),
            ("openai-chat-404", "model-not-found"),
            ("openai-chat-429", "rate-limited"),
            ("openai-chat-503", "overloaded"),
            ("azure-chat-400-filter", "content-filter"),
            ("azure-chat-404", "model-not-found"),
            ("azure-chat-404-newer", "model-not-found"),
            ("azure-chat-429", "rate-limited"),
        ] {
            let (status, headers, body) = recorded(name);
            assert_eq!(failure(status, &headers, &body).reason(), reason, "{name}");
        }
    }

    #[test]
    fn recorded_answers_of_200_are_not_all_answers() {
        for (name, expected) in [
            ("openai-chat-schema", Ok((162, "gpt-4o-mini-2024-07-18"))),
            ("openai-chat-text", Ok((25, "gpt-4o-mini-2024-07-18"))),
            ("azure-chat-text", Ok((0, "gpt-4.1-mini-2025-04-14"))),
            ("ollama-openai-schema", Ok((151, "qwen3:0.6b"))),
            (
                "vllm-chat-text",
                Ok((79, "meta-llama/Llama-3.2-1B-Instruct")),
            ),
            ("openai-chat-refusal", Err("refused")),
            ("openai-chat-length", Err("truncated")),
            ("azure-chat-length", Err("truncated")),
            ("azure-chat-filter", Err("content-filter")),
            ("openai-chat-tool-forced", Err("malformed")),
        ] {
            let (status, _, body) = recorded(name);
            assert_eq!(status, 200, "{name}");
            let read = parse(&body);
            match (&read, expected) {
                (Ok(completion), Ok((tokens, model))) => {
                    assert_eq!(completion.model, model, "{name}");
                    assert!(
                        tokens == 0 || completion.tokens == tokens,
                        "{name} {}",
                        completion.tokens
                    );
                }
                (Err(error), Err(reason)) => assert_eq!(error.reason(), reason, "{name}"),
                _ => panic!("{name}: {read:?}"),
            }
        }
    }

    #[test]
    fn errors_come_in_every_shape() {
        for (status, body, reason) in [
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                "context-too-long",
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000","type":"BadRequestError","param":null,"code":400}"#,
                "context-too-long",
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
                "context-too-long",
            ),
            (400, r#"{"error":"prompt is too long"}"#, "context-too-long"),
            (413, "", "context-too-long"),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                "quota-exhausted",
            ),
            (402, r#"{"error":"payment required"}"#, "quota-exhausted"),
            (
                404,
                r#"{"error":"model \"llama9\" not found, try pulling it first"}"#,
                "model-not-found",
            ),
            (
                400,
                r#"{"error":{"message":"The requested model 'x' does not exist.","code":"model_not_found"}}"#,
                "model-not-found",
            ),
            (403, "<html>forbidden</html>", "forbidden"),
            (502, "", "overloaded"),
            (
                200,
                r#"{"error":{"type":"server_error","code":"server_is_overloaded","message":"busy"}}"#,
                "overloaded",
            ),
            (
                200,
                r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#,
                "rate-limited",
            ),
            (418, "", "invalid-request"),
            (302, "", "invalid-request"),
            (400, "[]", "invalid-request"),
        ] {
            let error = failure(status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.reason(), reason, "{status} {body}");
            assert!(!error.to_string().contains("tokens"), "{error}");
        }
    }

    #[test]
    fn the_longest_wait_counts() {
        let after = |headers: &[(&'static str, &str)], message: &str| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            wait(&map, message).map(|wait| wait.as_millis())
        };
        assert_eq!(
            after(&[("retry-after-ms", "0"), ("retry-after", "1")], ""),
            Some(1_000)
        );
        assert_eq!(
            after(&[], "Please try again in 114h18m0s. Visit"),
            Some(411_480_000)
        );
        assert_eq!(
            after(&[], "Please retry after 86400 seconds."),
            Some(86_400_000)
        );
        assert_eq!(after(&[], "Please try again in 20ms."), Some(20));
        assert_eq!(after(&[], "Please try again in 6.5s."), Some(6_500));
        assert_eq!(
            after(&[("retry-after", "2")], "try again in 1s"),
            Some(2_000)
        );
        assert_eq!(after(&[("retry-after", "soon")], "later"), None);
        assert_eq!(after(&[("retry-after", "-1")], "try again in never"), None);
    }
}
