//! What has the shape of a placeholder before anything was redacted, and so is none of ours.

use bonesetter_proto::v1::EvidenceItem;
use bonesetter_proto::v1::evidence_item::Content;
use bonesetter_redact::Session;
use serde_json::Value;

use crate::removals::Tally;

/// Replaces it in every text of an item, so that nobody who has seen a placeholder can have it taken for the
/// value that it stands for.
pub(crate) fn defuse(session: &mut Session, tally: &mut Tally, item: &mut EvidenceItem) {
    let mut texts = Texts { session, found: 0 };
    match &mut item.content {
        Some(Content::Object(object)) => {
            if let Ok(mut json) = serde_json::from_slice(&object.json) {
                let found = texts.found;
                texts.value(&mut json);
                if texts.found > found {
                    object.json = json.to_string().into_bytes();
                }
            }
        }
        Some(Content::Event(event)) => {
            texts.text(&mut event.message);
            texts.text(&mut event.reason);
        }
        Some(Content::Log(log)) => {
            for line in &mut log.lines {
                texts.text(&mut line.text);
            }
        }
        Some(Content::Change(rollout)) => {
            for field in &mut rollout.changes {
                texts.text(&mut field.before);
                texts.text(&mut field.after);
            }
        }
        Some(Content::Node(node)) => {
            for condition in &mut node.conditions {
                texts.text(&mut condition.message);
            }
            node.taints.iter_mut().for_each(|taint| texts.text(taint));
        }
        Some(Content::Note(note)) => texts.text(&mut note.text),
        None => {}
    }
    for _ in 0..texts.found {
        tally.forged(&item.id);
    }
}

struct Texts<'a> {
    session: &'a mut Session,
    found: usize,
}

impl Texts<'_> {
    fn text(&mut self, text: &mut String) {
        if let Some(defused) = self.session.defuse(text) {
            *text = defused;
            self.found += 1;
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(string) => self.text(string),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(fields) => {
                for (name, mut value) in std::mem::take(fields) {
                    let mut name = name;
                    self.text(&mut name);
                    self.value(&mut value);
                    fields.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
