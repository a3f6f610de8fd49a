//! All that is known of the watched objects, and who belongs to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::detect::Family;
use crate::facts::{Facts, Head, Object, ProbeKill};
use crate::owner::root_owner;

/// The facts of every watched object, by uid.
#[derive(Debug, Default)]
pub struct Index {
    objects: HashMap<String, Facts>,
    /// Controller to controlled, also for controllers that are not known themselves.
    children: HashMap<String, BTreeSet<String>>,
    /// Pod to container to the last kill. Kept as long as the pod: the Event is gone after an hour.
    kills: HashMap<String, BTreeMap<String, ProbeKill>>,
}

/// Root owners whose judgement may have changed.
pub type Touched = Vec<Object>;

impl Index {
    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Adds an object or replaces what was known of it.
    pub fn apply(&mut self, facts: Facts) -> Touched {
        let uid = facts.head().object.uid.clone();
        let mut touched = self.detach(&uid);
        if let Some(controller) = &facts.head().controller {
            self.children
                .entry(controller.uid.clone())
                .or_default()
                .insert(uid.clone());
        }
        // It may have been the root owner of its children until now, or be it from now on.
        touched.push(facts.head().object.clone());
        self.objects.insert(uid.clone(), facts);
        touched.extend(self.root_of(&uid).cloned());
        touched
    }

    /// Takes out an object that has been deleted.
    pub fn remove(&mut self, uid: &str) -> Touched {
        let touched = self.detach(uid);
        self.kills.remove(uid);
        touched
    }

