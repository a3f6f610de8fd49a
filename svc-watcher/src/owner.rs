//! Who is in the end responsible for an object.

use crate::facts::{Head, Object};

/// Real chains have at most four links; a cycle, which the API server does not refuse, ends here.
const MAX_LINKS: usize = 16;

/// The root owner: the last controller, following owner references upwards as far as the objects
/// are known. An owner that is not known (of a kind that is not watched, or gone) ends the chain and
/// is the root owner itself, as the reference names it.
pub fn root_owner<'a>(head: &'a Head, find: impl Fn(&str) -> Option<&'a Head>) -> &'a Object {
    let mut current = head;
    for _ in 0..MAX_LINKS {
        let Some(controller) = &current.controller else {
            return &current.object;
        };
        let Some(next) = find(&controller.uid) else {
            return controller;
        };
        current = next;
    }
    &current.object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uid: &str, controller: Option<&str>) -> Head {
        let object = |uid: &str| Object {
            uid: uid.to_owned(),
            ..Object::default()
        };
        Head {
            object: object(uid),
            controller: controller.map(object),
            is_leaving: false,
            created: None,
        }
    }

    type Known = [(&'static str, Option<&'static str>)];

    fn root(known: &Known) -> String {
        let heads: Vec<Head> = known
            .iter()
            .map(|(uid, controller)| head(uid, *controller))
            .collect();
        let find = |uid: &str| heads.iter().find(|head| head.object.uid == uid);
        root_owner(&heads[0], find).uid.clone()
    }

    #[test]
    fn the_last_controller_is_the_root_owner() {
        let cases: [(&Known, &str); 4] = [
            (&[("pod", None)], "pod"),
            (
                &[
                    ("pod", Some("set")),
                    ("set", Some("deploy")),
                    ("deploy", None),
                ],
                "deploy",
            ),
            (&[("pod", Some("set")), ("set", Some("deploy"))], "deploy"),
            (&[("pod", Some("stateful"))], "stateful"),
        ];
        for (known, expected) in cases {
            assert_eq!(root(known), expected, "{known:?}");
        }
    }

    #[test]
    fn a_cycle_ends() {
        assert!(["a", "b"].contains(&root(&[("a", Some("b")), ("b", Some("a"))]).as_str()));
    }
}
