//! The command that a person can paste.
//!
//! It is built of names that have been checked to be Kubernetes names and of numbers, so there is
//! nothing in it that a shell could take for something else, and no value of the object.

use bonesetter_proto::v1::remedy::Fix;
use bonesetter_proto::v1::{Remedy, Target};

use crate::gates::{APPLICABLE_KIND, is_object_name};
use crate::quantity::format_bytes;

/// The command for a remedy; `None` where there is none that is safe to paste.
pub fn suggest(remedy: &Remedy, target: &Target) -> Option<String> {
    let object = target
        .object
        .as_ref()
        .filter(|object| object.kind == APPLICABLE_KIND)?;
    let (namespace, name) = (&object.namespace, &object.name);
    if !is_object_name(namespace) || !is_object_name(name) {
        return None;
    }
    match remedy.fix.as_ref()? {
        Fix::RollBack(fix) if fix.to_revision > 0 => Some(format!(
            "kubectl rollout undo deployment/{name} -n {namespace} --to-revision={}",
            fix.to_revision
        )),
        Fix::SetMemory(fix) if is_object_name(&fix.container) && fix.limit > 0 => {
            let container = &fix.container;
            let limit = format_bytes(fix.limit);
            let mut command = format!(
                "kubectl set resources deployment/{name} -n {namespace} -c {container} --limits=memory={limit}"
            );
            if fix.request > 0 {
                let request = format_bytes(fix.request);
                command.extend([" --requests=memory=", request.as_str()]);
            }
            Some(command)
        }
        Fix::RollBack(_) | Fix::SetMemory(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::{ObjectRef, RollBack, SetMemory};

    use super::*;

    fn command(kind: &str, name: &str, fix: Fix) -> Option<String> {
        let object = ObjectRef {
            kind: kind.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            ..ObjectRef::default()
        };
        let target = Target {
            object: Some(object),
            ..Target::default()
        };
        suggest(
            &Remedy {
                fix: Some(fix),
                ..Remedy::default()
            },
            &target,
        )
    }

    fn roll_back(to_revision: i64) -> Fix {
        Fix::RollBack(RollBack { to_revision })
    }

    fn set_memory(container: &str, limit: u64, request: u64) -> Fix {
        Fix::SetMemory(SetMemory {
            container: container.to_owned(),
            limit,
            request,
        })
    }

    #[test]
    fn commands() {
        assert_eq!(
            command("Deployment", "web", roll_back(3)).unwrap(),
            "kubectl rollout undo deployment/web -n shop --to-revision=3"
        );
        assert_eq!(
            command("Deployment", "web", set_memory("app", 512 << 20, 0)).unwrap(),
            "kubectl set resources deployment/web -n shop -c app --limits=memory=512Mi"
        );
        assert_eq!(
            command("Deployment", "web", set_memory("app", 1 << 30, 512 << 20)).unwrap(),
            "kubectl set resources deployment/web -n shop -c app --limits=memory=1Gi --requests=memory=512Mi"
        );
    }

    #[test]
    fn nothing_is_suggested_for_what_cannot_be_changed_in_place_or_named_safely() {
        assert_eq!(command("Job", "web", set_memory("app", 1, 0)), None);
        assert_eq!(command("Deployment", "web", roll_back(0)), None);
        assert_eq!(command("Deployment", "web", set_memory("app", 0, 0)), None);
        for hostile in [
            "x;rm -rf /",
            "$(id)",
            "`id`",
            "'",
            "-f",
            "a b",
            "",
            "a\nb",
            "<secret:abcdef>",
        ] {
            assert_eq!(
                command("Deployment", hostile, roll_back(1)),
                None,
                "{hostile:?}"
            );
            assert_eq!(
                command("Deployment", "web", set_memory(hostile, 1, 0)),
                None,
                "{hostile:?}"
            );
        }
    }
}
