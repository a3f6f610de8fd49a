use bonesetter_proto::v1::{FailureClass as Class, ResolvedReason};
use proptest::prelude::*;

use super::*;

const CLUSTER: &str = "demo";
const WINDOWS: Windows = Windows {
    settle: SignedDuration::from_secs(3),
    stability: SignedDuration::from_secs(10),
    cooldown: SignedDuration::from_secs(900),
};

fn owner() -> Object {
    Object {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "web".to_owned(),
    }
}

fn finding(pod: u32, class: Class) -> Finding {
    let name = format!("web-{pod}");
    Finding {
        object: Object {
            uid: name.clone(),
            name,
            ..owner()
        },
        container: "app".to_owned(),
        is_init: false,
        class,
        exit_code: Some(1),
        signal: None,
        restarts: 3,
        since: None,
        is_ending: true,
    }
}

/// What is true at a time.
#[derive(Debug, Clone)]
struct Truth {
    presence: Presence,
    findings: Vec<Finding>,
    is_healthy: bool,
}

fn failing(pods: u32, class: Class) -> Truth {
    let findings = (0..pods).map(|pod| finding(pod, class)).collect();
    Truth {
        presence: Presence::Present,
        findings,
        is_healthy: false,
    }
}

fn truth(presence: Presence, is_healthy: bool) -> Truth {
    Truth {
        presence,
        findings: Vec::new(),
        is_healthy,
    }
}

fn well() -> Truth {
    truth(Presence::Present, true)
}

/// The bucket and the stream.
#[derive(Debug, Default)]
struct Bus {
    stored: Option<(Record, u64)>,
    revision: u64,
    stream: Vec<(u32, String, Detected)>,
}

impl Bus {
    fn publish(&mut self, number: u32, pending: &Pending) {
        let message = pending.message().unwrap();
        let is_same = |it: &&(u32, String, Detected)| it.0 == number && it.1 == pending.step;
        match self.stream.iter().find(is_same) {
            Some((_, step, before)) => assert_eq!(*before, message, "{step} was told otherwise"),
            None => self.stream.push((number, pending.step.clone(), message)),
        }
    }

    fn steps(&self) -> Vec<String> {
        self.stream
            .iter()
            .map(|(number, step, _)| format!("{number}/{step}"))
            .collect()
    }
}

/// One process: what it has read and what it remembers.
#[derive(Debug, Default, Clone)]
struct Replica {
    read: Option<(Record, u64)>,
    memory: Memory,
}

impl Replica {
    /// Carries out at most `effects`; ends early as if the process had been killed.
    fn act(&mut self, bus: &mut Bus, truth: &Truth, now: Timestamp, effects: usize) {
        let owner = owner();
        let observed = Observation {
            owner: &owner,
            presence: truth.presence,
            findings: &truth.findings,
            is_healthy: truth.is_healthy,
        };
        for _ in 0..effects {
            let record = self.read.as_ref().map(|(record, _)| record);
            let number = record.map_or(0, |record| record.episode.number);
            match next(CLUSTER, record, &mut self.memory, &observed, now, &WINDOWS) {
                Effect::Rest => return,
                Effect::Publish(pending) => {
                    bus.publish(number, &pending);
                    let published = record.unwrap().published();
                    self.store(bus, Some(published));
                }
                Effect::Store(record) => self.store(bus, Some(*record)),
                Effect::Forget => self.store(bus, None),
            }
        }
    }

    /// Compare-and-set, through the stored form.
    fn store(&mut self, bus: &mut Bus, record: Option<Record>) {
        let revision =
            |entry: &Option<(Record, u64)>| entry.as_ref().map(|(_, revision)| *revision);
        if revision(&self.read) == revision(&bus.stored) {
            bus.revision += 1;
            let bytes = record.map(|record| record.to_bytes().unwrap());
            bus.stored = bytes.map(|bytes| (Record::from_bytes(&bytes).unwrap(), bus.revision));
        }
        self.read.clone_from(&bus.stored);
    }
}

