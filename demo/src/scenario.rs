//! What the demo breaks, and what Bonesetter must make of it.

use bonesetter_proto::v1::FailureClass;

/// The namespace in which Bonesetter only suggests.
pub const SUGGEST_NAMESPACE: &str = "bonesetter-demo";
/// The namespace in which it may apply what it suggests.
pub const AUTO_NAMESPACE: &str = "bonesetter-demo-auto";

/// How an incident must end within the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A remedy is suggested.
    SuggestsRollBack,
    /// Nothing can be applied safely; the diagnosis says what to do.
    Explains,
    /// Rolled back, verified and resolved.
    MendedByRollBack,
    /// The memory limit is raised, verified and resolved.
    MendedBySetMemory,
    /// Nothing is wrong, so nothing may be said.
    Silence,
}

impl Ending {
    /// Whether the workload is mended by Bonesetter itself.
    pub const fn is_mended(self) -> bool {
        matches!(self, Self::MendedByRollBack | Self::MendedBySetMemory)
    }
}

/// One workload.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name in the cluster.
    pub workload: &'static str,
    /// `Deployment` or `Job`.
    pub kind: &'static str,
    /// Where it runs.
    pub namespace: &'static str,
    /// What is done to it.
    pub title: &'static str,
    /// Revisions, separated by `---`; each but the last becomes available first.
    pub manifest: &'static str,
    /// Classes that it may be detected as.
    pub classes: &'static [FailureClass],
    /// What the root cause must mention, in any case: the thing that an engineer would have to look for.
    pub cause_mentions: &'static [&'static str],
    /// How it must end.
    pub ending: Ending,
}

/// Every workload of the demo: eight that fail and two that do not.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        workload: "checkout",
        kind: "Deployment",
        namespace: AUTO_NAMESPACE,
        title: "a new revision with a bad configuration value",
        manifest: include_str!("../workloads/bad-config.yaml"),
        classes: &[FailureClass::CrashLoopBackOff],
        cause_mentions: &["pool_size"],
        ending: Ending::MendedByRollBack,
    },
    Scenario {
        workload: "thumbnailer",
        kind: "Deployment",
        namespace: AUTO_NAMESPACE,
        title: "a memory limit that is too low",
        manifest: include_str!("../workloads/low-memory.yaml"),
        classes: &[FailureClass::OomKilled],
        cause_mentions: &["limit of 32mi"],
        ending: Ending::MendedBySetMemory,
    },
    Scenario {
        workload: "search",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "a new revision with an image that cannot be pulled",
        manifest: include_str!("../workloads/missing-image.yaml"),
        classes: &[FailureClass::ImagePull],
        cause_mentions: &["image", "2.0.0-not-pushed"],
        ending: Ending::SuggestsRollBack,
    },
    Scenario {
        workload: "reporting",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "a ConfigMap that does not exist",
        manifest: include_str!("../workloads/missing-config-map.yaml"),
        classes: &[FailureClass::CreateContainerConfigError],
        cause_mentions: &["configmap"],
        ending: Ending::Explains,
    },
    Scenario {
        workload: "gateway",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "a liveness probe on the wrong port",
        manifest: include_str!("../workloads/wrong-probe-port.yaml"),
        classes: &[FailureClass::ProbeKill],
        cause_mentions: &["liveness", "9090"],
        ending: Ending::Explains,
    },
    Scenario {
        workload: "analytics",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "a CPU request that no node can meet",
        manifest: include_str!("../workloads/too-much-cpu.yaml"),
        classes: &[FailureClass::Unschedulable],
        cause_mentions: &["cpu", "512"],
        ending: Ending::Explains,
    },
    Scenario {
        workload: "nightly-import",
        kind: "Job",
        namespace: SUGGEST_NAMESPACE,
        title: "a Job over its backoff limit",
        manifest: include_str!("../workloads/failing-job.yaml"),
        classes: &[FailureClass::JobFailed],
        cause_mentions: &["row 1842"],
        ending: Ending::Explains,
    },
    Scenario {
        workload: "mailer",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "a new revision without a required env variable",
        manifest: include_str!("../workloads/missing-env.yaml"),
        classes: &[FailureClass::CrashLoopBackOff],
        cause_mentions: &["SMTP_HOST"],
        ending: Ending::SuggestsRollBack,
    },
    Scenario {
        workload: "frontend",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "nothing is wrong with it",
        manifest: include_str!("../workloads/healthy.yaml"),
        classes: &[],
        cause_mentions: &[],
        ending: Ending::Silence,
    },
    Scenario {
        workload: "catalog",
        kind: "Deployment",
        namespace: SUGGEST_NAMESPACE,
        title: "an ordinary slow rollout",
        manifest: include_str!("../workloads/slow-rollout.yaml"),
        classes: &[],
        cause_mentions: &[],
        ending: Ending::Silence,
    },
];

