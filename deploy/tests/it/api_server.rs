//! The manifests at a real API server: accepted, and granting what they say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bonesetter_testbed::State;
use serde_json::{Value, json};

use crate::workloads::{WORKLOADS, folder, items, run, strings};

const LIMIT: Duration = Duration::from_secs(30);

struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// As the administrator of the testbed, with the namespace of the installation in place: a dry
    /// run needs it.
    fn new() -> Self {
        let state = State::load().unwrap();
        let kubeconfig = state.kubeconfig().unwrap().to_owned();
        let this = Self { kubeconfig };
        this.apply(&folder().join("00-namespace.yaml"), &[]);
        this
    }

    fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments);
        run(&mut command, input)
    }

    fn apply(&self, file: &Path, more: &[&str]) -> String {
        let file = file.to_str().unwrap();
        let apply = ["apply", "--server-side", "--force-conflicts", "--filename"];
        let arguments = [&apply[..], &[file], more].concat();
        self.run(&arguments, "")
    }

    /// The rights that an account has in a namespace besides those that everybody has.
    fn rights(&self, account: &str, namespace: &str) -> BTreeSet<String> {
        let all = |account: &str| self.all_rights(account, namespace);
        let everybodys = all("nobody-in-particular");
        all(account).difference(&everybodys).cloned().collect()
    }

    fn all_rights(&self, account: &str, namespace: &str) -> BTreeSet<String> {
        let user = format!("system:serviceaccount:bonesetter-system:{account}");
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        });
        let groups = [
            "--as-group=system:serviceaccounts",
            "--as-group=system:authenticated",
        ];
        let create = [
            "create",
            "--validate=false",
            "--filename=-",
            "--output=json",
            "--as",
        ];
        let arguments = [&create[..], &[user.as_str()], &groups].concat();
        let answer = self.run(&arguments, &review.to_string());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let mut rights = BTreeSet::new();
        for rule in items(&answer["status"]["resourceRules"]) {
            for resource in strings(&rule["resources"]) {
                for verb in strings(&rule["verbs"]) {
                    rights.insert(format!("{verb} {resource}"));
                }
            }
        }
        rights
    }
}

#[test]
fn the_api_server_accepts_every_object() {
    let kubectl = Kubectl::new();
    let path = folder();
    let dry = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
    ];
    let everything = [&dry[..], &["--kustomize", path.to_str().unwrap()]].concat();
    let accepted = kubectl.run(&everything, "");
    for name in WORKLOADS {
        for kind in [
            "serviceaccount",
            "configmap",
            "networkpolicy.networking.k8s.io",
            "deployment.apps",
        ] {
            assert!(
                accepted.contains(&format!("{kind}/{name} ")),
                "{kind}/{name}: {accepted}"
            );
        }
    }
    for file in ["optional/llm-provider.yaml", "actuator-namespace.yaml"] {
        let file = path.join(file);
        kubectl.run(
            &[&dry[..], &["--filename", file.to_str().unwrap()]].concat(),
            "",
        );
    }
}

#[test]
fn accounts_have_exactly_the_rights_of_this_table() {
    let kubectl = Kubectl::new();
    kubectl.apply(&folder().join("02-rbac.yaml"), &[]);
    let auto = format!("deploy-auto-{}", std::process::id());
    kubectl.run(&["create", "namespace", &auto], "");
    let in_auto = ["--namespace", auto.as_str()];
    kubectl.apply(&folder().join("actuator-namespace.yaml"), &in_auto);

    let watched = ["pods", "events", "deployments", "replicasets", "jobs"];
    let watcher = watched.map(|it| [format!("list {it}"), format!("watch {it}")]);
    let enricher = "get pods,list pods,get pods/log,list events,get nodes,list nodes,\
        get deployments,get statefulsets,get daemonsets,get replicasets,list replicasets,\
        get jobs,list jobs,get cronjobs";
    let actuator = "get deployments,list replicasets";
    let actuator_in_auto = "get deployments,list replicasets,patch deployments,list pods";
    let set = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    let watcher: BTreeSet<String> = watcher.into_iter().flatten().collect();
    let expect = |account: &str, namespace: &str, expected: &BTreeSet<String>| {
        // The authorizer learns of new bindings by watching.
        let deadline = Instant::now() + LIMIT;
        loop {
            let rights = kubectl.rights(account, namespace);
            if rights == *expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{account} in {namespace}: {rights:?}, expected {expected:?}"
            );
        }
    };
    for namespace in ["default", "bonesetter-system", auto.as_str()] {
        let leases = set("list leases,create leases,update leases");
        let is_own = namespace == "bonesetter-system";
        let watcher = if is_own {
            &watcher | &leases
        } else {
            watcher.clone()
        };
        expect("svc-watcher", namespace, &watcher);
        expect("svc-enricher", namespace, &set(enricher));
        let is_auto = namespace == auto;
        let actuator = if is_auto { actuator_in_auto } else { actuator };
        expect("svc-actuator", namespace, &set(actuator));
        for name in WORKLOADS
            .iter()
            .filter(|name| !["svc-watcher", "svc-enricher", "svc-actuator"].contains(name))
        {
            expect(name, namespace, &BTreeSet::new());
        }
    }
    kubectl.run(&["delete", "namespace", &auto, "--wait=false"], "");
}
