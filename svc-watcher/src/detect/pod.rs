use bonesetter_proto::v1::FailureClass;
use jiff::{SignedDuration, Timestamp};

use super::{Finding, Thresholds};
use crate::facts::{Container, Ended, Ending, Phase, Pod, ProbeKill, State, Waiting};

/// After this time the kubelet forgets a container's crashes (twice its longest back-off), and so do
/// we: what ran longer does not loop, and what happened longer ago is history.
const LOOP_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// An eviction is worth telling even when the replacement is up at once.
const EVICTION_NEWS: SignedDuration = SignedDuration::from_secs(60);
/// The kubelet's second start of a container is immediate; from the third on it backs off.
const LOOP_RESTARTS: u32 = 2;
/// How long the API server keeps Events by default.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// 128 and SIGKILL or SIGTERM.
const ENDED_BY_KUBELET: [i32; 2] = [137, 143];
/// A container that has been started twice and is down again therefore is in back-off. The kubelet
/// says so only with its next look at the pod, often a minute later.
const DOWN_RESTARTS: u32 = 1;

/// What is wrong with a pod by itself, whatever its owner makes of it.
pub(super) fn findings(
    pod: &Pod,
    kills: &[&ProbeKill],
    now: Timestamp,
    thresholds: &Thresholds,
) -> Vec<Finding> {
    match pod.phase {
        Phase::Succeeded => Vec::new(),
        Phase::Failed => vec![failed(pod)],
        Phase::Pending | Phase::Running | Phase::Unknown => {
            let grace = thresholds.unschedulable_grace;
            let unschedulable = pod
                .unschedulable_since
                .filter(|since| now.duration_since(*since) >= grace)
                .map(|since| about_pod(pod, FailureClass::Unschedulable, Some(since)));
            let containers = pod.containers.iter().filter_map(|container| {
                let was_killed = |ended: &Ended| is_probe_kill(pod, container, ended, kills);
                let (class, ended) = judge(pod, container, was_killed, now)?;
                Some(about_container(pod, container, class, ended))
            });
            unschedulable.into_iter().chain(containers).collect()
        }
    }
}

/// It ended well, or it runs and is ready.
pub(super) fn is_well(pod: &Pod) -> bool {
    pod.phase == Phase::Succeeded || (pod.phase == Phase::Running && pod.is_ready)
}

pub(super) fn is_recently_evicted(pod: &Pod, now: Timestamp) -> bool {
    let is_recent = |at: Timestamp| now.duration_since(at) < EVICTION_NEWS;
    pod.is_evicted && ended_at(pod).is_some_and(is_recent)
}

/// The class of a container and the termination that it is told from, if any.
fn judge<'a>(
    pod: &Pod,
    container: &'a Container,
    was_killed: impl Fn(&Ended) -> bool,
    now: Timestamp,
) -> Option<(FailureClass, Option<&'a Ended>)> {
    let last = container.last.as_ref();
    let class_of = |ended: &Ended| match ended.ending {
        Ending::OutOfMemory => FailureClass::OomKilled,
        Ending::NotStarted => FailureClass::CreateContainerError,
        Ending::Error | Ending::Success if was_killed(ended) => FailureClass::ProbeKill,
        Ending::Error | Ending::Success => FailureClass::CrashLoopBackOff,
    };
    match &container.state {
        State::Waiting(Waiting::Other) => None,
        State::Waiting(Waiting::Image) => Some((FailureClass::ImagePull, last)),
        State::Waiting(Waiting::Config) => Some((FailureClass::CreateContainerConfigError, last)),
        State::Waiting(Waiting::Create | Waiting::Start) => {
            Some((FailureClass::CreateContainerError, last))
        }
        State::Waiting(Waiting::OutOfMemory) => Some((FailureClass::OomKilled, last)),
        State::Waiting(Waiting::BackOff) => {
            Some((last.map_or(FailureClass::CrashLoopBackOff, class_of), last))
        }
        State::Ended(ended) => {
            let says_why = matches!(ended.ending, Ending::OutOfMemory | Ending::NotStarted);
            let is_meant =
                ended.ending == Ending::Success && (container.is_init || !pod.restarts_always);
            let is_again =
                !is_meant && container.restarts >= DOWN_RESTARTS && life(ended) < LOOP_LIMIT;
            (says_why || is_again).then(|| (class_of(ended), Some(ended)))
        }
        State::Running(since) => {
            let last = last?;
            let class = class_of(last);
            let is_recent = last
                .finished
                .is_some_and(|at| now.duration_since(at) < LOOP_LIMIT);
            let is_down = !container.is_ready
                && is_recent
                && matches!(class, FailureClass::OomKilled | FailureClass::ProbeKill);
            (is_down || is_looping(container, last, *since, now)).then_some((class, Some(last)))
        }
    }
}

