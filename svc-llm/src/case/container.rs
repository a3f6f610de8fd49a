//! Containers, with what their pods say about them.

use bonesetter_proto::v1::Citation;
use serde_json::Value;

use super::{Case, Object};
use crate::quantity::parse_units;

/// How a container ended.
#[derive(Debug, Clone)]
pub(crate) struct Termination<'c> {
    pub(crate) reason: &'c str,
    pub(crate) exit_code: i64,
    pub(crate) signal: Option<i64>,
    pub(crate) message: &'c str,
    /// How long it ran, in seconds, where both times are known.
    pub(crate) ran_seconds: Option<i64>,
    /// Where in the pod this stands.
    pub(crate) pointer: String,
}

/// A container of a pod, or of a pod template where no pod exists.
#[derive(Debug, Clone)]
pub(crate) struct Container<'c> {
    pub(crate) object: &'c Object<'c>,
    pub(crate) name: &'c str,
    pub(crate) init: bool,
    pub(crate) spec: &'c Value,
    /// Of `spec` within the object.
    pub(crate) spec_pointer: String,
    pub(crate) status: Option<&'c Value>,
    /// Of `status` within the object.
    pub(crate) status_pointer: String,
}

/// Reasons that say "not yet" rather than "failed".
const WAITING_NORMALLY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

impl<'c> Container<'c> {
    /// The value at a pointer below the container's specification.
    pub(crate) fn get(&self, pointer: &str) -> Option<&'c Value> {
        self.spec.pointer(pointer)
    }

    /// The text at a pointer below the container's specification.
    pub(crate) fn text(&self, pointer: &str) -> Option<&'c str> {
        self.get(pointer).and_then(Value::as_str)
    }

    /// A citation of a pointer below the container's specification.
    pub(crate) fn cite(&self, pointer: &str) -> Option<Citation> {
        self.object.cite(&format!("{}{pointer}", self.spec_pointer))
    }

    /// A citation of a pointer below the container's status.
    pub(crate) fn cite_status(&self, pointer: &str) -> Option<Citation> {
        self.status?;
        self.object
            .cite(&format!("{}{pointer}", self.status_pointer))
    }

    /// The memory limit in bytes.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        parse_units(self.text("/resources/limits/memory")?)
    }

    /// Reason and message of a container that waits because something is wrong.
    pub(crate) fn waiting(&self) -> Option<(&'c str, &'c str)> {
        let waiting = self.status?.pointer("/state/waiting")?;
        let reason = waiting.get("reason").and_then(Value::as_str)?;
        let message = waiting
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        (!WAITING_NORMALLY.contains(&reason)).then_some((reason, message))
    }

    /// Whether it runs now.
    pub(crate) fn is_running(&self) -> bool {
        self.status
            .is_some_and(|status| status.pointer("/state/running").is_some())
    }

    /// How often it was restarted.
    pub(crate) fn restarts(&self) -> u64 {
        let count = self.status.and_then(|status| status.get("restartCount"));
        count.and_then(Value::as_u64).unwrap_or(0)
    }

    /// How it ended last: now, or before the present instance.
    pub(crate) fn termination(&self) -> Option<Termination<'c>> {
        let status = self.status?;
        ["/state/terminated", "/lastState/terminated"]
            .iter()
            .find_map(|pointer| {
                let value = status.pointer(pointer)?;
                let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
                Some(Termination {
                    reason: text("reason"),
                    exit_code: value.get("exitCode").and_then(Value::as_i64).unwrap_or(0),
                    signal: value
                        .get("signal")
                        .and_then(Value::as_i64)
                        .filter(|signal| *signal > 0),
                    message: text("message"),
                    ran_seconds: seconds_between(text("startedAt"), text("finishedAt")),
                    pointer: format!("{}{pointer}", self.status_pointer),
                })
            })
    }

    /// How it ended last, if that was a failure.
    pub(crate) fn crash(&self) -> Option<Termination<'c>> {
        self.termination()
            .filter(|end| end.exit_code != 0 || end.signal.is_some())
    }

    /// Whether the kernel killed it at its memory limit, also before it could start.
    pub(crate) fn is_oom_killed(&self) -> bool {
        self.termination()
            .is_some_and(|end| is_oom(end.reason, end.message))
            || self
                .waiting()
                .is_some_and(|(reason, message)| is_oom(reason, message))
    }

    /// Whether it has worked for a while under its present template, so that a rollout is not to blame.
    pub(crate) fn has_worked(&self) -> bool {
        const A_WHILE_SECONDS: i64 = 600;
        self.termination()
            .and_then(|end| end.ran_seconds)
            .is_some_and(|ran| ran > A_WHILE_SECONDS)
    }

    fn severity(&self) -> u8 {
        if self.waiting().is_some() || (self.crash().is_some() && !self.is_running()) {
            3
        } else if self.termination().is_some() && self.restarts() > 0 {
            2
        } else {
            u8::from(self.status.is_some_and(|status| status["ready"] == false))
        }
    }
}

