//! Pods that no node takes.

use std::sync::LazyLock;

use bonesetter_proto::v1::Citation;
use regex::Regex;
use serde_json::Value;

use super::finding::{Finding, Group};
use super::words::quote;
use crate::case::{Case, Cited, Container, Object, cite, cite_text};
use crate::quantity::{format_cpu, format_roughly, parse_milli, parse_units};
use bonesetter_proto::v1::NodeState;

static INSUFFICIENT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?P<count>\d+) Insufficient (?P<what>[\w./\-]+)").ok());

/// Below a pod template.
const NODE_SELECTOR: &str = "/spec/nodeSelector";
/// At most so many labels are named.
const MAX_LABELS: usize = 5;

/// Why the scheduler passes nodes over, by its texts, in the order in which they say most.
const WHY: [(&str, &str, &str, &str, &str); 10] = [
    (
        "unbound immediate PersistentVolumeClaims",
        "unbound-volume-claim",
        "a PersistentVolumeClaim of it is not bound to a volume",
        "Look at the claim: does its StorageClass exist, and can it provide such a volume?",
        "/spec/volumes",
    ),
    (
        "persistentvolumeclaim",
        "unbound-volume-claim",
        "a PersistentVolumeClaim of it does not exist",
        "Create the claim or correct the reference.",
        "/spec/volumes",
    ),
    (
        "PersistentVolume's node affinity",
        "volume-on-other-node",
        "its volume can only be used on other nodes than those allowed",
        "Let the pod run where its volume is: compare the volume's node affinity with the pod's own constraints.",
        "/spec/nodeSelector",
    ),
    (
        "volume node affinity conflict",
        "volume-on-other-node",
        "its volume can only be used on other nodes than those allowed",
        "Let the pod run where its volume is: compare the volume's node affinity with the pod's own constraints.",
        "/spec/nodeSelector",
    ),
    (
        "anti-affinity",
        "anti-affinity-unsatisfiable",
        "its anti-affinity rules leave no node",
        "Reduce replicas, add nodes, or prefer instead of require.",
        "/spec/affinity",
    ),
    (
        "node affinity/selector",
        "node-selector-unsatisfiable",
        "no node has the labels that it asks for",
        "Compare nodeSelector and affinity with the labels of the nodes.",
        NODE_SELECTOR,
    ),
    (
        "pod affinity",
        "affinity-unsatisfiable",
        "no node runs the pods that it wants to be near",
        "Check whether the pods that it wants to be near exist.",
        "/spec/affinity",
    ),
    (
        "untolerated taint",
        "untolerated-taint",
        "nodes have a taint that it does not tolerate",
        "Tolerate the taint if the pod may run there; the taint looks intended.",
        "/spec/tolerations",
    ),
    (
        "Too many pods",
        "nodes-full-of-pods",
        "the nodes run as many pods as they may",
        "Add nodes, or raise maxPods of the kubelet where addresses allow it.",
        "/spec/replicas",
    ),
    (
        "free ports",
        "host-port-taken",
        "the host port that it wants is taken on every node",
        "Use another host port, or a Service instead of one.",
        "/spec/containers",
    ),
];

/// No node can take a pod of the workload.
pub(crate) fn unschedulable(case: &Case<'_>) -> Option<Finding> {
    let (pod, citation, text) = told(case)?;
    let insufficient: Vec<(u32, &str)> = INSUFFICIENT
        .as_ref()?
        .captures_iter(&text)
        .filter_map(|found| {
            let count = found.name("count")?.as_str().parse().ok()?;
            Some((count, found.name("what")?.as_str().trim_end_matches('.')))
        })
        .collect();
    let finding = match insufficient.iter().max_by_key(|(count, _)| *count) {
        Some((count, what)) if *count >= others(&text) => {
            lacking(case, pod.as_ref().copied(), what)
        }
        _ => other(case, &text)?,
    };
    Some(finding.cite(citation))
}

