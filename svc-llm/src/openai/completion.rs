//! The answer of Chat Completions.

use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::classify;
use crate::diagnoser::DiagnoseError;

/// A longer name of a model is none.
const LONGEST_NAME: usize = 200;

/// What a model wrote, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) text: String,
    /// As the provider names it, which may be more exact than what was asked for.
    pub(crate) model: String,
    /// Prompt and answer together; cached and thinking tokens are part of these counts.
    pub(crate) tokens: u64,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<serde_json::Value>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<String>,
    /// Missing where Azure's filter has blocked the answer.
    #[serde(default)]
    message: Option<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// Reads the body of an answer with status 200, which is not yet success.
pub(crate) fn parse(body: &[u8]) -> Result<Completion, DiagnoseError> {
    let read: Body = serde_json::from_slice(body)
        .map_err(|_| DiagnoseError::Malformed("its body is not a chat completion"))?;
    if read.error.as_ref().is_some_and(|error| !error.is_null()) {
        return Err(classify::failure(200, &HeaderMap::new(), body));
    }
    let choice = read
        .choices
        .into_iter()
        .next()
        .ok_or(DiagnoseError::Malformed("it holds no choice"))?;
    match choice.finish_reason.as_deref() {
        Some("content_filter") => return Err(DiagnoseError::ContentFilter),
        Some("length") => return Err(DiagnoseError::Truncated),
        _ => {}
    }
    let message = choice
        .message
        .ok_or(DiagnoseError::Malformed("its choice holds no message"))?;
    if message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(DiagnoseError::Refused);
    }
    if !is_name_of_model(&read.model) {
        return Err(DiagnoseError::Malformed("the name of its model is none"));
    }
    let text = message.content.filter(|text| !text.trim().is_empty());
    let usage = read.usage.unwrap_or_default();
    Ok(Completion {
        text: text.ok_or(DiagnoseError::Malformed("it is empty"))?,
        model: read.model,
        tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
    })
}

/// Whether a text may be the name of a model, which people are shown: a word, a tag, a path; servers may leave it out.
fn is_name_of_model(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "-_.:/\\@+ ".contains(c);
    text.len() <= LONGEST_NAME && text.chars().all(is_inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_model_is_a_name() {
        for name in [
            "",
            "gpt-5.2-2026-03-01",
            "llama3.3:70b",
            "/models/Qwen3 32B+q4.gguf",
            "org/model@sha256:ab",
        ] {
            assert!(is_name_of_model(name), "{name}");
        }
        let long = "m".repeat(LONGEST_NAME + 1);
        for name in [
            "<script>",
            "m\u{1b}[2J",
            "m\u{202e}",
            "[m](http://x)",
            "m\nm",
            &long,
        ] {
            assert!(!is_name_of_model(name), "{name}");
        }
    }
}
