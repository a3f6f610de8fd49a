//! What must hold at the end, whatever went wrong meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use bonesetter::timeline::{Body, Step};
use bonesetter_chassis::topology::{CONSUMERS, ConsumerSpec, ledger_consumers};
use bonesetter_proto::v1::Step as ActedStep;
use bonesetter_proto::{Stage, Subject};

use crate::world::World;
use incident::Incident;

mod incident;

/// The class of what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Something that should be there is not.
    Lost,
    /// Something was done twice.
    Twice,
    /// A message died that was no garbage.
    Dead,
    /// Anything else.
    Other,
}

/// What a look at the world found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong.
    pub breaches: Vec<(Breach, String)>,
    /// Incidents of what was broken.
    pub incidents: usize,
    /// Changes that were made, those that were taken back among them.
    pub changes: usize,
    /// Notices that arrived, by channel and together.
    pub notices: usize,
    /// Deliveries that the receiver of the webhook can drop by their key.
    pub repeated_by_key: usize,
    /// Messages that people see twice in Slack, each explained by a fault between post and record.
    pub repeated_in_slack: usize,
    /// Garbage that was stored.
    pub garbage: usize,
    /// Dead letters about it.
    pub dead_letters: usize,
}

impl Verdict {
    fn add(&mut self, breach: Breach, text: impl Into<String>) {
        self.breaches.push((breach, text.into()));
    }

    /// How many of a class.
    pub fn count(&self, breach: Breach) -> usize {
        let is_it = |found: &&(Breach, String)| found.0 == breach;
        self.breaches.iter().filter(is_it).count()
    }
}

/// Judges.
pub fn check(world: &World) -> Verdict {
    let mut verdict = Verdict::default();
    let mut incidents: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    let false_ids = false_incidents(world);
    for step in world.steps.iter().filter(|step| !is_garbage(world, step)) {
        let id = step.subject.incident.as_str();
        if !false_ids.contains(id) {
            incidents.entry(id).or_default().push(step);
        } else if step.subject.stage != Stage::Audit {
            // That it came is recorded and archived, and nothing more follows from it.
            let text = format!("{} follows from garbage", step.subject);
            verdict.add(Breach::Other, text);
        }
    }
    stored_once(world, &mut verdict);
    every_failure_is_one_incident(world, &incidents, &mut verdict);
    for (id, steps) in &incidents {
        let incident = Incident { id, steps };
        incident.went_through(&mut verdict);
        incident.was_told(world, &mut verdict);
        incident.arrived(world, &mut verdict);
    }
    changed_once(world, &incidents, &mut verdict);
    recorded(world, &mut verdict);
    only_garbage_died(world, &mut verdict);
    for (consumer, waiting) in &world.backlog {
        let text = format!("{waiting} messages wait for {consumer}");
        verdict.add(Breach::Lost, text);
    }
    for panic in &world.panics {
        verdict.add(Breach::Other, panic);
    }
    verdict
}

fn is_garbage(world: &World, step: &Step) -> bool {
    world.garbage.contains(&step.subject.to_string())
}

/// The ids in the subjects of garbage.
fn false_incidents(world: &World) -> BTreeSet<String> {
    let subjects = world.garbage.iter();
    let ids = subjects.filter_map(|subject| subject.parse::<Subject>().ok());
    ids.map(|subject| subject.incident.to_string()).collect()
}

/// No two messages have one subject.
fn stored_once(world: &World, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    for step in &world.steps {
        if !seen.insert(step.subject.to_string()) {
            verdict.add(Breach::Twice, format!("{} is stored twice", step.subject));
        }
    }
}

