//! Messages as JSON, for programs.

use bonesetter_proto::v1::{Diagnosis, Redacted, Remedy, remedy::Fix};
use serde_json::{Value, json};
use svc_llm::evidence_json::Document;

pub(crate) mod body;
pub(crate) mod event;

/// Redacted evidence, in the form that `bonesetter diagnose --file` reads.
pub(crate) fn evidence(message: &Redacted) -> Value {
    serde_json::to_value(Document::of(message)).unwrap_or_default()
}

/// A diagnosis.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> Value {
    let citations: Vec<Value> = diagnosis
        .citations
        .iter()
        .map(|citation| json!({"evidence": citation.evidence_id, "quote": citation.quote}))
        .collect();
    json!({
        "summary": diagnosis.summary,
        "root_cause": diagnosis.root_cause,
        "recommendation": diagnosis.recommendation,
        "confidence": diagnosis.confidence,
        "cause": diagnosis.cause,
        "diagnoser": diagnosis.diagnoser,
        "model": diagnosis.model,
        "degraded_reason": diagnosis.degraded_reason,
        "citations": citations,
        "remedy": diagnosis.remedy.as_ref().map(remedy),
    })
}

pub(crate) fn remedy(remedy: &Remedy) -> Value {
    let mut value = match &remedy.fix {
        Some(Fix::RollBack(fix)) => json!({"fix": "roll_back", "to_revision": fix.to_revision}),
        Some(Fix::SetMemory(fix)) => json!({
            "fix": "set_memory", "container": fix.container,
            "limit_bytes": fix.limit, "request_bytes": fix.request,
        }),
        None => json!({"fix": null}),
    };
    if let Value::Object(map) = &mut value {
        map.insert("rationale".to_owned(), json!(remedy.rationale));
    }
    value
}