/// A single replica in a world that changes step by step.
struct World {
    bus: Bus,
    replica: Replica,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            bus: Bus::default(),
            replica: Replica::default(),
            now: at(0),
        }
    }

    /// Something is true for some seconds.
    fn hold(&mut self, truth: &Truth, seconds: i64) -> &mut Self {
        for second in 0..=seconds {
            let now = self.now + SignedDuration::from_secs(second);
            self.replica.act(&mut self.bus, truth, now, 9);
        }
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    fn last(&self) -> &Detected {
        &self.bus.stream.last().unwrap().2
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[test]
fn one_incident_whatever_classes_it_passes_through() {
    let mut world = World::new();
    let mut all = failing(1, Class::OomKilled);
    all.findings
        .push(finding(1, Class::ProgressDeadlineExceeded));
    world
        .hold(&failing(1, Class::CrashLoopBackOff), 5)
        .hold(&failing(1, Class::OomKilled), 5)
        .hold(&failing(1, Class::CrashLoopBackOff), 30)
        .hold(&all, 30)
        .hold(&failing(1, Class::ProgressDeadlineExceeded), 30)
        .hold(&well(), 30);
    assert_eq!(
        world.bus.steps(),
        ["1/open", "1/reclassified-1", "1/update-1", "1/resolved"]
    );
    let resolved = world.last();
    assert_eq!(resolved.resolved_reason(), ResolvedReason::Recovered);
    assert_eq!(resolved.failure_class(), Class::OomKilled);
    assert!(resolved.symptoms.is_empty() && resolved.resolved_at.is_some());
    let incident = resolved.incident.clone().unwrap();
    assert_eq!(incident.id, incident_id(CLUSTER, "web", 1));
}

#[test]
fn a_failure_that_does_not_last_raises_nothing() {
    let mut world = World::new();
    for _ in 0..5 {
        world
            .hold(&failing(1, Class::CrashLoopBackOff), 2)
            .hold(&truth(Presence::Present, false), 5);
    }
    assert_eq!(world.bus.steps(), Vec::<String>::new());
}

#[test]
fn the_class_at_open_is_that_after_settling() {
    let mut world = World::new();
    world
        .hold(&failing(1, Class::CrashLoopBackOff), 2)
        .hold(&failing(1, Class::ProbeKill), 2);
    assert_eq!(world.bus.steps(), ["1/open"]);
    assert_eq!(world.last().failure_class(), Class::ProbeKill);
}

#[test]
fn another_cause_is_told_when_the_first_has_been_absent_and_never_twice() {
    let mut world = World::new();
    world
        .hold(&failing(1, Class::OomKilled), 5)
        .hold(&failing(1, Class::ImagePull), 9);
    assert_eq!(world.bus.steps(), ["1/open"]);
    world.hold(&failing(1, Class::ImagePull), 5);
    assert_eq!(world.bus.steps(), ["1/open", "1/reclassified-1"]);
    for _ in 0..3 {
        world
            .hold(&failing(1, Class::OomKilled), 60)
            .hold(&failing(1, Class::ImagePull), 60);
    }
    assert_eq!(world.bus.steps(), ["1/open", "1/reclassified-1"]);
}

#[test]
fn updates_tell_of_changed_counts_ever_more_seldom() {
    let mut world = World::new();
    for pods in 1..=400 {
        world.hold(&failing(1 + pods % 7, Class::ImagePull), 10);
    }
    let updates = world
        .bus
        .stream
        .iter()
        .filter(|(_, step, _)| step.starts_with("update-"));
    let updates: Vec<u32> = updates
        .map(|(_, _, message)| message.failing_objects)
        .collect();
    // After 1, 3, 7, 15 and 31 minutes, within 4000 seconds.
    assert!((5..=6).contains(&updates.len()), "{updates:?}");
}

#[test]
fn what_does_not_do_its_work_is_not_recovered() {
    for presence in [
        Presence::Present,
        Presence::Leaving,
        Presence::Referenced { is_watched: true },
    ] {
        let mut world = World::new();
        world
            .hold(&failing(1, Class::OomKilled), 5)
            .hold(&truth(presence, false), 3600);
        assert_eq!(world.bus.steps(), ["1/open"], "{presence:?}");
    }
}

#[test]
fn gone_is_told_at_once_where_it_is_certain() {
    let mut world = World::new();
    world.hold(&failing(1, Class::OomKilled), 5);
    world.hold(&truth(Presence::Absent { is_watched: false }, false), 9);
    assert_eq!(world.bus.steps(), ["1/open"]);
    world.hold(&truth(Presence::Absent { is_watched: true }, false), 0);
    assert_eq!(world.last().resolved_reason(), ResolvedReason::Gone);
    let mut orphan = failing(1, Class::OomKilled);
    orphan.presence = Presence::Referenced { is_watched: true };
    world.hold(&orphan, 2000);
    assert_eq!(world.bus.steps(), ["1/open", "1/resolved"]);
}

#[test]
fn a_family_whose_head_is_late_waits_for_it() {
    let mut orphan = failing(1, Class::OomKilled);
    orphan.presence = Presence::Referenced { is_watched: true };
    let mut world = World::new();
    world.hold(&orphan, 29);
    assert_eq!(world.bus.steps(), Vec::<String>::new());
    world.hold(&orphan, 1);
    assert_eq!(world.bus.steps(), ["1/open"]);
}

#[test]
fn the_cooldown_holds_back_the_same_class_only_and_survives_a_restart() {
    let mut world = World::new();
    world
        .hold(&failing(1, Class::OomKilled), 5)
        .hold(&well(), 10);
    world.replica = Replica {
        read: world.bus.stored.clone(),
        ..Replica::default()
    };
    world.hold(&failing(1, Class::OomKilled), 800);
    assert_eq!(world.bus.steps(), ["1/open", "1/resolved"]);
    world.hold(&failing(1, Class::ProgressDeadlineExceeded), 50);
    assert_eq!(world.bus.steps(), ["1/open", "1/resolved"]);
    world
        .hold(&failing(1, Class::ImagePull), 5)
        .hold(&well(), 10);
    assert_eq!(world.bus.steps()[2..], ["2/open", "2/resolved"]);
    world.hold(&failing(1, Class::OomKilled), 60);
    assert_eq!(world.bus.steps()[4..], ["3/open"]);
    assert_ne!(world.bus.stream[0].2.incident, world.last().incident);
}

#[test]
fn without_a_cooldown_nothing_is_held_back() {
    let windows = Windows {
        cooldown: SignedDuration::ZERO,
        ..WINDOWS
    };
    let mut world = World::new();
    world
        .hold(&failing(1, Class::OomKilled), 5)
        .hold(&well(), 10);
    let record = world.bus.stored.as_ref().map(|(record, _)| record);
    assert!(!is_cooling(
        record.unwrap(),
        Class::OomKilled,
        world.now,
        &windows
    ));
}

#[test]
fn records_are_kept_longer_than_the_stream_keeps_their_incident() {
    let mut world = World::new();
    world.hold(&failing(1, Class::OomKilled), 5);
    let absent = truth(Presence::Absent { is_watched: true }, false);
    world.hold(&absent, 0);
    world.now += SignedDuration::from_hours(30 * 24);
    world.hold(&absent, 0);
    assert!(world.bus.stored.is_some());
    world.now += SignedDuration::from_hours(24);
    world.hold(&absent, 0);
    assert!(world.bus.stored.is_none());
}

#[test]
fn a_message_names_at_most_twenty_symptoms_and_counts_all() {
    let mut world = World::new();
    world.hold(&failing(50, Class::ImagePull), 5);
    assert_eq!(
        (world.last().symptoms.len(), world.last().failing_objects),
        (20, 50)
    );
}

/// What happens in a random history.
#[derive(Debug, Clone)]
enum Happening {
    /// Something else is true from now on.
    Truth(Truth),
    /// Time passes.
    Wait(i64),
    /// A replica learns what is true.
    Notice(usize),
    /// A replica does so many things and is interrupted.
    Act(usize, usize),
    /// A replica starts anew.
    Restart(usize),
}

fn truths() -> impl Strategy<Value = Truth> {
    let class = prop::sample::select(vec![
        Class::CrashLoopBackOff,
        Class::OomKilled,
        Class::ImagePull,
        Class::ProgressDeadlineExceeded,
        Class::Failed,
    ]);
    let presence = prop::sample::select(vec![
        Presence::Present,
        Presence::Leaving,
        Presence::Referenced { is_watched: true },
        Presence::Referenced { is_watched: false },
        Presence::Absent { is_watched: true },
        Presence::Absent { is_watched: false },
    ]);
    prop_oneof![
        4 => (1..4_u32, class).prop_map(|(pods, class)| failing(pods, class)),
        2 => Just(well()),
        1 => presence.prop_map(|presence| truth(presence, false)),
    ]
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let seconds = prop::sample::select(vec![0, 1, 2, 5, 11, 31, 61, 400, 901]);
    let one = prop_oneof![
        2 => truths().prop_map(Happening::Truth),
        3 => seconds.prop_map(Happening::Wait),
        3 => (0..2_usize).prop_map(Happening::Notice),
        6 => (0..2_usize, 0..5_usize).prop_map(|(replica, effects)| Happening::Act(replica, effects)),
        1 => (0..2_usize).prop_map(Happening::Restart),
    ];
    prop::collection::vec(one, 0..120)
}

/// Episodes follow one another; each is opened first, resolved last, and its steps are numbered.
fn assert_well_formed(bus: &Bus) {
    let (mut number, mut is_open, mut updates, mut reclassifications) = (0, false, 0, 0);
    let mut classes = BTreeSet::new();
    for (episode, step, message) in &bus.stream {
        let steps = bus.steps();
        assert!(message.incident.is_some());
        if step == "open" {
            assert!(!is_open && *episode == number + 1, "{steps:?}");
            (number, is_open, updates, reclassifications) = (*episode, true, 0, 0);
            classes = BTreeSet::from([message.failure_class()]);
            continue;
        }
        assert!(is_open && *episode == number, "{steps:?}");
        if step == "resolved" {
            is_open = false;
        } else if step.starts_with("update-") {
            updates += 1;
            assert_eq!(*step, format!("update-{updates}"), "{steps:?}");
        } else {
            reclassifications += 1;
            assert_eq!(
                *step,
                format!("reclassified-{reclassifications}"),
                "{steps:?}"
            );
            assert!(classes.insert(message.failure_class()), "{steps:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Two replicas that notice late, are interrupted anywhere and start anew make each step once,
    /// in order, and lose none.
    #[test]
    fn no_history_duplicates_or_loses_a_step(history in happenings()) {
        let mut bus = Bus::default();
        let mut replicas = [Replica::default(), Replica::default()];
        let mut truth = well();
        let mut noticed = [well(), well()];
        let mut now = at(0);
        for happening in history {
            match happening {
                Happening::Truth(new) => truth = new,
                Happening::Wait(seconds) => now += SignedDuration::from_secs(seconds),
                Happening::Notice(index) => noticed[index] = truth.clone(),
                Happening::Act(index, effects) => {
                    replicas[index].act(&mut bus, &noticed[index], now, effects);
                }
                Happening::Restart(index) => {
                    replicas[index] = Replica { read: bus.stored.clone(), ..Replica::default() };
                    noticed[index] = truth.clone();
                }
            }
            assert_well_formed(&bus);
        }
        // In the end a failure that lasts is told, whatever was before it, ...
        let mut settle = |truth: &Truth, bus: &mut Bus| {
            for _ in 0..40 {
                now += SignedDuration::from_secs(100);
                for replica in &mut replicas {
                    replica.act(bus, truth, now, 9);
                }
            }
            assert_well_formed(bus);
        };
        settle(&failing(2, Class::ImagePull), &mut bus);
        let record = bus.stored.clone().map(|(record, _)| record);
        prop_assert!(record.is_some_and(|it| it.open().is_some() && it.pending.is_none()));
        prop_assert!(bus.stream.last().is_some_and(|(_, step, _)| step != "resolved"));
        // ... and so is its end.
        settle(&well(), &mut bus);
        prop_assert!(bus.stream.last().is_some_and(|(_, step, _)| step == "resolved"));
    }
}
