//! A model's answer: its schema, and what may become of it.

use bonesetter_proto::is_unprintable;
use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Diagnosis, Remedy};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::case::{Case, cite};
use crate::diagnoser::DiagnoseError;
use crate::ground::{ground, is_grounded};
use crate::prompt::object_name;
use crate::remedy::describe;
use crate::rules;

/// A longer answer is not an answer.
pub(crate) const MAX_ANSWER_BYTES: usize = 32 * 1024;
const MAX_TEXT_BYTES: usize = 2_000;
const MAX_CITATIONS: usize = 20;
/// What a model's word alone is worth, where it contradicts rules that are sure.
const CONTRADICTING: f64 = 0.5;
const RULES_ARE_SURE: f64 = 0.8;

/// The answer as the schema has it: flat, every field required, unknown ones refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    object: String,
    summary: String,
    root_cause: String,
    recommendation: String,
    cause: String,
    confidence: f64,
    evidence: Vec<Evidence>,
    remedy_kind: RemedyKind,
    // Without this, what is left out would pass for null.
    #[serde(deserialize_with = "Option::deserialize")]
    to_revision: Option<i64>,
    #[serde(deserialize_with = "Option::deserialize")]
    container: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    memory_limit_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    evidence_id: String,
    quote: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RemedyKind {
    None,
    RollBack,
    SetMemory,
}

/// The JSON schema of an answer, in the subset that every provider accepts in strict mode.
pub(crate) fn schema() -> Value {
    let text = json!({ "type": "string" });
    let evidence = json!({
        "type": "object",
        "properties": { "evidence_id": text, "quote": text },
        "required": ["evidence_id", "quote"],
        "additionalProperties": false,
    });
    let properties = json!({
        "object": text,
        "summary": text,
        "root_cause": text,
        "recommendation": text,
        "cause": text,
        "confidence": { "type": "number" },
        "evidence": { "type": "array", "items": evidence },
        "remedy_kind": { "type": "string", "enum": ["none", "roll_back", "set_memory"] },
        "to_revision": { "type": ["integer", "null"] },
        "container": { "type": ["string", "null"] },
        "memory_limit_bytes": { "type": ["integer", "null"] },
    });
    let required: Vec<&String> = properties
        .as_object()
        .map(|fields| fields.keys().collect())
        .unwrap_or_default();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Makes a diagnosis of an answer, or refuses it. `offline` is what the rules say of the same case.
///
/// A remedy is offered only where the model and the rules agree on it, and then it is the rules' own: a
/// model can take a change away and never bring one in.
pub(crate) fn accept(
    case: &Case<'_>,
    text: &str,
    offline: &Diagnosis,
) -> Result<Diagnosis, DiagnoseError> {
    let answer = read(text)?;
    if answer.object != object_name(case) {
        return Err(DiagnoseError::Unverified("it is about another object"));
    }
    let mut confidence = answer.confidence.clamp(0.0, 0.97);
    let is_known = rules::CAUSES.contains(&answer.cause.as_str()) || answer.cause == offline.cause;
    let contradicts = answer.cause != offline.cause && offline.confidence >= RULES_ARE_SURE;
    let mut root_cause = answer.root_cause.clone();
    if contradicts {
        confidence = confidence.min(CONTRADICTING);
        let note = format!(" (The rules say otherwise: {})", offline.summary);
        root_cause.push_str(&note);
    }
    let citations: Vec<_> = answer
        .evidence
        .iter()
        .map(|evidence| cite(&evidence.evidence_id, evidence.quote.as_str()))
        .collect();
    if !citations.iter().any(|citation| is_grounded(case, citation)) {
        return Err(DiagnoseError::Unverified(
            "nothing that it cites is in the evidence",
        ));
    }
    let (remedy, note) = agreed(&answer, offline);
    let diagnosis = Diagnosis {
        summary: answer.summary,
        root_cause,
        recommendation: answer.recommendation + &note,
        confidence,
        citations,
        remedy,
        cause: if is_known {
            answer.cause
        } else {
            String::new()
        },
        ..Diagnosis::default()
    };
    Ok(ground(case, diagnosis))
}

fn read(text: &str) -> Result<Answer, DiagnoseError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(DiagnoseError::Malformed("it is too long"));
    }
    let text = text.trim();
    // Some local models fence JSON although they are told not to.
    let text = text
        .strip_prefix("```json")
        .or_else(|| text.strip_prefix("```"))
        .unwrap_or(text);
    let text = text.strip_suffix("```").unwrap_or(text);
    let answer =
        parse(text.trim()).ok_or(DiagnoseError::Malformed("it does not follow the schema"))?;
    let texts = [&answer.summary, &answer.root_cause, &answer.recommendation];
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(DiagnoseError::Malformed("it leaves a statement empty"));
    }
    if texts.iter().any(|text| text.len() > MAX_TEXT_BYTES) {
        return Err(DiagnoseError::Malformed("a statement is too long"));
    }
    if texts
        .iter()
        .any(|text| text.chars().any(|c| is_unprintable(c) && c != '\n'))
    {
        return Err(DiagnoseError::Malformed(
            "a statement holds characters that are not seen",
        ));
    }
    if !answer.confidence.is_finite() || !(0.0..=1.0).contains(&answer.confidence) {
        return Err(DiagnoseError::Malformed(
            "its confidence is not between 0 and 1",
        ));
    }
    if answer.evidence.len() > MAX_CITATIONS {
        return Err(DiagnoseError::Malformed("it cites too much"));
    }
    Ok(answer)
}

