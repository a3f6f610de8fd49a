//! Dashboard and alert rules ask for metrics and labels that exist. What exists is in
//! `docs/metrics.md`, which is held to the code beside this and to running services by the tests of
//! `chassis` and `demo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bonesetter_chassis::topology::CONSUMERS;
use promql_parser::parser::{Expr, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use crate::label_values::Values;
use crate::workloads::{WORKLOADS, root};

/// What keeps installations apart.
const CLUSTER: &str = "cluster";
/// The variable of the dashboard that says which one is shown.
const SHOWN_CLUSTER: &str = "$cluster";

/// Every series that is exported, with its labels.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut found = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (name, kind) = (cells[0].trim_matches('`'), cells[1]);
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let mut labels: BTreeSet<_> = labels.map(str::to_owned).collect();
        // The page says so of all.
        labels.insert(CLUSTER.to_owned());
        if kind == "histogram" {
            let mut buckets = labels.clone();
            buckets.insert("le".to_owned());
            found.insert(format!("{name}_bucket"), buckets);
            found.insert(format!("{name}_sum"), labels.clone());
            found.insert(format!("{name}_count"), labels);
        } else {
            found.insert(name.to_owned(), labels);
        }
    }
    assert!(found.len() > 20, "the document lists next to nothing");
    found
}

/// What an expression selects, and the labels that it groups by.
#[derive(Default)]
struct Asked {
    selectors: Vec<VectorSelector>,
    grouped_by: BTreeSet<String>,
    /// Whether something is grouped or matched without the cluster.
    mixes_clusters: bool,
}

impl ExprVisitor for Asked {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        let modifier = match expr {
            Expr::VectorSelector(selector) => {
                self.selectors.push(selector.clone());
                None
            }
            Expr::MatrixSelector(selector) => {
                self.selectors.push(selector.vs.clone());
                None
            }
            Expr::Aggregate(aggregate) => aggregate.modifier.as_ref(),
            Expr::Binary(binary) => binary.modifier.as_ref().and_then(|it| it.matching.as_ref()),
            _ => None,
        };
        let labels = modifier.map(|modifier| modifier.labels().labels.clone());
        let keeps_cluster = |labels: &Vec<String>| labels.iter().any(|label| label == CLUSTER);
        self.mixes_clusters |= match (expr, &labels) {
            (Expr::Aggregate(_), None) => true,
            (_, labels) => !labels.as_ref().is_none_or(keeps_cluster),
        };
        self.grouped_by.extend(labels.into_iter().flatten());
        Ok(true)
    }
}

fn asked(expression: &str) -> Result<Asked, String> {
    // A variable of Grafana.
    let expr = parse(&expression.replace("$__rate_interval", "5m"))?;
    let mut asked = Asked::default();
    let Ok(_) = walk_expr(&mut asked, &expr);
    Ok(asked)
}

/// What is wrong with an expression and the labels that its texts use.
fn problems(
    expression: &str,
    shown: &BTreeSet<String>,
    exported: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let asked = match asked(expression) {
        Ok(asked) => asked,
        Err(error) => return vec![error],
    };
    let mut problems = Vec::new();
    let mut known = BTreeSet::new();
    let values = Values::of_the_code();
    for selector in &asked.selectors {
        let name = selector.name.clone().unwrap_or_default();
        let Some(labels) = exported.get(&name) else {
            problems.push(format!("{name:?} is not exported"));
            continue;
        };
        known.extend(labels.clone());
        for matcher in &selector.matchers.matchers {
            if !labels.contains(&matcher.name) {
                problems.push(format!("{name} has no label {}", matcher.name));
            }
            problems.extend(values.problems(&name, matcher));
        }
    }
    for label in asked.grouped_by.iter().chain(shown) {
        if !known.contains(label) {
            problems.push(format!("nothing that is selected has a label {label}"));
        }
    }
    let is_aggregated = expression.contains(" by (");
    for label in shown.difference(&asked.grouped_by) {
        if is_aggregated {
            problems.push(format!("{label} is shown and not grouped by"));
        }
    }
    problems
}

/// The labels between `{{` and `}}`.
fn shown(text: &str) -> BTreeSet<String> {
    let names = text
        .split("{{")
        .skip(1)
        .filter_map(|part| part.split("}}").next());
    let names = names.map(|name| name.trim().trim_start_matches("$labels."));
    names.map(str::to_owned).collect()
}

/// Every alert rule.
fn rules() -> Vec<Value> {
    let text = fs::read_to_string(root().join("deploy/prometheus/rules.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(root().join("deploy/grafana/bonesetter.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Title, expression and legend of everything that a dashboard asks for.
fn targets(dashboard: &Value) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((
                panel["title"].as_str().unwrap(),
                target["expr"].as_str().unwrap(),
                target["legendFormat"].as_str().unwrap(),
            ));
        }
    }
    found
}

