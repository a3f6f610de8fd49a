//! The cited items, cut to what is cited.

use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_proto::v1::{
    Citation, Evidence, EvidenceItem, KubernetesObject, LogChunk, RolloutChange,
};
use serde_json::{Map, Value};

/// Lines shown before and after a cited one.
const LINES_BEFORE: usize = 3;
const LINES_AFTER: usize = 1;
/// A larger value at a pointer is not an excerpt any more.
const MAX_VALUE_BYTES: usize = 2_048;

/// Each cited item once, in the order of the citations, with what is cited and little around it. An object
/// keeps its shape, so that the cited pointers resolve in the excerpt too.
pub(crate) fn excerpts(evidence: &Evidence, citations: &[Citation]) -> Vec<EvidenceItem> {
    let mut found: Vec<EvidenceItem> = Vec::new();
    for citation in citations {
        if found.iter().any(|known| known.id == citation.evidence_id) {
            continue;
        }
        let Some(item) = evidence
            .items
            .iter()
            .find(|item| item.id == citation.evidence_id)
        else {
            continue;
        };
        let quotes: Vec<&str> = citations
            .iter()
            .filter(|other| other.evidence_id == item.id)
            .map(|other| other.quote.as_str())
            .collect();
        let content = item.content.as_ref().map(|content| cut(content, &quotes));
        found.push(EvidenceItem {
            id: item.id.clone(),
            content,
        });
    }
    found
}

fn cut(content: &Content, quotes: &[&str]) -> Content {
    match content {
        Content::Object(object) => Content::Object(KubernetesObject {
            r#ref: object.r#ref.clone(),
            json: cut_object(&object.json, quotes),
        }),
        Content::Log(log) => Content::Log(cut_log(log, quotes)),
        Content::Change(change) => Content::Change(RolloutChange {
            changes: change
                .changes
                .iter()
                .filter(|field| quotes.contains(&field.path.as_str()))
                .cloned()
                .collect(),
            ..change.clone()
        }),
        small @ (Content::Event(_) | Content::Node(_) | Content::Note(_)) => small.clone(),
    }
}

fn cut_log(log: &LogChunk, quotes: &[&str]) -> LogChunk {
    let cited: Vec<usize> = (0..log.lines.len())
        .filter(|index| {
            quotes
                .iter()
                .any(|quote| log.lines[*index].text.contains(quote))
        })
        .collect();
    // A quote such as "error" may occur often; its newest occurrences are the ones that matter.
    let newest = &cited[cited.len().saturating_sub(quotes.len().max(1) * 2)..];
    let is_near = |index: usize| {
        newest.iter().any(|cited| {
            (cited.saturating_sub(LINES_BEFORE)..=cited + LINES_AFTER).contains(&index)
        })
    };
    let kept: Vec<usize> = (0..log.lines.len())
        .filter(|index| is_near(*index))
        .collect();
    let left_out = log.lines.len() - kept.len();
    LogChunk {
        lines: kept
            .into_iter()
            .map(|index| log.lines[index].clone())
            .collect(),
        lines_left_out: log.lines_left_out.saturating_add(left_out as u64),
        ..log.clone()
    }
}

/// The object with nothing but the cited values; left-out elements of lists are null.
fn cut_object(json: &[u8], pointers: &[&str]) -> Vec<u8> {
    let Ok(whole) = serde_json::from_slice::<Value>(json) else {
        return Vec::new();
    };
    let mut part = Value::Null;
    for pointer in pointers {
        if let Some(value) = whole.pointer(pointer) {
            let value = if value.to_string().len() > MAX_VALUE_BYTES {
                Value::String("<cut>".to_owned())
            } else {
                value.clone()
            };
            let segments: Vec<&str> = pointer.split('/').skip(1).collect();
            graft(&mut part, &whole, &segments, value);
        }
    }
    part.to_string().into_bytes()
}

fn graft(part: &mut Value, whole: &Value, segments: &[&str], value: Value) {
    let Some((first, rest)) = segments.split_first() else {
        *part = value;
        return;
    };
    if let Value::Array(items) = whole {
        let Some((index, item)) = first
            .parse::<usize>()
            .ok()
            .and_then(|index| Some((index, items.get(index)?)))
        else {
            return;
        };
        if !part.is_array() {
            *part = Value::Array(Vec::new());
        }
        if let Value::Array(parts) = part {
            if parts.len() <= index {
                parts.resize(index + 1, Value::Null);
            }
            graft(&mut parts[index], item, rest, value);
        }
        return;
    }
    let name = bonesetter_proto::pointer_name(first).into_owned();
    let Some(field) = whole.get(&name) else {
        return;
    };
    if !part.is_object() {
        *part = Value::Object(Map::new());
    }
    if let Value::Object(fields) = part {
        graft(
            fields.entry(name).or_insert(Value::Null),
            field,
            rest,
            value,
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::case::cite;
    use crate::fixture::{Fixture, crash_loop};

    #[test]
    fn an_excerpt_holds_what_is_cited_and_its_pointers_resolve() {
        let evidence = Fixture::deployment("web", &json!({ "name": "app", "image": "web:2" }))
            .pod(&crash_loop("Error", 1))
            .log(
                true,
                &["one", "two", "three", "four", "boom", "five", "six"],
            )
            .rollout(1, 2, true, &[("/spec/a", "1", "2"), ("/spec/b", "1", "2")])
            .build();
        let pod = "object/Pod/web-6d9f-x1";
        let log = "log/web-6d9f-x1/app/previous";
        let pointer = "/status/containerStatuses/0/lastState/terminated/exitCode";
        let citations = [
            cite(pod, pointer),
            cite(pod, "/spec/containers/0/image"),
            cite(log, "boom"),
            cite("change/Deployment/web", "/spec/b"),
            cite("nothing", "boom"),
        ];
        let found = excerpts(&evidence, &citations);
        let ids: Vec<_> = found.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, [pod, log, "change/Deployment/web"]);
        let Some(Content::Object(object)) = &found[0].content else {
            panic!()
        };
        let json: Value = serde_json::from_slice(&object.json).unwrap();
        assert_eq!(json.pointer(pointer), Some(&json!(1)));
        assert_eq!(
            json.pointer("/spec/containers/0/image"),
            Some(&json!("web:2"))
        );
        assert_eq!(json.pointer("/metadata"), None);
        let Some(Content::Log(log)) = &found[1].content else {
            panic!()
        };
        let texts: Vec<_> = log.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["two", "three", "four", "boom", "five"]);
        assert_eq!(log.lines_left_out, 2);
        let Some(Content::Change(change)) = &found[2].content else {
            panic!()
        };
        assert_eq!(change.changes.len(), 1);
    }

    #[test]
    fn large_values_are_cut_and_lists_keep_their_places() {
        let object = json!({ "a": [{ "b": 1 }, { "c": "x".repeat(5_000) }, { "d/e": 2 }] });
        let part = cut_object(
            object.to_string().as_bytes(),
            &["/a/1/c", "/a/2/d~1e", "/none"],
        );
        let part: Value = serde_json::from_slice(&part).unwrap();
        assert_eq!(part, json!({ "a": [null, { "c": "<cut>" }, { "d/e": 2 }] }));
    }
}