/// How many nodes the most frequent other reason rules out.
fn others(text: &str) -> u32 {
    text.split([',', ':'])
        .filter(|part| WHY.iter().any(|(known, ..)| part.contains(known)))
        .filter_map(|part| part.split_whitespace().next()?.parse::<u32>().ok())
        .max()
        .unwrap_or(0)
}

type Told<'c> = (Option<&'c Object<'c>>, Option<Citation>, String);

fn told<'c>(case: &'c Case<'_>) -> Option<Told<'c>> {
    for pod in case.of_kind("Pod") {
        let conditions = pod
            .json
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let place = conditions.and_then(|all| {
            all.iter()
                .position(|one| one["type"] == "PodScheduled" && one["status"] == "False")
        });
        let Some(place) = place else { continue };
        let pointer = format!("/status/conditions/{place}/message");
        if let Some(text) = pod.text(&pointer).filter(|text| !text.is_empty()) {
            return Some((Some(pod), pod.cite(&pointer), text.to_owned()));
        }
    }
    let event = case.event(&["FailedScheduling"], |_| true)?;
    let citation = cite_text(event.id, &event.item.message);
    let is_of = |pod: &&Object<'_>| {
        event
            .item
            .involved
            .as_ref()
            .is_some_and(|involved| involved.name == pod.reference.name)
    };
    Some((
        case.of_kind("Pod").find(is_of),
        Some(citation),
        event.item.message.clone(),
    ))
}

/// Something is asked for that the nodes do not have: at all, or at present.
fn lacking(case: &Case<'_>, pod: Option<&Object<'_>>, what: &str) -> Finding {
    let containers = case.containers();
    let template = case.template_containers();
    let mine: Vec<&Container<'_>> = match pod {
        Some(pod) => containers
            .iter()
            .filter(|container| container.object.id == pod.id)
            .collect(),
        None => template.iter().collect(),
    };
    let unit = Unit::of(what);
    let largest = case
        .nodes()
        .filter_map(|node| Some((unit.parse(node.item.allocatable.get(what)?)?, node)))
        .max_by_key(|(amount, _)| *amount);
    let most = largest.as_ref().map(|(amount, _)| *amount);
    let has_nodes = case.nodes().next().is_some();
    let (says, never) = compare(requested(&mine, what, unit), most, has_nodes, what, unit);
    let advice = if never {
        format!("Request less {what}, or add a node that offers so much.")
    } else {
        format!(
            "Free {what} (fewer replicas, smaller requests elsewhere), request less, or add a node."
        )
    };
    let asking = mine
        .iter()
        .find(|container| container.text(&request_pointer(what)).is_some());
    let finding = Finding::new(
        cause_of(what),
        Group::Platform,
        format!("{}: no node can take its pod: {says}.", case.subject()),
    )
    .because(format!(
        "The scheduler finds no node with enough {what}: {says}."
    ))
    .advise(advice)
    .fits(0.8)
    .fits_if(0.7, never)
    .cite(asking.and_then(|container| container.cite(&request_pointer(what))))
    .cite(largest.map(|(_, node)| cite_allocatable(&node, what)));
    match asking {
        Some(container) => finding.blaming(case, container, &["/resources"]),
        None => finding,
    }
}

/// What is asked for beside what there is, and whether no node could ever meet it.
fn compare(
    asked: Option<u64>,
    most: Option<u64>,
    has_nodes: bool,
    what: &str,
    unit: Unit,
) -> (String, bool) {
    let Some(asked) = asked else {
        return (format!("no node has enough {what} left"), false);
    };
    let never = most.map_or(has_nodes, |most| asked > most);
    let asks = format!("it requests {} {what}", unit.format(asked));
    let most = most.map(|most| unit.format(most));
    let says = match (most, never) {
        (Some(most), true) => {
            format!("{asks}, and the largest node offers {most}: no node could ever take it")
        }
        (Some(most), false) => {
            format!("{asks}, and no node has so much left (the largest offers {most} when empty)")
        }
        (None, true) => format!("{asks}, and no node that was looked at offers any"),
        (None, false) => format!("{asks}, and no node has so much left"),
    };
    (says, never)
}

