use std::collections::BTreeSet;

use async_nats::jetstream::ErrorCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Bus;
use super::provision::{ProvisionError, USER, bucket_stream, consumer_config, stream_config};
use crate::topology::{BUCKETS, STREAMS, consumers};

/// What is ours by its name, whether or not the table has it.
const PREFIXES: [&str; 2] = ["BONESETTER_", "KV_bonesetter-"];

/// One thing in which a server differs from the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "drift", rename_all = "kebab-case")]
pub enum Drift {
    /// The table has it and the server has not.
    Missing {
        /// For example `stream BONESETTER_DLQ`.
        what: String,
    },
    /// Both have it, with another value of one field.
    Differs {
        /// For example `consumer enricher of BONESETTER_DETECTED`.
        what: String,
        /// As the server names it.
        field: String,
        /// By the table; null for what it leaves at the server's default.
        wanted: Value,
        /// On the server.
        found: Value,
    },
    /// The server has it, it is ours by its name or its stream, and the table has not.
    Unknown {
        /// For example `stream BONESETTER_OLD`.
        what: String,
    },
}

/// Compares everything in the topology with what the server has. Changes nothing.
pub async fn drift(bus: &Bus) -> Result<Vec<Drift>, ProvisionError> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for stream in STREAMS {
        let wanted = as_json(&stream_config(stream));
        known.insert(stream.name.to_owned());
        compare_stream(bus, stream.name, &wanted, &mut found).await?;
    }
    for bucket in BUCKETS {
        let wanted = bucket_stream(bucket);
        let name = format!("KV_{}", bucket.name);
        compare_stream(bus, &name, &wanted, &mut found).await?;
        known.insert(name);
    }
    for name in pages(bus, USER, "STREAM.NAMES", "streams").await? {
        let name = name.as_str().unwrap_or_default();
        if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !known.contains(name) {
            found.push(Drift::Unknown {
                what: format!("stream {name}"),
            });
        }
    }
    Ok(found)
}

async fn compare_stream(
    bus: &Bus,
    name: &str,
    wanted: &Value,
    found: &mut Vec<Drift>,
) -> Result<(), ProvisionError> {
    let what = format!("stream {name}");
    let specs = || consumers().filter(|consumer| consumer.stream.name == name);
    let Some(info) = ask(bus, USER, &format!("STREAM.INFO.{name}"), &json!({})).await? else {
        found.push(Drift::Missing { what });
        found.extend(specs().map(|spec| Drift::Missing {
            what: format!("consumer {} of {name}", spec.name),
        }));
        return Ok(());
    };
    found.extend(differences(&what, wanted, &info["config"]));
    let there = pages(bus, USER, &format!("CONSUMER.LIST.{name}"), "consumers").await?;
    for spec in specs() {
        let what = format!("consumer {} of {name}", spec.name);
        let wanted = as_json(&consumer_config(spec));
        match there.iter().find(|info| info["name"] == spec.name) {
            Some(info) => found.extend(differences(&what, &wanted, &info["config"])),
            None => found.push(Drift::Missing { what }),
        }
    }
    for info in &there {
        let consumer = info["name"].as_str().unwrap_or_default();
        if !specs().any(|spec| spec.name == consumer) {
            found.push(Drift::Unknown {
                what: format!("consumer {consumer} of {name}"),
            });
        }
    }
    Ok(())
}

fn as_json(config: &impl Serialize) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

/// Field by field. What one side does not set is compared as the server's default.
fn differences(what: &str, wanted: &Value, found: &Value) -> Vec<Drift> {
    let empty = Map::new();
    let wanted = wanted.as_object().unwrap_or(&empty);
    let found = found.as_object().unwrap_or(&empty);
    let fields: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut drift = Vec::new();
    for field in fields {
        let (a, b) = (wanted.get(field), found.get(field));
        if field == "metadata" || field == "name" || (is_unset(a) && is_unset(b)) || a == b {
            continue;
        }
        drift.push(Drift::Differs {
            what: what.to_owned(),
            field: field.clone(),
            wanted: a.cloned().unwrap_or_default(),
            found: b.cloned().unwrap_or_default(),
        });
    }
    drift
}

/// The values by which JetStream writes that something is not limited or not used.
fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => true,
        Some(Value::Number(number)) => matches!(number.as_i64(), Some(0 | -1)),
        Some(Value::String(text)) => ["", "none", "default"].contains(&text.as_str()),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.values().all(|value| is_unset(Some(value))),
        Some(Value::Bool(true)) => false,
    }
}

/// All pages of an answer. Source: NATS documentation, "NATS JetStream API reference", paged responses.
pub(super) async fn pages(
    bus: &Bus,
    user: &str,
    request: &str,
    field: &str,
) -> Result<Vec<Value>, ProvisionError> {
    let mut all = Vec::new();
    loop {
        let query = json!({ "offset": all.len() });
        let Some(mut page) = ask(bus, user, request, &query).await? else {
            return Ok(all);
        };
        let total = page["total"].as_u64().unwrap_or_default();
        let Value::Array(items) = page[field].take() else {
            return Ok(all);
        };
        if items.is_empty() {
            return Ok(all);
        }
        all.extend(items);
        if all.len() as u64 >= total {
            return Ok(all);
        }
    }
}

/// `None` where the stream is not there.
async fn ask(
    bus: &Bus,
    user: &str,
    request: &str,
    query: &Value,
) -> Result<Option<Value>, ProvisionError> {
    let what = format!("what is there ({request})");
    let answer: Value = bus
        .js
        .request(request.to_owned(), query)
        .await
        .map_err(|error| ProvisionError::as_user(bus, what.clone(), &error.into(), user))?;
    let Some(error) = answer.get("error") else {
        return Ok(Some(answer));
    };
    if error["err_code"].as_u64() == Some(ErrorCode::STREAM_NOT_FOUND.0) {
        return Ok(None);
    }
    let reason = error["description"]
        .as_str()
        .unwrap_or("an error")
        .to_owned();
    Err(ProvisionError::saying(what, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_the_default_of_the_server() {
        let wanted = json!({"max_msgs": 0, "sealed": false, "max_age": 5, "sources": null});
        let found =
            json!({"max_msgs": -1, "max_age": 5, "compression": "none", "consumer_limits": {}});
        assert_eq!(differences("stream S", &wanted, &found), []);
        let found = json!({"max_age": 6, "allow_rollup_hdrs": true});
        let fields: Vec<_> = differences("stream S", &wanted, &found)
            .into_iter()
            .map(|drift| match drift {
                Drift::Differs { field, .. } => field,
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(fields, ["allow_rollup_hdrs", "max_age"]);
    }
}
