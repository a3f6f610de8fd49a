//! The values that labels can have: those with which series begin when a process starts.

use std::collections::{BTreeMap, BTreeSet};

use bonesetter_chassis::metrics::Metrics;
use bonesetter_chassis::topology::consumers;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, parse};

use crate::workloads::WORKLOADS;

/// By series and label; of a label that every process has, under no series.
pub(crate) struct Values(BTreeMap<(String, String), BTreeSet<String>>);

impl Values {
    /// Those of every service.
    pub(crate) fn of_the_code() -> Self {
        let mut values = Self(BTreeMap::new());
        let text = begun().encode().unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            // No value of ours holds a comma or an equals sign.
            for label in rest.split('}').next().unwrap_or_default().split(',') {
                let (label, value) = label.split_once('=').unwrap();
                values.add(name, label, value.trim_matches('"'));
            }
        }
        for consumer in consumers() {
            values.add("", "consumer", consumer.name);
        }
        for service in WORKLOADS {
            values.add("", "service", service);
        }
        values
    }

    fn add(&mut self, series: &str, label: &str, value: &str) {
        let key = (series.to_owned(), label.to_owned());
        self.0.entry(key).or_default().insert(value.to_owned());
    }

    /// What a matcher asks for that never is there. The empty value is that of a label that is missing.
    pub(crate) fn problems(&self, series: &str, matcher: &Matcher) -> Vec<String> {
        let of = |series: &str| self.0.get(&(series.to_owned(), matcher.name.clone()));
        let Some(known) = of(series).or_else(|| of("")) else {
            return Vec::new();
        };
        let asked: Vec<_> = match &matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![exactly(&matcher.value)],
            // A group would hide a bar; no pattern has one.
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').map(pattern).collect(),
        };
        let is_missing = |one: &&Matcher| !known.iter().any(|value| one.is_match(value));
        let missing = asked.iter().filter(is_missing);
        let missing = missing.filter(|one| !one.value.is_empty());
        missing
            .map(|one| format!("{} of {series} is never {:?}", matcher.name, one.value))
            .collect()
    }
}

/// The metrics of all services, as they are when processes start.
fn begun() -> Metrics {
    let metrics = Metrics::default();
    svc_watcher::WatcherMetrics::new(&metrics);
    svc_enricher::EnricherMetrics::new(&metrics);
    // Nothing asks for a kind of placeholder, of which rules bring more.
    svc_redactor::RedactorMetrics::new(&metrics, []);
    svc_llm::LlmMetrics::new(&metrics, &[svc_llm::RULES, svc_llm::OPENAI]);
    svc_actuator::metrics::Metrics::new(&metrics);
    svc_notifier::NotifierMetrics::new(&metrics, ["slack", "webhook"]);
    svc_audit::IngestMetrics::new(&metrics);
    svc_audit::ExportMetrics::new(&metrics);
    svc_audit::SweepMetrics::new(&metrics);
    svc_audit::KeepMetrics::new(&metrics);
    svc_audit::ServeMetrics::new(&metrics);
    metrics
}

fn exactly(value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, "label", value)
}

/// One alternative of a regular expression, as Prometheus reads it.
fn pattern(text: &str) -> Matcher {
    let Ok(Expr::VectorSelector(selector)) = parse(&format!("series{{label=~{text:?}}}")) else {
        panic!("{text} is no regular expression");
    };
    selector.matchers.matchers[0].clone()
}