/// Whether the kubelet's reason or the runtime's message tells of a kill at the memory limit.
pub(crate) fn is_oom(reason: &str, message: &str) -> bool {
    reason == "OOMKilled"
        || message.contains("unable to set memory limit to ")
        || message.contains("OOM-killed")
        || message.contains("OOM killed")
        || message.contains("out of memory (possibly OOM")
}

fn seconds_between(start: &str, end: &str) -> Option<i64> {
    let start: jiff::Timestamp = start.parse().ok()?;
    let end: jiff::Timestamp = end.parse().ok()?;
    Some(end.as_second() - start.as_second())
}

impl Case<'_> {
    /// Containers of every pod, init containers first.
    pub(crate) fn containers(&self) -> Vec<Container<'_>> {
        self.of_kind("Pod")
            .flat_map(|pod| containers_of(pod, "/spec", true))
            .collect()
    }

    /// Containers of the workload's pod template.
    pub(crate) fn template_containers(&self) -> Vec<Container<'_>> {
        self.workload().map_or_else(Vec::new, |workload| {
            let pointer = if workload.reference.kind == "Pod" {
                "/spec"
            } else {
                "/spec/template/spec"
            };
            containers_of(workload, pointer, false)
        })
    }

    /// Containers that fail, the worst first; of equals those of the youngest pod.
    pub(crate) fn failing(&self) -> Vec<Container<'_>> {
        let mut failing: Vec<_> = self
            .containers()
            .into_iter()
            .filter(|container| container.severity() > 0)
            .collect();
        failing.sort_by(|left, right| {
            let age = |container: &Container<'_>| {
                container
                    .object
                    .text("/metadata/creationTimestamp")
                    .unwrap_or_default()
                    .to_owned()
            };
            right
                .severity()
                .cmp(&left.severity())
                .then_with(|| age(right).cmp(&age(left)))
        });
        failing
    }
}

fn containers_of<'c>(object: &'c Object<'_>, base: &str, with_status: bool) -> Vec<Container<'c>> {
    let mut found = Vec::new();
    for (list, statuses, init) in [
        ("initContainers", "/status/initContainerStatuses", true),
        ("containers", "/status/containerStatuses", false),
    ] {
        let specs = object
            .json
            .pointer(&format!("{base}/{list}"))
            .and_then(Value::as_array);
        for (index, spec) in specs.into_iter().flatten().enumerate() {
            let name = spec.get("name").and_then(Value::as_str).unwrap_or_default();
            let all = object.json.pointer(statuses).and_then(Value::as_array);
            let place = all
                .filter(|_| with_status)
                .and_then(|all| all.iter().position(|status| status["name"] == name));
            found.push(Container {
                object,
                name,
                init,
                spec,
                spec_pointer: format!("{base}/{list}/{index}"),
                status: place.and_then(|place| all.and_then(|all| all.get(place))),
                status_pointer: format!("{statuses}/{}", place.unwrap_or(0)),
            });
        }
    }
    found
}
