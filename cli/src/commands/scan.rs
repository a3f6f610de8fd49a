use std::borrow::Borrow;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::Style;
use anyhow::Context as _;
use bonesetter_chassis::clock::Clock;
use bonesetter_keys::DigestKey;
use bonesetter_proto::v1::{Detected, Diagnosed, Diagnosis, Evidence, Remedy};
use bonesetter_redact::{Redacted, Redactor, Rules};
use clap::Args;
use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use svc_enricher::Collector;
use svc_enricher::config::EvidenceSettings;

use svc_watcher::{Config as WatcherConfig, Namespaces, scan};

use super::Format;
use crate::{layout, pipe, render};

/// Failures that are looked into at the same time.
const CONCURRENCY: usize = 8;
const BOLD: Style = Style::new().bold();
/// Some were found; told apart from an error.
const EXIT_FOUND: u8 = 2;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kubeconfig file; without it $KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// Only these namespaces (repeat, or separate by commas).
    #[arg(long, short, value_delimiter = ',')]
    namespace: Vec<String>,
    /// Not these namespaces; exclusion wins.
    #[arg(long, value_delimiter = ',')]
    exclude_namespace: Vec<String>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

struct Found {
    detected: Detected,
    diagnosed: Diagnosed,
    evidence: Value,
}

impl Found {
    fn remedy(&self) -> Option<&Remedy> {
        self.diagnosed.diagnosis.as_ref()?.remedy.as_ref()
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (client, cluster) = connect(&arguments).await?;
    let namespaces = Namespaces {
        watch: arguments.namespace.clone(),
        exclude: arguments.exclude_namespace.clone(),
    };
    let now = Clock::system().now();
    let found = scan(
        &client,
        &cluster,
        &namespaces,
        &WatcherConfig::default().thresholds(),
        jiff::Timestamp::try_from(now)?,
    )
    .await?;
    for kind in &found.not_watched {
        pipe::say_error(&format!(
            "bonesetter: not allowed to list {kind}; the rest was looked at"
        ));
    }
    if found.objects == 0 {
        pipe::say_error("bonesetter: found nothing to look at; check namespaces and rights");
    }
    let explainer = Explainer::new(client)?;
    let explained: Vec<Found> = futures::stream::iter(found.findings)
        .map(|detected| explainer.explain(detected))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    match arguments.output {
        Format::Json => {
            let list: Vec<Value> = explained.iter().map(as_json).collect();
            pipe::print(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
        }
        Format::Table if explained.is_empty() => {
            pipe::print(&format!("{} objects, no failures\n", found.objects))?;
        }
        Format::Table => {
            pipe::print(&text(&explained))?;
        }
    }
    Ok(if explained.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FOUND)
    })
}

async fn connect(arguments: &Arguments) -> anyhow::Result<(Client, String)> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &arguments.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?
        }
        None if arguments.context.is_some() => Config::from_kubeconfig(&options)
            .await
            .context("cannot use the kubeconfig of $KUBECONFIG or ~/.kube/config")?,
        None => Config::infer()
            .await
            .context("found no kubeconfig; give one with --kubeconfig, or set KUBECONFIG")?,
    };
    let cluster = config.cluster_url.host().unwrap_or("cluster").to_owned();
    let client = Client::try_from(config)?;
    client
        .apiserver_version()
        .await
        .context("cannot reach the cluster of the kubeconfig")?;
    Ok((client, cluster))
}

/// Collects, redacts and diagnoses: the stages of the pipeline, in one process.
struct Explainer {
    collector: Collector,
    redactor: Redactor,
    key: [u8; 32],
}

impl Explainer {
    fn new(client: Client) -> anyhow::Result<Self> {
        let key: [u8; 32] = rand::random();
        let digest = DigestKey::from_bytes(&key);
        Ok(Self {
            collector: Collector::new(client, None, EvidenceSettings::default(), digest),
            redactor: Redactor::new(Rules::builtin()?)?,
            key,
        })
    }

    /// One that cannot be explained is listed with the reason, and the others are not held up.
    async fn explain(&self, detected: Detected) -> Found {
        let (diagnosed, evidence) = self.try_explain(&detected).await.unwrap_or_else(|error| {
            let diagnosis = Diagnosis {
                summary: format!("cannot be explained: {error:#}"),
                ..Diagnosis::default()
            };
            (
                Diagnosed {
                    diagnosis: Some(diagnosis),
                    ..Diagnosed::default()
                },
                Value::Null,
            )
        });
        let diagnosed = Diagnosed {
            incident: detected.incident.clone(),
            ..diagnosed
        };
        Found {
            detected,
            diagnosed,
            evidence,
        }
    }

    async fn try_explain(&self, detected: &Detected) -> anyhow::Result<(Diagnosed, Value)> {
        let evidence = self
            .collector
            .collect(detected, Clock::system().now())
            .await
            .context("cannot collect its evidence")?;
        let mut session = self.redactor.session(&self.key);
        let evidence = svc_redactor::redact_evidence(evidence, &mut session)
            .context("cannot redact its evidence")?;
        let diagnosed = svc_llm::explain_offline(&evidence, detected.failure_class());
        Ok((diagnosed, evidence_as_json(&evidence, detected)))
    }
}

fn evidence_as_json<T: Borrow<Evidence>>(evidence: &Redacted<T>, detected: &Detected) -> Value {
    let message = bonesetter_proto::v1::Redacted {
        incident: detected.incident.clone(),
        failure_class: detected.failure_class,
        symptoms: detected.symptoms.clone(),
        evidence: Some(evidence.get().borrow().clone()),
        ..Default::default()
    };
    crate::json::evidence(&message)
}

fn text(explained: &[Found]) -> String {
    let mut table = layout::table(["WORKLOAD", "CLASS", "CAUSE", "REMEDY"], &[0, 1]);
    for found in explained {
        table.add_row([
            render::workload(found.detected.incident.as_ref()),
            render::class(found.detected.failure_class()).to_owned(),
            render::summary(&found.diagnosed),
            found
                .remedy()
                .map_or_else(|| "-".to_owned(), render::remedy),
        ]);
    }
    let mut text = format!("{table}\n");
    for found in explained {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n{BOLD}{}{BOLD:#} {}\n{}",
            render::workload(found.detected.incident.as_ref()),
            render::class(found.detected.failure_class()),
            layout::fit(&render::diagnosis(&found.diagnosed), layout::FIELD_INDENT)
        );
    }
    text
}

fn as_json(found: &Found) -> Value {
    let owner = found
        .detected
        .incident
        .as_ref()
        .and_then(|incident| incident.root_owner.as_ref());
    json!({
        "namespace": owner.map(|owner| &owner.namespace),
        "kind": owner.map(|owner| &owner.kind),
        "name": owner.map(|owner| &owner.name),
        "class": render::class(found.detected.failure_class()),
        "failing_objects": found.detected.failing_objects,
        "diagnosis": found.diagnosed.diagnosis.as_ref().map(crate::json::diagnosis),
        "evidence": found.evidence,
    })
}
