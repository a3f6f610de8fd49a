//! What must hold of each incident.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use bonesetter::timeline::{Body, Step};
use bonesetter_proto::v1::{NoticeKind, Notified, Phase, Step as ActedStep};
use bonesetter_proto::{Stage, Subject};
use serde_json::Value;

use super::{Breach, Verdict};
use crate::world::{Window, World};

/// How long before a notice arrives, and after it, a fault can keep its sender from recording it.
const BEFORE_ARRIVAL: Duration = Duration::from_secs(1);
const AFTER_ARRIVAL: Duration = Duration::from_secs(5);

/// What is stored of one incident.
pub(super) struct Incident<'a> {
    pub(super) id: &'a str,
    pub(super) steps: &'a [&'a Step],
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
    pub(super) fn went_through(&self, verdict: &mut Verdict) {
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

    /// The bodies of what arrived at the webhook about it.
    fn bodies<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Value> + 'a {
        let bodies = world.webhook.iter();
        let bodies =
            bodies.filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok());
        bodies.filter(|body| body["incident"]["id"] == self.id)
    }

    /// People were told of the incident, of what was done, and of its end. Where it ended before anybody was told of
    /// it, the first notice says so, and there is none of its end.
    pub(super) fn was_told(&self, world: &World, verdict: &mut Verdict) {
        let id = self.id;
        let is_about_it =
            |kind: NoticeKind| !matches!(kind, NoticeKind::Resolved | NoticeKind::Overdue);
        if !self.notified().any(|(_, it)| is_about_it(it.kind())) {
            verdict.add(Breach::Lost, format!("{id}: nobody was told"));
        }
        let is_end_told = || self.bodies(world).any(|body| !body["resolution"].is_null());
        let steps = self.steps.iter().filter_map(|step| match &step.body {
            Body::Acted(acted) if is_told(acted.step()) => Some((&step.subject.step, false)),
            Body::Detected(detected) if detected.phase() == Phase::Resolved => {
                Some((&step.subject.step, true))
            }
            _ => None,
        });
        for (step, is_end) in steps {
            let ending = format!("-{step}");
            let has_notice = self.notified().any(|(it, _)| it.step.ends_with(&ending));
            let is_known = has_notice || is_end && is_end_told();
            if !is_known {
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
    pub(super) fn arrived(&self, world: &World, verdict: &mut Verdict) {
        let id = self.id;
        let mut keys: BTreeMap<String, usize> = BTreeMap::new();
        for body in self.bodies(world) {
            let key = body["id"].as_str().unwrap_or_default();
            *keys.entry(key.to_owned()).or_default() += 1;
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
    fn is_about(&self, arrival: SystemTime) -> bool {
        self.from <= arrival + AFTER_ARRIVAL && self.to + BEFORE_ARRIVAL >= arrival
    }
}
