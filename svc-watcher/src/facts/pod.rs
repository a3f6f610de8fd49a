use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;

use super::{Head, Kind, count, time};

/// Of `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers have started.
    Pending,
    /// Bound, and at least one container runs or restarts.
    Running,
    /// Every container ended well and none restarts.
    Succeeded,
    /// Every container ended, at least one badly, and none restarts.
    Failed,
    /// Not told (the node does not answer, or the status is still empty).
    Unknown,
}

/// The facts of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// What every object has.
    pub head: Head,
    /// Of `status.phase`.
    pub phase: Phase,
    /// `spec.restartPolicy` is `Always`: no end of a container is meant.
    pub restarts_always: bool,
    /// `status.reason` is `Evicted`.
    pub is_evicted: bool,
    /// Condition `Ready`.
    pub is_ready: bool,
    /// Since when condition `PodScheduled` is false because of `Unschedulable`.
    pub unschedulable_since: Option<Timestamp>,
    /// The last change of any condition.
    pub changed: Option<Timestamp>,
    /// Init containers first, each in the order of the status.
    pub containers: Vec<Container>,
}

/// The facts of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The name.
    pub name: String,
    /// An init container, sidecars included.
    pub is_init: bool,
    /// `ready`.
    pub is_ready: bool,
    /// `restartCount`.
    pub restarts: u32,
    /// `state`.
    pub state: State,
    /// `lastState`, when the container has ended before.
    pub last: Option<Ended>,
}

/// Of `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started, or between two starts.
    Waiting(Waiting),
    /// Since the given time, where the kubelet tells it.
    Running(Option<Timestamp>),
    /// Ended, and not started again yet.
    Ended(Ended),
}

/// Why a container waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// `CrashLoopBackOff`.
    BackOff,
    /// The image cannot be had.
    Image,
    /// `CreateContainerConfigError`.
    Config,
    /// It cannot be created.
    Create,
    /// It was created and could not be started, or its start hook failed.
    Start,
    /// The runtime ran out of the container's memory before the program began.
    OutOfMemory,
    /// For a reason that is no failure (`ContainerCreating`, `PodInitializing`, ...).
    Other,
}

/// One termination of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub ending: Ending,
    /// `exitCode`.
    pub exit_code: i32,
    /// `signal`, when the runtime tells it.
    pub signal: Option<i32>,
    /// `startedAt`.
    pub started: Option<Timestamp>,
    /// `finishedAt`.
    pub finished: Option<Timestamp>,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Killed at its memory limit, while it ran or before it could.
    OutOfMemory,
    /// The runtime could not start it.
    NotStarted,
    /// By itself or by a signal, with an exit code other than 0.
    Error,
    /// With exit code 0.
    Success,
}

impl Pod {
    /// Reads a Pod.
    pub fn read(pod: &api::Pod) -> Self {
        let head = Head::read(Kind::Pod, &pod.metadata);
        let empty = api::PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&empty);
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let init = status
            .init_container_statuses
            .as_deref()
            .unwrap_or_default();
        let restart_policy = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        let main = status.container_statuses.as_deref().unwrap_or_default();
        Self {
            head,
            phase: phase(status.phase.as_deref()),
            restarts_always: restart_policy.is_none_or(|policy| policy == "Always"),
            is_evicted: status.reason.as_deref() == Some("Evicted"),
            is_ready: conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True"),
            unschedulable_since: unschedulable_since(conditions, &pod.metadata),
            changed: conditions
                .iter()
                .filter_map(|condition| time(condition.last_transition_time.as_ref()))
                .max(),
            containers: (init.iter().map(|status| Container::read(status, true)))
                .chain(main.iter().map(|status| Container::read(status, false)))
                .collect(),
        }
    }
}

