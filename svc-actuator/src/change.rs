//! A change as it is published: identities, fields and digests, never values.

use bonesetter_keys::{DigestKey, content_hash};
use bonesetter_proto::v1::{Change, Remedy, Target};
use prost::Message as _;

use crate::edit::Edits;

const CHANGE: &str = "change";
const INVERSE: &str = "inverse";

/// The idempotency key of an effect: the same remedy for the same object in the same incident is one
/// effect, however often it is decided on.
pub fn effect_key(incident: &str, remedy: &Remedy) -> String {
    let bare = Remedy {
        rationale: String::new(),
        ..remedy.clone()
    }
    .encode_to_vec();
    let mut bytes = Vec::with_capacity(8 + incident.len() + bare.len());
    bytes.extend_from_slice(&(incident.len() as u64).to_be_bytes());
    bytes.extend_from_slice(incident.as_bytes());
    bytes.extend_from_slice(&bare);
    content_hash(&bytes)
}

/// Describes what a remedy would do; without edits it could not be rendered.
pub fn describe(
    key: &DigestKey,
    effect_key: String,
    remedy: &Remedy,
    target: &Target,
    edits: Option<&Edits>,
) -> Change {
    let digest = |purpose: &str, edits: Option<Edits>| {
        edits
            .map(|edits| key.digest(purpose, &edits.canonical()))
            .unwrap_or_default()
    };
    Change {
        effect_key,
        target: Some(target.clone()),
        remedy: Some(remedy.clone()),
        fields: edits.map(Edits::fields).unwrap_or_default(),
        change_digest: digest(CHANGE, edits.cloned()),
        inverse_digest: digest(INVERSE, edits.map(Edits::inverse)),
        suggested_command: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::remedy::Fix;
    use bonesetter_proto::v1::{ObjectRef, RollBack};
    use serde_json::json;

    use super::*;
    use crate::edit::pointer;

    fn remedy(uid: &str, to_revision: i64, rationale: &str) -> Remedy {
        let object = ObjectRef {
            uid: uid.to_owned(),
            ..ObjectRef::default()
        };
        Remedy {
            target: Some(Target {
                object: Some(object),
                ..Target::default()
            }),
            fix: Some(Fix::RollBack(RollBack { to_revision })),
            rationale: rationale.to_owned(),
        }
    }

    #[test]
    fn an_effect_is_named_by_incident_object_and_fix() {
        let key = effect_key("i", &remedy("u", 1, "because"));
        assert_eq!(key, effect_key("i", &remedy("u", 1, "for another reason")));
        for other in [
            effect_key("j", &remedy("u", 1, "")),
            effect_key("i", &remedy("v", 1, "")),
            effect_key("i", &remedy("u", 2, "")),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn a_change_is_published_without_values() {
        let before = json!({"env": "hunter2"});
        let after = json!({"env": "hunter3"});
        let edits = Edits::between(&pointer(&["spec"]), Some(&before), Some(&after));
        let key = DigestKey::from_bytes(&[1; 32]);
        let change = describe(
            &key,
            "k".to_owned(),
            &remedy("u", 1, ""),
            &Target::default(),
            Some(&edits),
        );
        assert_eq!(change.fields, ["/spec/env"]);
        assert_eq!(
            (change.change_digest.len(), change.inverse_digest.len()),
            (64, 64)
        );
        assert_ne!(change.change_digest, change.inverse_digest);
        assert!(!format!("{change:?}").contains("hunter"));
    }
}
