"""Makes evidence, in the form that `bonesetter diagnose` reads, of recorded cases: one document a line.

usage: evidence.py diag_cases.jsonl

A case has a manifest and what an engineer saw (command: output). Pods and nodes as `kubectl describe` shows them, events,
objects as YAML and logs become evidence; manifests are passed on as YAML, in `manifests`. What was detected is told from the
states of the pods, as svc-watcher does, and not from the label of the case.
"""
import json
import re
import sys

CLASSES = {
    "OOMKilled": "oom-killed", "ImagePullBackOff": "image-pull", "ErrImagePull": "image-pull",
    "CrashLoopBackOff": "crash-loop-back-off", "FailedScheduling": "unschedulable", "BackoffLimitExceeded": "job-failed",
    "Unhealthy": "probe-kill",
}
PROBES = {"Liveness": "livenessProbe", "Readiness": "readinessProbe", "Startup": "startupProbe"}
EVENT = re.compile(r"^\s*(Warning|Normal)\s+(\w+)\s+(.*?)(?:\s{2,}|\t)\s*\S+(?:\s{2,}|\s*\t)\s*(.*)$")


def reference(kind, namespace, name):
    return {"kind": kind, "namespace": namespace, "name": name}


def blocks(text):
    """Lines that are indented less than the rest, each with its key, its value and the lines below it."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if found and len(line) - len(line.lstrip()) > found[0][3]:
            found[-1][2].append(line)
            continue
        key, _, value = line.strip().partition(":")
        found.append((key, value.strip(), [], len(line) - len(line.lstrip()) if not found else found[0][3]))
    return [(key, value, "\n".join(below)) for key, value, below, _ in found]


def pairs(text):
    return {key: value for key, value, _ in blocks(text) if value}


def probe(text):
    """`exec [sh -c exit 1] delay=5s timeout=1s period=5s #success=1 #failure=3`, `http-get http://:8080/x delay=...`"""
    made = {}
    for key, name in (("delay", "initialDelaySeconds"), ("timeout", "timeoutSeconds"), ("period", "periodSeconds"), ("failure", "failureThreshold")):
        number = re.search(rf"{key}=(\d+)", text)
        made.update({name: int(number[1])} if number else {})
    if command := re.match(r"exec \[(.*)\]", text):
        made["exec"] = {"command": command[1].split()}
    if get := re.match(r"http-get (https?)://[^:/]*:(\d*)(\S*)", text):
        made["httpGet"] = {"scheme": get[1].upper(), "port": int(get[2] or 80), "path": get[3]}
    if socket := re.match(r"tcp-socket \S*:(\d+)", text):
        made["tcpSocket"] = {"port": int(socket[1])}
    return made


def variable(name, value):
    source = re.match(r"<set to the key '([^']+)' (?:in secret|of config map) '([^']+)'>", value)
    kind = "secretKeyRef" if "in secret" in value else "configMapKeyRef"
    return {"name": name, "valueFrom": {kind: {"key": source[1], "name": source[2]}}} if source else {"name": name, "value": value}


def container(name, text):
    """A container and its status, from its paragraph. Older recordings do not indent what belongs to a state."""
    spec, status, state = {"name": name}, {"name": name, "restartCount": 0, "ready": False}, None
    for key, value, below in blocks(text):
        if key in ("State", "Last State"):
            state = status.setdefault("state" if key == "State" else "lastState", {}).setdefault(value.lower(), {})
            fields = pairs(below)
        else:
            fields = {key: value} if key in ("Reason", "Message", "Exit Code") else {}
        if state is not None:
            for field in ("Reason", "Message"):
                state.update({field.lower(): fields[field]} if field in fields else {})
            state.update({"exitCode": int(fields["Exit Code"])} if "Exit Code" in fields else {})
        if key == "Image":
            spec["image"] = value
        elif key in ("Command", "Args"):
            spec[key.lower()] = [line.strip() for line in below.splitlines()]
        elif key in ("Limits", "Requests"):
            spec.setdefault("resources", {})[key.lower()] = pairs(below)
        elif key in PROBES:
            spec[PROBES[key]] = probe(value)
        elif key == "Environment":
            spec["env"] = [variable(*pair) for pair in pairs(below).items()]
        elif key == "Port" and value.split("/")[0].isdigit():
            spec["ports"] = [{"containerPort": int(value.split("/")[0])}]
        elif key == "Ready":
            status["ready"] = value == "True"
        elif key == "Restart Count":
            status["restartCount"] = int(value)
    return spec, status


def conditions(text):
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    rows = [row for row in rows if len(row) > 1 and row[1] in ("True", "False", "Unknown")]
    named = lambda row: {"reason": row[4], "message": row[-1]} if len(row) > 5 else {}
    return [{"type": row[0], "status": row[1], **named(row)} for row in rows]


def events(text, involved):
    for line in text.splitlines():
        if row := EVENT.match(line):
            count = re.search(r"\(x(\d+)", row[3])
            yield {"type": row[1], "reason": row[2], "message": row[4], "count": int(count[1]) if count else 1, "involved": involved}


def described(text):
    """Pods and nodes as `kubectl describe` shows them, and the events of anything: (kind of item, content)."""
    for part in re.split(r"(?m)^(?=Name:\s)", text)[1:]:
        found = {key: (value, below) for key, value, below in blocks(part.split("\nstderr:")[0])}
        value = lambda key: found.get(key, ("", ""))[0].replace("<none>", "")
        below = lambda key: found.get(key, ("", ""))[1]
        namespace = value("Namespace") or "default"
        if "Taints" in found:
            taints = [line.strip() for line in [value("Taints"), *below("Taints").splitlines()] if line.strip()]
            kind, namespace = "Node", ""
            yield "node", {
                "ref": reference("Node", "", value("Name")), "allocatable": pairs(below("Allocatable")), "taints": taints,
                "conditions": conditions(below("Conditions")), "unschedulable": value("Unschedulable") == "true",
            }
        elif "Containers" in found and "Pods Statuses" not in found:
            kind, spec, status = "Pod", {"nodeName": value("Node").split("/")[0]}, {"phase": value("Status"), "conditions": conditions(below("Conditions"))}
            for section, key, state in (("Containers", "containers", "containerStatuses"), ("Init Containers", "initContainers", "initContainerStatuses")):
                both = [container(name, text) for name, _, text in blocks(below(section))]
                spec[key], status[state] = [one for one, _ in both], [one for _, one in both if "state" in one]
            selector = [pair.strip().partition("=") for pair in [value("Node-Selectors"), *below("Node-Selectors").splitlines()]]
            spec["nodeSelector"] = {key: label for key, _, label in selector if key}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": value("Name"), "namespace": namespace}, "spec": spec, "status": status}
            yield "object", {"ref": reference("Pod", namespace, value("Name")), "body": body}
        else:
            kind = "Job" if "Pods Statuses" in found and "Completions" in found else "Deployment"
        for event in events(below("Events"), reference(kind, namespace, value("Name"))):
            yield "event", event


def detected(items):
    """What svc-watcher would say: the state of a container before the events."""
    reasons = []
    for item in items:
        statuses = item.get("object", {}).get("body", {}).get("status", {})
        for status in statuses.get("containerStatuses", []) + statuses.get("initContainerStatuses", []):
            for state in ("lastState", "state"):
                reasons += [inner.get("reason", "") for inner in status.get(state, {}).values()]
    reasons += [item["event"]["reason"] for item in items if "event" in item]
    return next((CLASSES[reason] for reason in CLASSES if reason in reasons), "failed")


def evidence(case):
    items, manifests, logs, pod = {}, [case["manifest"] or ""], [], reference("Pod", "default", "pod")
    for command, text in case["observed"].items():
        text = re.sub(r'^\{"schema_version".*\n', "", text)
        text = text.rpartition("stdout:\n")[2].split("\nstderr:")[0]
        if re.search(r"_logs|^generated_logs", command):
            logs.append(("previous" in command, text))
        elif text.startswith("apiVersion:"):
            manifests.append(text)
        for kind, content in described(text):
            if kind == "event":
                items[f"event/{len(items)}"] = {"event": {"uid": str(len(items)), **content}}
            elif kind == "node":
                items[f"node/{content['ref']['name']}"] = {"node": content}
            else:
                pod = content["ref"]
                items[f"object/Pod/{pod['name']}"] = {"object": content}
        if "events" in command:
            for event in events(text, pod):
                items[f"event/{len(items)}"] = {"event": {"uid": str(len(items)), **event}}
    body = items.get(f"object/Pod/{pod['name']}", {}).get("object", {}).get("body", {"spec": {}, "status": {}})
    statuses = body["status"].get("containerStatuses", []) + body["status"].get("initContainerStatuses", [])
    failing = [status["name"] for status in statuses if not status["ready"]] + [one["name"] for one in body["spec"].get("containers", [])]
    for number, (previous, text) in enumerate(logs):
        lines = [{"text": line} for line in text.splitlines() if line.strip()]
        name = (failing or ["app"])[0]
        log = {"pod": pod, "container": name, "previous": previous, "source": "kubernetes", "lines": lines}
        items[f"log/{pod['name']}/{name}/{number}"] = {"log": log}
    return [{"id": name, **content} for name, content in items.items()], manifests


for line in open(sys.argv[1]):
    case = json.loads(line)
    items, manifests = evidence(case)
    print(json.dumps({
        "version": 1, "failure_class": detected(items), "incident": None, "evidence": {"items": items},
        "case": case["id"], "manifests": manifests,
    }))