impl Container {
    fn read(status: &api::ContainerStatus, is_init: bool) -> Self {
        let ended = |state: Option<&api::ContainerState>| {
            state
                .and_then(|state| state.terminated.as_ref())
                .map(Ended::read)
        };
        Self {
            name: status.name.clone(),
            is_init,
            is_ready: status.ready,
            restarts: count(Some(status.restart_count)),
            state: State::read(status.state.as_ref()),
            last: ended(status.last_state.as_ref()),
        }
    }
}

impl State {
    fn read(state: Option<&api::ContainerState>) -> Self {
        let Some(state) = state else {
            return Self::Waiting(Waiting::Other);
        };
        if let Some(ended) = &state.terminated {
            Self::Ended(Ended::read(ended))
        } else if let Some(running) = &state.running {
            Self::Running(time(running.started_at.as_ref()))
        } else {
            Self::Waiting(state.waiting.as_ref().map_or(Waiting::Other, Waiting::read))
        }
    }
}

impl Waiting {
    /// The reasons are those of the kubelet: `pkg/kubelet/images/types.go` and
    /// `pkg/kubelet/container/sync_result.go` of Kubernetes 1.36.
    fn read(waiting: &api::ContainerStateWaiting) -> Self {
        match waiting.reason.as_deref().unwrap_or_default() {
            "CrashLoopBackOff" => Self::BackOff,
            "ImagePullBackOff"
            | "ErrImagePull"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => Self::Image,
            "CreateContainerConfigError" => Self::Config,
            "CreateContainerError" | "PreCreateHookError" => Self::Create,
            "RunContainerError" | "StartError" | "PreStartHookError" | "PostStartHookError" => {
                if is_out_of_memory(waiting.message.as_deref()) {
                    Self::OutOfMemory
                } else {
                    Self::Start
                }
            }
            _ => Self::Other,
        }
    }
}

impl Ended {
    fn read(ended: &api::ContainerStateTerminated) -> Self {
        let ending = match ended.reason.as_deref().unwrap_or_default() {
            "OOMKilled" => Ending::OutOfMemory,
            "StartError" | "ContainerCannotRun" => {
                if is_out_of_memory(ended.message.as_deref()) {
                    Ending::OutOfMemory
                } else {
                    Ending::NotStarted
                }
            }
            _ if ended.exit_code == 0 => Ending::Success,
            _ => Ending::Error,
        };
        Self {
            ending,
            exit_code: ended.exit_code,
            signal: ended.signal.filter(|signal| *signal != 0),
            started: time(ended.started_at.as_ref()).filter(|at| *at > Timestamp::UNIX_EPOCH),
            finished: time(ended.finished_at.as_ref()).filter(|at| *at > Timestamp::UNIX_EPOCH),
        }
    }

    /// How long the container lived, in seconds; 0 when it never started.
    pub fn life_seconds(&self) -> i64 {
        match (self.started, self.finished) {
            (Some(started), Some(finished)) => finished.duration_since(started).as_secs().max(0),
            _ => 0,
        }
    }
}

/// runc says one of these when the limit is too small for the start itself; the kubelet passes that on
/// as `StartError`, exit code 128, never as `OOMKilled`. In full: "container init was OOM-killed
/// (memory limit too low?)" and "unable to set memory limit to 1048576 (current usage: 2469888, peak
/// usage: 2539520)".
fn is_out_of_memory(message: Option<&str>) -> bool {
    let wordings = ["init was oom-killed", "unable to set memory limit to "];
    message.is_some_and(|message| {
        let message = message.to_ascii_lowercase();
        wordings.iter().any(|wording| message.contains(wording))
    })
}

fn phase(phase: Option<&str>) -> Phase {
    match phase {
        Some("Pending") => Phase::Pending,
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn unschedulable_since(
    conditions: &[api::PodCondition],
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<Timestamp> {
    let condition = conditions.iter().find(|it| it.type_ == "PodScheduled")?;
    let is_unschedulable =
        condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    let since = condition
        .last_transition_time
        .as_ref()
        .or(meta.creation_timestamp.as_ref());
    time(since).filter(|_| is_unschedulable)
}