/// A container that has crashed again and again is believed only when it has outlived its last life
/// twice over, or it would be called recovered before every crash.
fn is_looping(
    container: &Container,
    last: &Ended,
    running_since: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let runs_for = running_since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    let must_run = LOOP_LIMIT.min(life(last) * 2);
    container.restarts >= LOOP_RESTARTS && life(last) < LOOP_LIMIT && runs_for < must_run
}

fn life(ended: &Ended) -> SignedDuration {
    SignedDuration::from_secs(ended.life_seconds())
}

/// Several terminations may share one Event, because the kubelet drops Events of a busy pod; hence a
/// kill explains what ended within a while after it, and what was ended by the kubelet's signals for as
/// long as Events are kept.
fn is_probe_kill(pod: &Pod, container: &Container, ended: &Ended, kills: &[&ProbeKill]) -> bool {
    kills.iter().any(|kill| {
        let reach = if ENDED_BY_KUBELET.contains(&ended.exit_code) {
            EVENTS_KEPT
        } else {
            LOOP_LIMIT
        };
        let explains = |finished: Timestamp| finished.duration_since(kill.at) < reach;
        kill.pod_uid == pod.head.object.uid
            && kill.container == container.name
            && ended.finished.is_some_and(explains)
    })
}

fn failed(pod: &Pod) -> Finding {
    let since = ended_at(pod);
    if pod.is_evicted {
        return Finding {
            is_ending: true,
            ..about_pod(pod, FailureClass::Evicted, since)
        };
    }
    let bad = pod
        .containers
        .iter()
        .filter_map(|container| match &container.state {
            State::Ended(ended) if ended.ending != Ending::Success => Some((container, ended)),
            _ => None,
        });
    let class = |ended: &Ended| match ended.ending {
        Ending::OutOfMemory => FailureClass::OomKilled,
        Ending::NotStarted => FailureClass::CreateContainerError,
        Ending::Error | Ending::Success => FailureClass::Failed,
    };
    match bad.max_by_key(|(_, ended)| super::severity(class(ended))) {
        Some((container, ended)) => about_container(pod, container, class(ended), Some(ended)),
        None => Finding {
            is_ending: true,
            ..about_pod(pod, FailureClass::Failed, since)
        },
    }
}

fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod
        .containers
        .iter()
        .filter_map(|container| match &container.state {
            State::Ended(ended) => ended.finished,
            _ => None,
        });
    containers.chain(pod.changed).max().or(pod.head.created)
}

fn about_pod(pod: &Pod, class: FailureClass, since: Option<Timestamp>) -> Finding {
    Finding {
        object: pod.head.object.clone(),
        container: String::new(),
        is_init: false,
        class,
        exit_code: None,
        signal: None,
        restarts: 0,
        since,
        is_ending: false,
    }
}

fn about_container(
    pod: &Pod,
    container: &Container,
    class: FailureClass,
    ended: Option<&Ended>,
) -> Finding {
    let is_creation = matches!(
        container.state,
        State::Waiting(Waiting::Image | Waiting::Config | Waiting::Create)
    );
    Finding {
        container: container.name.clone(),
        is_init: container.is_init,
        exit_code: ended.map(|ended| ended.exit_code),
        signal: ended.and_then(|ended| ended.signal),
        restarts: container.restarts,
        is_ending: !is_creation,
        ..about_pod(
            pod,
            class,
            ended.and_then(|ended| ended.finished).or(pod.head.created),
        )
    }
}