/// Secrets that are planted in the workloads and must be seen nowhere behind the trust boundary.
#[derive(Debug, Clone)]
pub struct Canaries {
    /// By the name that stands for each in the manifests.
    pub values: Vec<(&'static str, String)>,
}

impl Canaries {
    /// New ones, unlike any before.
    pub fn random() -> Self {
        let fresh = |prefix: &str| format!("{prefix}{}", hex::encode(rand::random::<[u8; 10]>()));
        Self {
            values: vec![
                ("CANARY_ENV", fresh("Pw9")),
                ("CANARY_URL", fresh("Ur7")),
                ("CANARY_TOKEN", fresh("Tk5")),
                ("CANARY_ARG", fresh("Ar3")),
            ],
        }
    }
}

/// What the manifests leave open.
#[derive(Debug, Clone)]
pub struct Variables {
    /// The test image.
    pub image: String,
    /// `Never` for an image that was imported, `IfNotPresent` for one that can be pulled.
    pub pull_policy: &'static str,
    /// The planted secrets.
    pub canaries: Canaries,
}

impl Variables {
    /// The revisions of a scenario, in order, as YAML.
    pub fn revisions(&self, scenario: &Scenario) -> Vec<String> {
        let mut text = scenario
            .manifest
            .replace("${IMAGE}", &self.image)
            .replace("${REPOSITORY}", repository(&self.image))
            .replace("${PULL_POLICY}", self.pull_policy);
        for (name, value) in &self.canaries.values {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text.split("\n---\n").map(str::to_owned).collect()
    }
}

/// An image's name without tag and digest; a registry may have a port.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_is_complete_and_names_its_workload() {
        let variables = Variables {
            image: "localhost/faultbox:1".to_owned(),
            pull_policy: "Never",
            canaries: Canaries::random(),
        };
        for scenario in SCENARIOS {
            for revision in variables.revisions(scenario) {
                assert!(
                    !revision.contains("${"),
                    "{}: {revision}",
                    scenario.workload
                );
                let object: serde_json::Value = serde_saphyr::from_str(&revision).unwrap();
                assert_eq!(object["kind"], scenario.kind);
                assert_eq!(object["metadata"]["name"], scenario.workload);
            }
        }
    }

    #[test]
    fn tags_and_digests_are_no_part_of_a_repository() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, expected) in [
            ("localhost/faultbox:1", "localhost/faultbox"),
            ("registry:5000/faultbox", "registry:5000/faultbox"),
            ("registry:5000/faultbox:1", "registry:5000/faultbox"),
            (&*format!("r.io/faultbox@{digest}"), "r.io/faultbox"),
            (&*format!("r.io/faultbox:1@{digest}"), "r.io/faultbox"),
        ] {
            assert_eq!(repository(image), expected, "{image}");
        }
    }

    #[test]
    fn the_demo_breaks_eight_workloads_and_leaves_two_alone() {
        let silent = SCENARIOS
            .iter()
            .filter(|scenario| scenario.ending == Ending::Silence)
            .count();
        assert_eq!((SCENARIOS.len() - silent, silent), (8, 2));
        assert_eq!(
            SCENARIOS
                .iter()
                .filter(|scenario| scenario.ending.is_mended())
                .count(),
            2
        );
    }
}
