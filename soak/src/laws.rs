//! What must hold at the end, whatever went wrong meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonesetter::timeline::{Body, Step};
use bonesetter_chassis::topology::{CONSUMERS, ConsumerSpec, ledger_consumers};
use bonesetter_proto::v1::{NoticeKind, Notified, Phase, Step as ActedStep};
use bonesetter_proto::{Stage, Subject};
use serde_json::Value;

use crate::world::{Window, World};

/// How long before a notice arrives, and after it, a fault can keep its sender from recording it.
const BEFORE_ARRIVAL: Duration = Duration::from_secs(1);
const AFTER_ARRIVAL: Duration = Duration::from_secs(5);

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
        incident.was_told(&mut verdict);
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

/// What is stored of one incident.
struct Incident<'a> {
    id: &'a str,
    steps: &'a [&'a Step],
}

impl Incident<'_> {
    fn has(&self, stage: Stage, step: &str) -> bool {
        let is_it = |it: &&Step| it.subject.stage == stage && it.subject.step == step;
        self.steps.iter().copied().any(|step| is_it(&step))
    }

    fn acted(&self, wanted: ActedStep) -> usize {
        let is_it = |it: &&&Step| matches!(&it.body, Body::Acted(acted) if acted.step() == wanted);
        self.steps.iter().filter(is_it).count()
    }

    /// Every detection reached every stage, and the incident ended.
    fn went_through(&self, verdict: &mut Verdict) {
        let id = self.id;
        if !self.has(Stage::Detected, "open") {
            verdict.add(Breach::Lost, format!("{id}: not opened"));
        }
        if !self.has(Stage::Detected, "resolved") {
            verdict.add(Breach::Lost, format!("{id}: not resolved"));
        }
        for step in self.steps {
            let Body::Detected(detected) = &step.body else {
                continue;
            };
            if !matches!(detected.phase(), Phase::Open | Phase::Reclassified) {
                continue;
            }
            let name = &step.subject.step;
            for stage in [Stage::Redacted, Stage::Diagnosed] {
                if !self.has(stage, name) {
                    let text = format!("{id}: {name} is not {}", stage.as_str());
                    verdict.add(Breach::Lost, text);
                }
            }
            let proposed = match name.as_str() {
                "open" => "proposed".to_owned(),
                other => format!("proposed-{other}"),
            };
            let is_decided =
                self.has(Stage::Acted, &proposed) || self.acted(ActedStep::Intended) > 0;
            if !is_decided {
                verdict.add(Breach::Lost, format!("{id}: nothing is decided on {name}"));
            }
        }
        let count = |steps: &[ActedStep]| steps.iter().map(|step| self.acted(*step)).sum::<usize>();
        let intended = count(&[ActedStep::Intended]);
        let done = count(&[ActedStep::Applied, ActedStep::Refused]);
        let applied = count(&[ActedStep::Applied]);
        let ended = count(&[ActedStep::Verified, ActedStep::RolledBack, ActedStep::Stuck]);
        verdict.changes += applied;
        for (what, before, after) in [("intended", intended, done), ("applied", applied, ended)] {
            if after < before {
                let text = format!("{id}: what was {what} came to nothing");
                verdict.add(Breach::Lost, text);
            } else if after > before {
                verdict.add(Breach::Twice, format!("{id}: {what} once, ended twice"));
            }
        }
        if intended > 1 {
            verdict.add(Breach::Twice, format!("{id}: intended {intended} times"));
        }
    }

    fn notified(&self) -> impl Iterator<Item = (&Subject, &Notified)> {
        self.steps.iter().filter_map(|step| match &step.body {
            Body::Notified(notified) => Some((&step.subject, &**notified)),
            _ => None,
        })
    }

    /// People were told of the incident, of what was done, and of its end.
    fn was_told(&self, verdict: &mut Verdict) {
        let id = self.id;
        let is_about_it =
            |kind: NoticeKind| !matches!(kind, NoticeKind::Resolved | NoticeKind::Overdue);
        if !self.notified().any(|(_, it)| is_about_it(it.kind())) {
            verdict.add(Breach::Lost, format!("{id}: nobody was told"));
        }
        let steps = self.steps.iter().filter_map(|step| match &step.body {
            Body::Acted(acted) if is_told(acted.step()) => Some(&step.subject.step),
            Body::Detected(detected) if detected.phase() == Phase::Resolved => {
                Some(&step.subject.step)
            }
            _ => None,
        });
        for step in steps {
            let ending = format!("-{step}");
            if !self.notified().any(|(it, _)| it.step.ends_with(&ending)) {
                verdict.add(Breach::Lost, format!("{id}: nobody was told of {step}"));
            }
        }
        for (subject, notified) in self.notified() {
            for delivery in notified.deliveries.iter().filter(|it| !it.delivered) {
                let text = format!(
                    "{id}: {} was not delivered to {}: {}",
                    subject.step, delivery.channel, delivery.failure
                );
                verdict.add(Breach::Lost, text);
            }
        }
    }

    /// What was told arrived: once, or as often as can be explained.
    fn arrived(&self, world: &World, verdict: &mut Verdict) {
        let id = self.id;
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for request in &world.webhook {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            if body["incident"]["id"] == id {
                let key = body["id"].as_str().unwrap_or_default();
                *keys.entry(key.to_owned()).or_default() += 1;
            }
        }
        verdict.notices += keys.len();
        verdict.repeated_by_key += keys.values().map(|count| count - 1).sum::<usize>();
        let mut in_slack = 0;
        let mut recorded = BTreeSet::new();
        for (subject, notified) in self.notified() {
            for delivery in notified.deliveries.iter().filter(|it| it.delivered) {
                recorded.insert(delivery.idempotency_key.clone());
                in_slack += usize::from(delivery.channel == "slack");
                let is_there = keys.contains_key(&delivery.idempotency_key);
                if delivery.channel == "webhook" && !is_there {
                    let text = format!("{id}: {} has not arrived", subject.step);
                    verdict.add(Breach::Lost, text);
                }
            }
        }
        for key in keys.keys().filter(|key| !recorded.contains(*key)) {
            let text = format!("{id}: notice {key} arrived and is not recorded");
            verdict.add(Breach::Lost, text);
        }
        let posts: Vec<_> = world
            .slack
            .iter()
            .filter(|request| String::from_utf8_lossy(&request.body).contains(id))
            .collect();
        verdict.notices += posts.len().min(in_slack);
        let Some(repeated) = posts.len().checked_sub(in_slack) else {
            let text = format!("{id}: {} of {in_slack} messages in Slack", posts.len());
            verdict.add(Breach::Lost, text);
            return;
        };
        let explained = posts
            .iter()
            .filter(|post| world.windows.iter().any(|window| window.is_about(post.at)))
            .count();
        verdict.repeated_in_slack += repeated.min(explained);
        if repeated > explained {
            let text = format!("{id}: Slack shows {repeated} messages twice, without a reason");
            verdict.add(Breach::Twice, text);
        }
    }
}

const fn is_told(step: ActedStep) -> bool {
    matches!(
        step,
        ActedStep::Applied
            | ActedStep::Refused
            | ActedStep::Verified
            | ActedStep::RolledBack
            | ActedStep::Stuck
    )
}

impl Window {
    /// Whether it can have kept the sender of a notice that arrived then from recording it.
    fn is_about(&self, arrival: std::time::SystemTime) -> bool {
        self.from <= arrival + AFTER_ARRIVAL && self.to + BEFORE_ARRIVAL >= arrival
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