fn cause_of(what: &str) -> &'static str {
    match what {
        "cpu" => "insufficient-cpu",
        "memory" => "insufficient-memory",
        "ephemeral-storage" => "insufficient-ephemeral-storage",
        _ => "insufficient-extended-resource",
    }
}

fn cite_allocatable(node: &Cited<'_, NodeState>, what: &str) -> Citation {
    let amount = node.item.allocatable.get(what).map_or("", String::as_str);
    cite(node.id, format!("allocatable {what}: {amount}"))
}

/// Resource names hold slashes, which JSON pointers escape.
fn request_pointer(what: &str) -> String {
    format!(
        "/resources/requests/{}",
        bonesetter_proto::pointer_token(what)
    )
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Cpu,
    Bytes,
    Count,
}

impl Unit {
    fn of(what: &str) -> Self {
        match what {
            "cpu" => Self::Cpu,
            "memory" | "ephemeral-storage" => Self::Bytes,
            _ => Self::Count,
        }
    }

    fn parse(self, text: &str) -> Option<u64> {
        if matches!(self, Self::Cpu) {
            parse_milli(text)
        } else {
            parse_units(text)
        }
    }

    fn format(self, amount: u64) -> String {
        match self {
            Self::Cpu => format_cpu(amount),
            Self::Bytes => format_roughly(amount),
            Self::Count => amount.to_string(),
        }
    }
}

/// What a pod requests: the sum over its containers, or the largest init container if that is more.
fn requested(containers: &[&Container<'_>], what: &str, unit: Unit) -> Option<u64> {
    let of = |init: bool| {
        containers
            .iter()
            .filter(move |container| container.init == init)
            .filter_map(|container| unit.parse(container.text(&request_pointer(what))?))
    };
    let sum = of(false).fold(0_u64, u64::saturating_add);
    let most = sum.max(of(true).max().unwrap_or(0));
    (most > 0).then_some(most)
}

/// The labels of `nodeSelector`, as `key=value`.
fn asked_labels(workload: &Object<'_>) -> Option<String> {
    let pointer = format!("/spec/template{NODE_SELECTOR}");
    let selector = workload.json.pointer(&pointer)?.as_object()?;
    let labels: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .take(MAX_LABELS)
        .collect();
    (!labels.is_empty()).then(|| labels.join(", "))
}

/// Another reason than a lack of resources.
fn other(case: &Case<'_>, text: &str) -> Option<Finding> {
    let (_, cause, says, advice, field) = WHY.iter().find(|(known, ..)| text.contains(known))?;
    let taint = case
        .nodes()
        .find_map(|node| Some((node.item.taints.first()?.as_str(), node)))
        .filter(|_| *cause == "untolerated-taint");
    let containers = case.template_containers();
    let workload = case.workload();
    let labels = workload
        .filter(|_| *field == NODE_SELECTOR)
        .and_then(|workload| asked_labels(workload));
    let named = match (taint, labels) {
        (Some((taint, _)), _) => format!(" (for example {taint})"),
        (None, Some(labels)) => format!(" ({labels})"),
        (None, None) => String::new(),
    };
    let finding = Finding::new(
        *cause,
        Group::Platform,
        format!(
            "{}: no node can take its pod: {says}{named}.",
            case.subject()
        ),
    )
    .because(format!(
        "The scheduler finds no node, because {says}{named}: {}",
        quote(text)
    ))
    .advise(*advice)
    .fits(0.85)
    .cite(workload.and_then(|workload| workload.cite(&format!("/spec/template{field}"))))
    .cite(taint.map(|(taint, node)| cite(node.id, format!("taint {taint}"))));
    Some(match containers.first() {
        Some(container) => finding.blaming(
            case,
            container,
            &[field, "/spec/affinity", "/spec/nodeSelector"],
        ),
        None => finding,
    })
}
