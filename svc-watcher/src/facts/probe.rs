use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// The kubelet killed a container because a probe failed.
///
/// Only an Event tells this from an ordinary crash. Nothing of its text is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeKill {
    /// The pod's uid.
    pub pod_uid: String,
    /// The container's name.
    pub container: String,
    /// When it last happened.
    pub at: Timestamp,
}

impl ProbeKill {
    /// Reads an Event; none when it reports anything else.
    ///
    /// The kubelet words it `Container NAME failed liveness probe, will be restarted`, or `startup`
    /// (`pkg/kubelet/kuberuntime/kuberuntime_manager.go`), and names the container in the field
    /// path: `spec.containers{NAME}` or `spec.initContainers{NAME}`. A readiness probe kills nothing.
    pub fn read(event: &Event) -> Option<Self> {
        let involved = &event.involved_object;
        if involved.kind.as_deref() != Some("Pod") || event.reason.as_deref() != Some("Killing") {
            return None;
        }
        let message = event.message.as_deref()?;
        let is_probe = ["failed liveness probe", "failed startup probe"]
            .iter()
            .any(|wording| message.contains(wording));
        let (_, rest) = involved.field_path.as_deref()?.split_once('{')?;
        let container = rest
            .strip_suffix('}')
            .filter(|name| is_probe && !name.is_empty())?;
        Some(Self {
            pod_uid: involved.uid.clone()?,
            container: container.to_owned(),
            at: last_seen(event)?,
        })
    }
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let times = [
        series.map(|at| at.0),
        event.last_timestamp.as_ref().map(|at| at.0),
        event.event_time.as_ref().map(|at| at.0),
        event.metadata.creation_timestamp.as_ref().map(|at| at.0),
    ];
    times.into_iter().flatten().max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, message: &str, field_path: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e", "namespace": "n", "creationTimestamp": "2026-11-02T10:00:00Z"},
            "involvedObject": {"kind": "Pod", "namespace": "n", "name": "p", "uid": "pu", "fieldPath": field_path},
            "reason": reason, "message": message, "type": "Normal", "count": 3,
            "firstTimestamp": "2026-11-02T10:00:00Z", "lastTimestamp": "2026-11-02T10:01:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn kills_by_liveness_and_startup_probes_are_read_with_their_last_time() {
        let kill = |message: &str, path: &str| ProbeKill::read(&event("Killing", message, path));
        let liveness = kill(
            "Container app failed liveness probe, will be restarted",
            "spec.containers{app}",
        );
        let liveness = liveness.unwrap();
        assert_eq!(
            (liveness.pod_uid.as_str(), liveness.container.as_str()),
            ("pu", "app")
        );
        assert_eq!(liveness.at, "2026-11-02T10:01:00Z".parse().unwrap());
        let startup = "Container side failed startup probe, will be restarted";
        assert_eq!(
            kill(startup, "spec.initContainers{side}")
                .unwrap()
                .container,
            "side"
        );
    }

    #[test]
    fn other_events_are_no_probe_kills() {
        let probe = "Container app failed liveness probe, will be restarted";
        for other in [
            event("Killing", "Stopping container app", "spec.containers{app}"),
            event(
                "Unhealthy",
                "Liveness probe failed: connection refused",
                "spec.containers{app}",
            ),
            event("Killing", probe, ""),
            event("Killing", probe, "spec.containers{}"),
        ] {
            assert_eq!(ProbeKill::read(&other), None, "{other:?}");
        }
        let mut node = event("Killing", probe, "spec.containers{app}");
        node.involved_object.kind = Some("Node".to_owned());
        assert_eq!(ProbeKill::read(&node), None);
    }
}
