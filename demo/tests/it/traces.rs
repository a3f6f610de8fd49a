use std::collections::{BTreeMap, BTreeSet};

use bonesetter_chassis::bus::{StreamReader, header};
use bonesetter_demo::scenario::{Ending, SCENARIOS};

use crate::Outcome;

/// From the first observation to the archive, whoever wrote it: one incident is one trace, of which
/// the collector got spans of every service.
pub(crate) async fn every_incident_is_one_trace(outcome: &Outcome) {
    let bus = outcome
        .environment
        .connect("operator")
        .await
        .expect("connected");
    let broken = SCENARIOS
        .iter()
        .filter(|scenario| scenario.ending != Ending::Silence);
    for scenario in broken {
        let name = scenario.workload;
        let record = outcome.story.record(name).expect("a record");
        let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for step in &record.steps {
            let stored = StreamReader::new(bus.clone(), step.stream)
                .at(step.sequence)
                .await
                .expect("readable")
                .expect("stored");
            let context = stored.header(header::TRACEPARENT).unwrap_or_default();
            let trace = context.split('-').nth(1).unwrap_or_default();
            let subject = step.subject.to_string();
            traces.entry(trace.to_owned()).or_default().insert(subject);
        }
        let trace = traces.keys().next().expect("steps").clone();
        assert!(
            traces.len() == 1 && trace.len() == 32,
            "{name}: {traces:#?}"
        );
        for service in [
            "watcher", "enricher", "redactor", "llm", "actuator", "notifier", "audit",
        ] {
            let service = format!("svc-{service}");
            assert!(
                has_span(outcome, &service, &trace),
                "{name}: no span of {service} in trace {trace}"
            );
        }
    }
}

/// Whether one export of a service holds the id of a trace. In protobuf both are plain bytes.
fn has_span(outcome: &Outcome, service: &str, trace: &str) -> bool {
    let id = hex::decode(trace).expect("hex digits");
    let contains = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|it| it == part);
    outcome
        .receiver
        .received("/v1/traces")
        .iter()
        .any(|export| contains(&export.body, service.as_bytes()) && contains(&export.body, &id))
}
