//! The bridge that pods are on. Its address is the node's: the kubelet refuses a loopback one.
//!
//! Pods reach the bridge and each other, nothing else: no forwarding is switched on and no packet
//! filter is touched.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// The bridge.
pub const BRIDGE: &str = "bonesetter0";
/// The node's address.
pub const ADDRESS: &str = "10.244.0.1";
/// The pods' subnet.
pub const SUBNET: &str = "10.244.0.0/24";

/// The network could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("`ip {arguments}` failed: {reason}")]
pub struct Error {
    arguments: String,
    reason: String,
}

/// Makes the bridge.
pub(super) fn create() -> Result<(), Error> {
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    Ok(())
}

/// Removes the bridge, and the pods' ends that are still on it.
pub(super) fn remove() {
    for port in ports() {
        // A pair goes with its namespace, perhaps just now.
        drop(ip(&["link", "del", &port]));
    }
    if exists() {
        drop(ip(&["link", "del", BRIDGE]));
    }
}

/// Whether the bridge is there.
pub(crate) fn exists() -> bool {
    PathBuf::from("/sys/class/net").join(BRIDGE).exists()
}

fn ports() -> Vec<String> {
    let folder = PathBuf::from("/sys/class/net").join(BRIDGE).join("brif");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Interfaces other than the bridge that have an address in the pods' subnet.
pub(crate) fn conflicts() -> Vec<String> {
    let output = ip(&["-json", "-4", "addr"]).unwrap_or_default();
    conflicts_in(&serde_json::from_str(&output).unwrap_or_default())
}

fn conflicts_in(interfaces: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for interface in interfaces.as_array().into_iter().flatten() {
        let name = interface["ifname"].as_str().unwrap_or_default();
        let addresses = interface["addr_info"].as_array().into_iter().flatten();
        let is_in_subnet = addresses
            .filter_map(|info| info["local"].as_str())
            .any(|address| address.starts_with("10.244.0."));
        if name != BRIDGE && is_in_subnet {
            found.push(name.to_owned());
        }
    }
    found
}

/// The list of plugins that the runtime runs for each pod.
/// Source: CNI specification 1.0.0; plugins `bridge` and `host-local`.
pub(super) fn plugins(addresses: &std::path::Path) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "bonesetter",
        "plugins": [{
            "type": "bridge",
            "bridge": BRIDGE,
            // The bridge has its address already; as a gateway, the plugin would switch on
            // forwarding for the whole machine.
            "isGateway": false,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": addresses,
                "ranges": [[{"subnet": SUBNET, "gateway": ADDRESS}]],
            },
        }],
    })
}

/// The folder with the plugins.
pub(crate) fn find_plugins() -> Option<PathBuf> {
    let folders = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"].map(PathBuf::from);
    let needed = ["bridge", "host-local", "loopback"];
    folders
        .into_iter()
        .find(|folder| needed.iter().all(|name| folder.join(name).is_file()))
}

fn ip(arguments: &[&str]) -> Result<String, Error> {
    let error = |reason: String| Error {
        arguments: arguments.join(" "),
        reason,
    };
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|source| error(source.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(error(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::conflicts_in;
    use serde_json::json;

    #[test]
    fn a_conflict_is_an_address_of_the_subnet_elsewhere() {
        let interface =
            |name: &str, address: &str| json!({"ifname": name, "addr_info": [{"local": address}]});
        let interfaces = json!([
            interface("lo", "127.0.0.1"),
            interface("bonesetter0", "10.244.0.1"),
            interface("cni0", "10.244.0.1"),
            interface("eth0", "10.24.4.1"),
        ]);
        assert_eq!(conflicts_in(&interfaces), ["cni0"]);
    }
}
