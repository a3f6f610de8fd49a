//! containerd and the kubelet.

use super::control_plane::Ports;
use super::{Error, NAME, Places, leftovers, network};
use crate::process::{Launch, Server};
use crate::programs::{Program, Programs, on_path};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Name in containerd's namespace of Kubernetes.
const NAMESPACE: &str = "k8s.io";

/// Starts containerd with its own folders, socket and configuration.
pub(super) fn start_containerd(places: &Places) -> Result<Server, Error> {
    let conf_dir = places.file("cni");
    let plugins = network::plugins(&places.file("addresses")).to_string();
    places.write("cni/10-bonesetter.conflist", &plugins)?;
    let bin_dir = network::find_plugins().unwrap_or_else(|| PathBuf::from("/usr/lib/cni"));
    let text = containerd_configuration(places, &conf_dir, &bin_dir);
    let file = places.write("containerd.toml", &text)?;
    let program = on_path("containerd").unwrap_or_else(|| PathBuf::from("containerd"));
    let server = Launch::new("containerd", &program, places.log("containerd"))
        .arg("--config")
        .arg(file)
        .start()?;
    Ok(server)
}

/// Source: containerd documentation, `docs/cri/config.md` of release 1.6.
fn containerd_configuration(places: &Places, conf_dir: &Path, bin_dir: &Path) -> String {
    // A JSON string is a basic string of TOML.
    let quote = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    format!(
        r#"version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]

[grpc]
address = {socket}

[debug]
address = {debug}
level = "warn"

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[{cri}]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
disable_apparmor = true
stream_server_address = "127.0.0.1"

[{cri}.cni]
bin_dir = {bin_dir}
conf_dir = {conf_dir}

[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
        root = quote(&places.file("containerd/root")),
        state = quote(&places.file("containerd/state")),
        socket = quote(&places.socket()),
        debug = quote(&places.file("containerd-debug.sock")),
        opt = quote(&places.file("containerd/opt")),
        pause = crate::image::PAUSE,
        bin_dir = quote(bin_dir),
        conf_dir = quote(conf_dir),
    )
}

/// Whether containerd answers.
pub(super) async fn is_containerd_ready(places: &Places) -> Result<(), String> {
    ctr(places, &["version"]).await
}

/// Imports an image archive.
pub(super) async fn import(places: &Places, archive: &Path) -> Result<(), Error> {
    let name = archive.to_string_lossy();
    let imported = ctr(places, &["images", "import", "--no-unpack=false", &name]).await;
    imported.map_err(|reason| Error::Import {
        archive: archive.to_owned(),
        reason,
    })
}

async fn ctr(places: &Places, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(places.socket())
        .args(["--namespace", NAMESPACE]);
    command.args(arguments).kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|error| format!("cannot run ctr: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Starts the kubelet.
pub(super) fn start_kubelet(
    programs: &Programs,
    places: &Places,
    ports: &Ports,
) -> Result<Server, Error> {
    let cannot = |path: PathBuf| move |source| Error::File { path, source };
    leftovers::create_cgroups().map_err(cannot(PathBuf::from(leftovers::CGROUPS)))?;
    fs::create_dir_all(places.pod_logs()).map_err(cannot(places.pod_logs()))?;
    let text = kubelet_configuration(places, ports).to_string();
    let file = places.write("kubelet.yaml", &text)?;
    let server = Launch::new(
        "kubelet",
        programs.get(Program::Kubelet)?,
        places.log("kubelet"),
    )
    .flag("config", file)
    .flag("kubeconfig", places.file("node.kubeconfig"))
    .flag("hostname-override", NAME)
    .flag("node-ip", network::ADDRESS)
    .flag("root-dir", places.file("kubelet"))
    .flag("cert-dir", places.file("kubelet-pki"))
    .start()?;
    Ok(server)
}

/// Source: Kubernetes reference, "Kubelet Configuration (v1beta1)".
fn kubelet_configuration(places: &Places, ports: &Ports) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network::ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": ports.kubelet_health,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": places.file("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": places.file("pki/kubelet.crt"),
        "tlsPrivateKeyFile": places.file("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", places.socket().display()),
        "podLogsDir": places.pod_logs(),
        "volumePluginDir": places.file("volume-plugins"),
        "resolvConf": "/dev/null",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": leftovers::CGROUP_ROOT,
        // The machines this runs on may still have version 1 of control groups, and swap.
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    })
}