/// An answer that follows the schema. Fields without names, which the types would take as well, do not.
fn parse(text: &str) -> Option<Answer> {
    let answer = serde_json::from_str(text).ok()?;
    let value: Value = serde_json::from_str(text).ok()?;
    let cited = value.get("evidence")?.as_array()?;
    cited.iter().all(Value::is_object).then_some(answer)
}

/// The rules' remedy, if the model wants the same; and what people are told otherwise.
fn agreed(answer: &Answer, offline: &Diagnosis) -> (Option<Remedy>, String) {
    let of_rules = offline.remedy.as_ref();
    let agrees = match of_rules.and_then(|remedy| remedy.fix.as_ref()) {
        Some(Fix::RollBack(fix)) => {
            answer.remedy_kind == RemedyKind::RollBack
                && answer.to_revision == Some(fix.to_revision)
        }
        Some(Fix::SetMemory(fix)) => {
            answer.remedy_kind == RemedyKind::SetMemory
                && answer.container.as_deref() == Some(fix.container.as_str())
                && answer.memory_limit_bytes.is_some()
        }
        None => answer.remedy_kind == RemedyKind::None,
    };
    if agrees {
        return (of_rules.cloned(), String::new());
    }
    let rules = of_rules.map_or_else(|| "no change".to_owned(), describe);
    let model = match answer.remedy_kind {
        RemedyKind::None => "no change",
        RemedyKind::RollBack => "a rollback",
        RemedyKind::SetMemory => "another memory limit",
    };
    let note = format!(" (No change is offered: the model proposes {model}, the rules {rules}.)");
    (None, note)
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{Evidence, FailureClass};

    use super::*;
    use crate::fixture::{Fixture, crash_loop};

    const LINE: &str =
        "FATAL config: key \"pool_size\": invalid value \"ten\": expected an integer";
    const LOG: &str = "log/web-6d9f-x1/app/previous";

    fn rolled_out() -> Evidence {
        Fixture::deployment("web", &json!({ "name": "app", "args": ["pool_size=ten"] }))
            .pod(&crash_loop("Error", 1))
            .log(true, &[LINE])
            .rollout(
                1,
                2,
                true,
                &[(
                    "/spec/containers/0/args/0",
                    "\"pool_size=10\"",
                    "\"pool_size=ten\"",
                )],
            )
            .build()
    }

    fn killed() -> Evidence {
        let resources = json!({ "limits": { "memory": "64Mi" } });
        Fixture::deployment("web", &json!({ "name": "app", "resources": resources }))
            .pod(&crash_loop("OOMKilled", 137))
            .log(true, &["warming up"])
            .build()
    }

    fn honest() -> Value {
        json!({
            "object": "Deployment/shop/web",
            "summary": "The new revision sets pool_size to a word.",
            "root_cause": "pool_size must be an integer.",
            "recommendation": "Roll back.",
            "cause": "bad-config-value",
            "confidence": 0.9,
            "evidence": [{ "evidence_id": LOG, "quote": "invalid value" }],
            "remedy_kind": "roll_back",
            "to_revision": 1,
            "container": null,
            "memory_limit_bytes": null,
        })
    }

    fn with(changes: &Value) -> Value {
        let mut answer = honest();
        for (field, value) in changes.as_object().unwrap() {
            answer[field] = value.clone();
        }
        answer
    }

    fn ask(evidence: &Evidence, text: &str) -> Result<Diagnosis, DiagnoseError> {
        let case = Case::over(evidence, FailureClass::CrashLoopBackOff);
        accept(&case, text, &rules::diagnose(&case))
    }

    #[test]
    fn an_honest_answer_is_taken_with_the_rules_remedy() {
        let evidence = rolled_out();
        for text in [honest().to_string(), format!("```json\n{}\n```", honest())] {
            let diagnosis = ask(&evidence, &text).unwrap();
            assert_eq!(diagnosis.cause, "bad-config-value");
            assert_eq!(diagnosis.citations.len(), 1);
            let case = Case::over(&evidence, FailureClass::CrashLoopBackOff);
            assert_eq!(diagnosis.remedy, rules::diagnose(&case).remedy);
            assert!(diagnosis.remedy.is_some());
        }
    }

    #[test]
    fn what_does_not_follow_the_schema_is_refused() {
        let long = "x".repeat(5_000);
        for (changes, reason) in [
            (json!({ "object": "Deployment/other/web" }), "unverified"),
            (json!({ "evidence": [] }), "unverified"),
            (
                json!({ "evidence": [{ "evidence_id": "log/none", "quote": "invalid value" }] }),
                "unverified",
            ),
            (
                json!({ "evidence": [{ "evidence_id": LOG, "quote": "never said" }] }),
                "unverified",
            ),
            (
                json!({ "evidence": [{ "evidence_id": LOG, "quote": "" }] }),
                "unverified",
            ),
            (json!({ "confidence": "high" }), "malformed"),
            (json!({ "confidence": 7 }), "malformed"),
            (json!({ "summary": "" }), "malformed"),
            (json!({ "summary": long }), "malformed"),
            (json!({ "summary": "clear \u{1b}[2J" }), "malformed"),
            (json!({ "recommendation": "all \u{202e}enif" }), "malformed"),
            (json!({ "root_cause": "fine\u{e0041}" }), "malformed"),
            (json!({ "remedy_kind": "patch" }), "malformed"),
            (json!({ "to_revision": "1" }), "malformed"),
            (json!({ "memory_limit_bytes": -1 }), "malformed"),
            (
                json!({ "patch": { "spec": { "replicas": 0 } } }),
                "malformed",
            ),
            (
                json!({ "evidence": vec![json!({ "evidence_id": LOG, "quote": "invalid" }); 21] }),
                "malformed",
            ),
        ] {
            let error = ask(&rolled_out(), &with(&changes).to_string()).unwrap_err();
            assert_eq!(error.reason(), reason, "{changes}");
        }
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "Sure! Here is the JSON:",
            "{\"object\":",
            &"[".repeat(100_000),
        ] {
            assert_eq!(ask(&rolled_out(), text).unwrap_err().reason(), "malformed");
        }
    }

    /// Whether a value is of a type of JSON schema.
    fn is_of(schema: &Value, value: &Value) -> bool {
        let types = &schema["type"];
        let types = types
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![types.clone()]);
        let is_named = |name: &str| types.iter().any(|it| it == name);
        match value {
            Value::Null => is_named("null"),
            Value::Bool(_) => is_named("boolean"),
            Value::Number(number) => is_named("number") || is_named("integer") && number.is_i64(),
            Value::String(text) => {
                let named = schema["enum"].as_array();
                is_named("string") && named.is_none_or(|named| named.contains(&json!(text)))
            }
            Value::Array(_) => is_named("array"),
            Value::Object(_) => is_named("object"),
        }
    }

    /// The fields of an answer as the types have them.
    const ORDER: [&str; 11] = [
        "object",
        "summary",
        "root_cause",
        "recommendation",
        "cause",
        "confidence",
        "evidence",
        "remedy_kind",
        "to_revision",
        "container",
        "memory_limit_bytes",
    ];

    /// What is read and what the provider is told are two texts, and must say the same.
    #[test]
    fn the_schema_is_what_an_answer_is_held_to() {
        let schema = schema();
        let samples = [
            json!(null),
            json!(true),
            json!(1),
            json!(0.5),
            json!("patch"),
            json!([]),
            json!({}),
        ];
        let refused = |answer: &Value| match read(&answer.to_string()) {
            Ok(_) => false,
            Err(error) => error.to_string().contains("does not follow the schema"),
        };
        let item = &schema["properties"]["evidence"]["items"];
        for (pointer, properties) in [
            ("", &schema["properties"]),
            ("/evidence/0", &item["properties"]),
        ] {
            for (field, schema) in properties.as_object().unwrap() {
                let mut answer = honest();
                let object = answer.pointer_mut(pointer).unwrap();
                object.as_object_mut().unwrap().remove(field);
                assert!(refused(&answer), "without {pointer}/{field}");
                for sample in &samples {
                    let mut answer = honest();
                    answer.pointer_mut(pointer).unwrap()[field] = sample.clone();
                    assert_eq!(
                        refused(&answer),
                        !is_of(schema, sample),
                        "{pointer}/{field} is {sample}"
                    );
                }
            }
            let mut answer = honest();
            let object = answer.pointer_mut(pointer).unwrap();
            let fields = ORDER.iter().chain(&["evidence_id", "quote"]);
            let unnamed = fields.filter_map(|field| object.get(*field));
            *object = unnamed.cloned().collect();
            assert!(refused(&answer), "no names in {pointer}");
            let mut answer = honest();
            answer.pointer_mut(pointer).unwrap()["more"] = json!(1);
            assert!(refused(&answer), "more in {pointer}");
        }
    }

    #[test]
    fn a_hostile_model_brings_in_no_change() {
        let kill = json!({ "evidence_id": "object/Pod/web-6d9f-x1", "quote": "/status/containerStatuses/0/lastState/terminated/reason" });
        for (evidence, changes) in [
            (rolled_out(), json!({ "to_revision": 7 })),
            (rolled_out(), json!({ "to_revision": 0 })),
            (rolled_out(), json!({ "to_revision": null })),
            (
                rolled_out(),
                json!({ "remedy_kind": "set_memory", "container": "app", "memory_limit_bytes": 1 }),
            ),
            (rolled_out(), json!({ "remedy_kind": "none" })),
            (killed(), json!({ "evidence": [kill], "to_revision": 1 })),
            (
                killed(),
                json!({ "evidence": [kill], "remedy_kind": "set_memory", "container": "other", "memory_limit_bytes": 1 }),
            ),
            (
                killed(),
                json!({ "evidence": [kill], "remedy_kind": "set_memory", "container": null, "memory_limit_bytes": 1 }),
            ),
            (
                killed(),
                json!({ "evidence": [kill], "remedy_kind": "set_memory", "container": "app", "memory_limit_bytes": null }),
            ),
        ] {
            let diagnosis = ask(&evidence, &with(&changes).to_string()).unwrap();
            assert_eq!(diagnosis.remedy, None, "{changes}");
            assert!(
                diagnosis.recommendation.contains("No change is offered"),
                "{changes}"
            );
        }
    }

    #[test]
    fn a_model_cannot_choose_the_values_of_a_change() {
        let evidence = killed();
        let kill = json!({ "evidence_id": "object/Pod/web-6d9f-x1", "quote": "/status/containerStatuses/0/lastState/terminated/reason" });
        for limit in [1_u64, 1 << 20, u64::MAX] {
            let changes = json!({ "cause": "memory-limit-too-low", "evidence": [kill], "remedy_kind": "set_memory", "container": "app", "memory_limit_bytes": limit });
            let diagnosis = ask(&evidence, &with(&changes).to_string()).unwrap();
            let Some(Fix::SetMemory(fix)) = diagnosis.remedy.and_then(|remedy| remedy.fix) else {
                panic!()
            };
            assert_eq!(fix.limit, 128 << 20);
        }
    }

    #[test]
    fn a_lie_beside_a_true_quote_is_marked_and_worth_less() {
        let changes = json!({ "cause": "disk-full", "root_cause": "The disk is full.", "evidence": [
            { "evidence_id": LOG, "quote": "invalid value" },
            { "evidence_id": LOG, "quote": "no space left on device" },
        ], "remedy_kind": "none" });
        let diagnosis = ask(&rolled_out(), &with(&changes).to_string()).unwrap();
        assert!(diagnosis.confidence <= CONTRADICTING);
        assert!(diagnosis.root_cause.contains("The rules say otherwise"));
        assert!(
            diagnosis
                .root_cause
                .contains("1 of 2 citations could not be found")
        );
        assert_eq!((diagnosis.citations.len(), diagnosis.remedy), (1, None));
        let unknown = with(&json!({ "cause": "gremlins" })).to_string();
        assert_eq!(ask(&rolled_out(), &unknown).unwrap().cause, "");
    }
}