fn every_failure_is_one_incident(
    world: &World,
    incidents: &BTreeMap<&str, Vec<&Step>>,
    verdict: &mut Verdict,
) {
    let mut of_uid: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (id, steps) in incidents {
        let uid = steps.iter().find_map(|step| uid(step));
        match uid {
            Some(uid) if world.failures.iter().any(|failure| failure.uid == uid) => {
                of_uid.entry(uid).or_default().insert(id);
            }
            _ => verdict.add(
                Breach::Other,
                format!("nothing has failed of incident {id}"),
            ),
        }
    }
    for failure in &world.failures {
        let found = of_uid.get(failure.uid.as_str()).map_or(0, BTreeSet::len);
        verdict.incidents += found;
        match found {
            0 => verdict.add(Breach::Lost, format!("{} was not detected", failure.name)),
            1 => {}
            several => {
                let text = format!("{} has {several} incidents", failure.name);
                verdict.add(Breach::Twice, text);
            }
        }
    }
}

fn uid(step: &Step) -> Option<&str> {
    match &step.body {
        Body::Detected(detected) => {
            let owner = detected.incident.as_ref()?.root_owner.as_ref()?;
            Some(&owner.uid)
        }
        _ => None,
    }
}

/// The cluster was changed as often as it is said, and not once more.
fn changed_once(world: &World, incidents: &BTreeMap<&str, Vec<&Step>>, verdict: &mut Verdict) {
    for failure in &world.failures {
        let own = incidents
            .values()
            .filter(|steps| steps.iter().any(|step| uid(step) == Some(&failure.uid)));
        let changes = own
            .flatten()
            .filter(|step| {
                matches!(&step.body, Body::Acted(acted)
                    if matches!(acted.step(), ActedStep::Applied | ActedStep::RolledBack))
            })
            .count();
        let found = usize::try_from(failure.generation - failure.broken_generation).unwrap_or(0);
        let name = &failure.name;
        if found > changes {
            let text = format!("{name} was changed {found} times, {changes} are recorded");
            verdict.add(Breach::Twice, text);
        } else if found < changes && !failure.is_removed {
            let text = format!("{name} was changed {found} times of {changes} that are recorded");
            verdict.add(Breach::Lost, text);
        }
    }
}

/// Every message of the streams that the ledger records has one row, and every row is archived.
fn recorded(world: &World, verdict: &mut Verdict) {
    let streams: BTreeSet<&str> = ledger_consumers().map(|it| it.stream.name).collect();
    for step in &world.steps {
        let place = (step.stream.to_owned(), step.sequence);
        if is_garbage(world, step) || !streams.contains(step.stream) {
            continue;
        }
        match world.rows.get(&place) {
            None => verdict.add(Breach::Lost, format!("{} has no row", step.subject)),
            Some(1) => {}
            Some(rows) => {
                let text = format!("{} has {rows} rows", step.subject);
                verdict.add(Breach::Twice, text);
            }
        }
    }
    if world.unarchived > 0 {
        let text = format!("{} rows are not archived", world.unarchived);
        verdict.add(Breach::Lost, text);
    }
    for spoiled in &world.spoiled {
        verdict.add(Breach::Lost, spoiled);
    }
}

/// What died was garbage, and all of it was noticed by all that it was meant for.
fn only_garbage_died(world: &World, verdict: &mut Verdict) {
    for letter in &world.letters {
        if world.garbage.contains(&letter.subject) {
            verdict.dead_letters += 1;
        } else {
            let text = format!(
                "{} ({}): {}",
                letter.subject, letter.consumer, letter.reason
            );
            verdict.add(Breach::Dead, text);
        }
    }
    for step in world.steps.iter().filter(|step| is_garbage(world, step)) {
        verdict.garbage += 1;
        for consumer in CONSUMERS.iter().filter(|consumer| is_for(consumer, step)) {
            let has_letter = world.letters.iter().any(|letter| {
                letter.subject == step.subject.to_string() && letter.consumer == consumer.name
            });
            let place = (step.stream.to_owned(), step.sequence);
            let is_recorded =
                ledger_consumers().any(|it| it == consumer) && world.rows.contains_key(&place);
            if !has_letter && !is_recorded {
                let text = format!("{}: garbage that {} took", step.subject, consumer.name);
                verdict.add(Breach::Other, text);
            }
        }
    }
}

fn is_for(consumer: &ConsumerSpec, step: &Step) -> bool {
    consumer.stream.name == step.stream
        && consumer.step.is_none_or(|only| only == step.subject.step)
}

#[cfg(test)]
mod tests;
