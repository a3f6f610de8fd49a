//! The request of Chat Completions.

use serde_json::{Value, json};

use crate::answer::schema;
use crate::prompt::Prompt;

/// Tokens that an answer may use, those of a thinking model included.
const MAX_COMPLETION_TOKENS: u32 = 8_192;

/// The address of the method below a base such as `https://api.openai.com/v1`. A query, which Azure
/// wants for its API version, stays at the end.
pub(crate) fn url(base: &str) -> String {
    match base.split_once('?') {
        Some((path, query)) => {
            format!("{}/chat/completions?{query}", path.trim_end_matches('/'))
        }
        None => format!("{}/chat/completions", base.trim_end_matches('/')),
    }
}

/// The body: two messages, the schema in strict mode, no streaming. Temperature is left alone, because
/// thinking models refuse it.
pub(crate) fn body(model: &str, prompt: &Prompt) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": prompt.system },
            { "role": "user", "content": prompt.user },
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "diagnosis", "strict": true, "schema": schema() },
        },
        "max_completion_tokens": MAX_COMPLETION_TOKENS,
        "stream": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_azure_s_query() {
        for (base, expected) in [
            (
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "http://127.0.0.1:11434/v1/",
                "http://127.0.0.1:11434/v1/chat/completions",
            ),
            (
                "https://x.openai.azure.com/openai/deployments/gpt-4o?api-version=2024-10-21",
                "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            ),
        ] {
            assert_eq!(url(base), expected);
        }
    }

    #[test]
    fn the_schema_is_strict_and_flat() {
        let prompt = Prompt {
            system: "s".to_owned(),
            user: "u".to_owned(),
        };
        let body = body("m", &prompt);
        let format = &body["response_format"]["json_schema"];
        assert_eq!(format["strict"], true);
        let schema = &format["schema"];
        assert_eq!(schema["additionalProperties"], false);
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(
            schema["required"].as_array().unwrap().len(),
            properties.len()
        );
    }
}
