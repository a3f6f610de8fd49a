use std::collections::BTreeSet;

use async_nats::jetstream::ErrorCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::provision::{ProvisionError, USER, bucket_config, consumer_config, stream_config};
use super::{Bus, provision_external};
use crate::topology::{
    BUCKETS, COPIES, CopySpec, EXTERNAL_ACCOUNT, ExternalUser, STREAMS, consumers,
};

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
    /// The server has it, and the table has not: nothing else belongs into the account.
    Unknown {
        /// For example `stream SPY`, which may be a mirror of one of ours.
        what: String,
    },
}

/// Compares everything in the topology with what the server has. Changes nothing.
pub async fn drift(bus: &Bus) -> Result<Vec<Drift>, ProvisionError> {
    let streams = STREAMS.iter().map(|stream| Wanted {
        what: format!("stream {}", stream.name),
        name: stream.name.to_owned(),
        config: as_json(&stream_config(stream)),
        consumers: Some(
            consumers()
                .filter(|consumer| consumer.stream == *stream)
                .map(|consumer| {
                    (
                        consumer.name.to_owned(),
                        as_json(&consumer_config(consumer)),
                    )
                })
                .collect(),
        ),
    });
    let buckets = BUCKETS.iter().map(|bucket| Wanted {
        what: format!("stream KV_{}", bucket.name),
        name: format!("KV_{}", bucket.name),
        config: as_json(&bucket_config(bucket)),
        consumers: Some(Vec::new()),
    });
    let account = Account { bus, user: USER };
    let wanted: Vec<_> = streams.chain(buckets).collect();
    account.compare(&wanted, "").await
}

/// The same for the account of external tools. Without a list of these their consumers are not compared.
pub async fn drift_external(
    bus: &Bus,
    tools: Option<&[ExternalUser]>,
) -> Result<Vec<Drift>, ProvisionError> {
    let of_tools = |copy: &CopySpec| {
        let consumers = tools?.iter().flat_map(ExternalUser::consumers);
        let consumers = consumers.filter(|consumer| consumer.copy == *copy);
        let wanted = consumers.map(|consumer| {
            let config = as_json(&provision_external::consumer_config(&consumer));
            (consumer.name, config)
        });
        Some(wanted.collect())
    };
    let wanted = COPIES.iter().map(|copy| Wanted {
        what: format!("copy {}", copy.name),
        name: copy.name.to_owned(),
        config: as_json(&provision_external::config(copy)),
        consumers: of_tools(copy),
    });
    let user = provision_external::USER;
    let account = Account { bus, user };
    let wanted: Vec<_> = wanted.collect();
    let place = format!(" of account {EXTERNAL_ACCOUNT}");
    account.compare(&wanted, &place).await
}

/// A stream as it should be.
struct Wanted {
    /// As it is called.
    what: String,
    name: String,
    config: Value,
    /// Names and configurations; `None` when they are not compared.
    consumers: Option<Vec<(String, Value)>>,
}

/// An account, as one may look at it who provisions it.
struct Account<'a> {
    bus: &'a Bus,
    user: &'static str,
}

impl Account<'_> {
    /// `place` says where a stream is that nobody wants.
    async fn compare(&self, wanted: &[Wanted], place: &str) -> Result<Vec<Drift>, ProvisionError> {
        let mut found = Vec::new();
        for stream in wanted {
            self.compare_stream(stream, &mut found).await?;
        }
        for name in pages(self.bus, self.user, "STREAM.NAMES", "streams").await? {
            let name = name.as_str().unwrap_or_default();
            if !wanted.iter().any(|stream| stream.name == name) {
                found.push(Drift::Unknown {
                    what: format!("stream {name}{place}"),
                });
            }
        }
        Ok(found)
    }

    async fn compare_stream(
        &self,
        wanted: &Wanted,
        found: &mut Vec<Drift>,
    ) -> Result<(), ProvisionError> {
        let (what, name) = (&wanted.what, &wanted.name);
        let called = |consumer: &str| format!("consumer {consumer} of {name}");
        let consumers = wanted.consumers.as_deref();
        let info = format!("STREAM.INFO.{name}");
        let Some(info) = ask(self.bus, self.user, &info, &json!({})).await? else {
            found.push(Drift::Missing { what: what.clone() });
            let consumers = consumers.unwrap_or_default().iter();
            found.extend(consumers.map(|(consumer, _)| Drift::Missing {
                what: called(consumer),
            }));
            return Ok(());
        };
        found.extend(differences(what, &wanted.config, &info["config"]));
        let Some(consumers) = consumers else {
            return Ok(());
        };
        let list = format!("CONSUMER.LIST.{name}");
        let there = pages(self.bus, self.user, &list, "consumers").await?;
        for (consumer, wanted) in consumers {
            let what = called(consumer);
            match there.iter().find(|info| info["name"] == consumer.as_str()) {
                Some(info) => found.extend(differences(&what, wanted, &info["config"])),
                None => found.push(Drift::Missing { what }),
            }
        }
        for info in &there {
            let consumer = info["name"].as_str().unwrap_or_default();
            if !consumers.iter().any(|(name, _)| name == consumer) {
                found.push(Drift::Unknown {
                    what: called(consumer),
                });
            }
        }
        Ok(())
    }
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
        if field == "metadata" || field == "name" || is_same(a, b) {
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

/// Whether two values mean the same to the server, also within lists and objects.
fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        _ if is_unset(one) && is_unset(other) => true,
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(a, b)| is_same(Some(a), Some(b)))
        }
        (Some(Value::Object(one)), Some(Value::Object(other))) => one
            .keys()
            .chain(other.keys())
            .all(|key| is_same(one.get(key), other.get(key))),
        _ => one == other,
    }
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

    #[test]
    fn defaults_within_a_list_are_no_difference_and_others_are() {
        let wanted = json!({"sources": [{"name": "A", "filter_subject": "a.>", "domain": null}]});
        for (found, expected) in [
            (
                json!({"name": "A", "filter_subject": "a.>", "opt_start_seq": 0}),
                0,
            ),
            (json!({"name": "A", "filter_subject": ">"}), 1),
            (json!({"name": "A"}), 1),
            (
                json!({"name": "A", "filter_subject": "a.>", "opt_start_seq": 9}),
                1,
            ),
        ] {
            let found = json!({ "sources": [found] });
            let differences = differences("copy C", &wanted, &found);
            assert_eq!(differences.len(), expected, "{found}");
        }
    }
}