#[test]
fn the_dashboard_shows_every_metric_and_none_that_is_not_there() {
    let exported = exported();
    let dashboard = dashboard();
    let mut seen = BTreeSet::new();
    for (title, expression, legend) in targets(&dashboard) {
        let problems = problems(expression, &shown(legend), &exported);
        assert!(problems.is_empty(), "{title}: {expression}: {problems:?}");
        for selector in asked(expression).unwrap().selectors {
            let clusters = selector.matchers.find_matchers(CLUSTER);
            let shown: Vec<_> = clusters.iter().map(|it| it.value.as_str()).collect();
            assert_eq!(shown, [SHOWN_CLUSTER], "{title}: {expression}");
            seen.extend(selector.name);
        }
    }
    let of_histograms = |name: &&String| !name.ends_with("_sum") && !name.ends_with("_count");
    for name in exported.keys().filter(of_histograms) {
        assert!(seen.contains(name), "the dashboard does not show {name}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "panels share an id");
}

#[test]
fn alerts_ask_for_what_is_exported_and_say_what_to_do() {
    let exported = exported();
    let rules = rules();
    let mut names = BTreeSet::new();
    let mut labelled = BTreeSet::new();
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        names.insert(name);
        let labels = rule["labels"].to_string();
        assert!(labelled.insert((name, labels)), "{name} is there twice");
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        assert!(rule["annotations"]["description"].as_str().unwrap().len() > 20);
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}"
        );
        let expression = rule["expr"].as_str().unwrap();
        let problems = problems(expression, &shown(summary), &exported);
        assert!(problems.is_empty(), "{name}: {problems:?}");
        let asked = asked(expression).unwrap();
        assert!(!asked.mixes_clusters, "{name} takes clusters for one");
    }
    assert!(names.contains("BonesetterDeadLetters"));
    let text = fs::read_to_string(root().join("deploy/prometheus/rules_test.yaml")).unwrap();
    let evaluated: Value = serde_saphyr::from_str(&text).unwrap();
    let tests = evaluated["tests"].as_array().unwrap().iter();
    let tried: BTreeSet<_> = tests
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .filter(|alert| !alert["exp_alerts"].as_array().unwrap().is_empty())
        .map(|alert| alert["alertname"].as_str().unwrap())
        // Looked at by an expression, as there are as many as processes.
        .chain([ABSENT])
        .collect();
    assert_eq!(tried, names, "`make check-alerts` evaluates every alert");
}

/// The alert that a process is gone.
const ABSENT: &str = "BonesetterAbsent";

#[test]
fn every_process_is_missed_when_it_is_gone() {
    let mut missed = BTreeSet::new();
    let rules = rules();
    for rule in rules.iter().filter(|rule| rule["alert"] == ABSENT) {
        let service = rule["labels"]["service"].as_str().unwrap();
        let expected = format!(
            "group by (cluster) (max_over_time(bonesetter_ready[1d])) \
             unless on (cluster) bonesetter_ready{{service=\"{service}\"}}"
        );
        assert_eq!(rule["expr"], expected);
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        assert!(summary.starts_with(&format!("{service} ")), "{summary}");
        missed.insert(service);
    }
    assert_eq!(missed, WORKLOADS.into());
    // So is every consumer, by the process that it belongs to; whose name is what the program says.
    for consumer in CONSUMERS {
        assert!(missed.contains(consumer.user), "{}", consumer.name);
    }
    let modes = svc_audit::ABOUT
        .modes
        .iter()
        .chain(svc_notifier::ABOUT.modes);
    for name in modes.filter_map(|mode| mode.user) {
        assert!(missed.contains(name), "{name}");
    }
}

#[test]
fn what_takes_clusters_for_one_is_found() {
    for (expression, mixes) in [
        ("max(bonesetter_watcher_shards)", true),
        ("max by (consumer) (bonesetter_consumer_lag)", true),
        ("a unless on (consumer) b", true),
        (
            "max by (cluster, consumer) (bonesetter_consumer_lag)",
            false,
        ),
        ("a unless on (cluster, consumer) b", false),
        ("bonesetter_watcher_shards", false),
    ] {
        assert_eq!(
            asked(expression).unwrap().mixes_clusters,
            mixes,
            "{expression}"
        );
    }
}

#[test]
fn what_is_not_exported_is_found() {
    let exported = exported();
    let none = BTreeSet::new();
    for wrong in [
        "sum(rate(bonesetter_messages_received[5m]))",
        "bonesetter_messages_pending{stage=\"llm\"}",
        "bonesetter_messages_pending{consumer=\"lmm\"}",
        "bonesetter_messages_pending{consumer!~\"llm|notifyer-.+\"}",
        "bonesetter_actuator_steps_total{step=\"rolled_back\"}",
        "bonesetter_notifier_attempts_total{outcome=~\"refused|failed\"}",
        "bonesetter_ready{service=\"svc-exporter\"}",
        "sum by (service) (bonesetter_messages_pending)",
        "sum by (consumer) (bonesetter_handle_seconds)",
        "rate(bonesetter_messages_dead_total)",
    ] {
        assert!(!problems(wrong, &none, &exported).is_empty(), "{wrong}");
    }
    let right = "sum by (consumer) (rate(bonesetter_messages_dead_total{reason!=\"forged\"}[5m]))";
    assert!(problems(right, &shown("{{consumer}}"), &exported).is_empty());
    assert!(!problems(right, &shown("{{ $labels.reason }}"), &exported).is_empty());
}