    /// Takes out what a complete list no longer holds: every object that `is_listed` covers and
    /// `seen` lacks.
    pub fn retain(
        &mut self,
        is_listed: impl Fn(&Object) -> bool,
        seen: &HashSet<String>,
    ) -> Touched {
        let is_stale = |facts: &&Facts| {
            let object = &facts.head().object;
            is_listed(object) && !seen.contains(&object.uid)
        };
        let stale: Vec<String> = (self.objects.values().filter(is_stale))
            .map(|facts| facts.head().object.uid.clone())
            .collect();
        stale.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// Remembers that a probe killed a container.
    pub fn kill(&mut self, kill: ProbeKill) -> Touched {
        let touched = self.root_of(&kill.pod_uid).cloned().into_iter().collect();
        let kills = self.kills.entry(kill.pod_uid.clone()).or_default();
        let is_newer = kills
            .get(&kill.container)
            .is_none_or(|known| known.at < kill.at);
        if is_newer {
            kills.insert(kill.container.clone(), kill);
        }
        touched
    }

    /// Forgets kills of pods that are not known and were last killed before `before`: their Events
    /// outlive them.
    pub fn forget_kills(&mut self, before: jiff::Timestamp) {
        self.kills.retain(|pod, kills| {
            self.objects.contains_key(pod) || kills.values().any(|kill| kill.at >= before)
        });
    }

    /// The root owner of a known object.
    pub fn root_of(&self, uid: &str) -> Option<&Object> {
        let head = self.head(uid)?;
        Some(root_owner(head, |uid| self.head(uid)))
    }

    /// An object by uid.
    pub fn get(&self, uid: &str) -> Option<&Facts> {
        self.objects.get(uid)
    }

    /// Every root owner of a known object.
    pub fn roots(&self) -> BTreeSet<&Object> {
        self.objects
            .keys()
            .filter_map(|uid| self.root_of(uid))
            .collect()
    }

    /// A root owner and all that it controls.
    pub fn family<'a>(&'a self, uid: &'a str) -> Family<'a> {
        let mut members = Vec::new();
        let mut seen = BTreeSet::from([uid]);
        let mut open = vec![uid];
        while let Some(parent) = open.pop() {
            for child in self.children.get(parent).into_iter().flatten() {
                if seen.insert(child) {
                    members.extend(self.objects.get(child));
                    open.push(child);
                }
            }
        }
        Family {
            uid,
            root: self.objects.get(uid),
            members,
        }
    }

    /// The known kills of the pods of a family.
    pub fn kills_of<'a>(&'a self, family: &Family<'a>) -> Vec<&'a ProbeKill> {
        let all = family.root.iter().chain(&family.members);
        let kills = all.filter_map(|facts| self.kills.get(&facts.head().object.uid));
        kills.flat_map(BTreeMap::values).collect()
    }

    fn head(&self, uid: &str) -> Option<&Head> {
        self.objects.get(uid).map(Facts::head)
    }

    fn detach(&mut self, uid: &str) -> Touched {
        let mut touched: Touched = self.root_of(uid).cloned().into_iter().collect();
        let Some(facts) = self.objects.remove(uid) else {
            return touched;
        };
        touched.push(facts.head().object.clone());
        if let Some(controller) = &facts.head().controller
            && let Some(siblings) = self.children.get_mut(&controller.uid)
        {
            siblings.remove(uid);
            if siblings.is_empty() {
                self.children.remove(&controller.uid);
            }
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unreadable;

    fn facts(uid: &str, controller: Option<&str>) -> Facts {
        let object = |uid: &str| Object {
            uid: uid.to_owned(),
            namespace: "n".to_owned(),
            ..Object::default()
        };
        let controller = controller.map(object);
        let head = Head {
            object: object(uid),
            controller,
            is_leaving: false,
            created: None,
        };
        Facts::Unreadable(Unreadable { head })
    }

    fn uids(touched: &Touched) -> BTreeSet<&str> {
        touched.iter().map(|object| object.uid.as_str()).collect()
    }

    fn members<'a>(index: &'a Index, uid: &'a str) -> BTreeSet<&'a str> {
        let family = index.family(uid);
        family
            .members
            .iter()
            .map(|facts| facts.head().object.uid.as_str())
            .collect()
    }

    #[test]
    fn families_form_in_whatever_order_their_members_arrive() {
        let objects = [
            ("pod", Some("set")),
            ("set", Some("deploy")),
            ("deploy", None),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]] {
            let mut index = Index::default();
            for position in order {
                let (uid, controller) = objects[position];
                index.apply(facts(uid, controller));
            }
            assert_eq!(
                members(&index, "deploy"),
                BTreeSet::from(["pod", "set"]),
                "{order:?}"
            );
            assert_eq!(index.roots().len(), 1);
            assert!(index.family("deploy").root.is_some());
        }
    }

    #[test]
    fn a_change_touches_the_root_owner_before_and_after_it() {
        let mut index = Index::default();
        assert!(uids(&index.apply(facts("pod", Some("set")))).contains("set"));
        let touched = index.apply(facts("set", Some("deploy")));
        assert!(uids(&touched).is_superset(&BTreeSet::from(["set", "deploy"])));
        assert!(
            uids(&index.apply(facts("pod", None))).is_superset(&BTreeSet::from(["pod", "deploy"]))
        );
        assert!(uids(&index.remove("set")).contains("deploy"));
        assert_eq!(index.remove("set"), Touched::new());
    }

    #[test]
    fn a_new_list_takes_out_what_it_lacks_and_covers() {
        let mut index = Index::default();
        for uid in ["a", "b", "c"] {
            index.apply(facts(uid, Some("set")));
        }
        let seen = HashSet::from(["a".to_owned()]);
        let touched = index.retain(|object| object.uid != "c", &seen);
        assert!(uids(&touched).contains("set"));
        assert_eq!(members(&index, "set"), BTreeSet::from(["a", "c"]));
    }

    #[test]
    fn kills_are_kept_as_long_as_their_pod() {
        let kill = |pod: &str, second: i64| ProbeKill {
            pod_uid: pod.to_owned(),
            container: "app".to_owned(),
            at: jiff::Timestamp::from_second(second).unwrap(),
        };
        let mut index = Index::default();
        index.kill(kill("pod", 5));
        index.kill(kill("ghost", 5));
        index.apply(facts("pod", Some("set")));
        index.kill(kill("pod", 3));
        index.forget_kills(jiff::Timestamp::from_second(9).unwrap());
        assert_eq!(index.kills.len(), 1);
        let family = index.family("set");
        assert_eq!(index.kills_of(&family)[0].at.as_second(), 5);
        index.remove("pod");
        assert!(index.kills.is_empty());
    }
}
