use std::collections::{BTreeMap, BTreeSet};

use crate::Outcome;

/// Series and labels of a text in the `OpenMetrics` format.
fn series(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap_or_default();
        let labels = labels.split('}').next().unwrap_or_default();
        // No value of ours holds a comma or an equals sign.
        let labels = labels.split(',').filter_map(|it| it.split_once('='));
        found
            .entry(name)
            .or_default()
            .extend(labels.map(|(label, _)| label));
    }
    found
}

/// Name, kind and labels.
type Row<'a> = (&'a str, &'a str, BTreeSet<&'a str>);

/// The documented metrics by heading.
fn documented(text: &str) -> BTreeMap<&str, Vec<Row<'_>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = "";
    for line in text.lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        if !line.starts_with("| `") {
            continue;
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let row = (cells[0].trim_matches('`'), cells[1], labels.collect());
        found.entry(heading).or_default().push(row);
    }
    found
}

/// Every series of every running service is in `docs/metrics.md` under that service, with those
/// labels; and what a service always exports is there. The dashboard and the alerts are held to the
/// same document.
pub(crate) fn running_services_export_what_is_documented(outcome: &Outcome) {
    let documented = documented(include_str!("../../../docs/metrics.md"));
    for (service, text) in &outcome.metrics {
        // A program in another mode is named after both.
        let own = documented
            .iter()
            .filter(|(heading, _)| service.starts_with(**heading))
            .flat_map(|(_, rows)| rows);
        let rows = documented["Every service"].iter().chain(own);
        let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (name, kind, labels) in rows {
            if *kind == "histogram" {
                for part in ["_sum", "_count", "_bucket"] {
                    known.insert(format!("{name}{part}"), labels.clone());
                }
                known
                    .entry(format!("{name}_bucket"))
                    .or_default()
                    .insert("le");
            } else {
                known.insert((*name).to_owned(), labels.clone());
            }
        }
        let exported = series(text);
        for (name, labels) in &exported {
            // Every series names the cluster.
            let expected = known.get(*name).map(|labels| {
                let labels = labels.iter().copied();
                labels.chain(["cluster"]).collect::<BTreeSet<_>>()
            });
            assert_eq!(expected.as_ref(), Some(labels), "{service}: {name}");
        }
        let ready = format!("service=\"{service}\"}} 1");
        let is_ready = |line: &str| line.starts_with("bonesetter_ready{") && line.ends_with(&ready);
        assert!(
            text.lines().any(is_ready),
            "{service} says nothing of {ready}"
        );
        let has_no_consumer = [
            "svc-watcher",
            "svc-audit-export",
            "svc-audit-sweep",
            "svc-audit-serve",
        ];
        if !has_no_consumer.contains(&service.as_str()) {
            for name in [
                "bonesetter_messages_received_total",
                "bonesetter_messages_pending",
                "bonesetter_consumer_lag",
                "bonesetter_handle_seconds_bucket",
                "bonesetter_message_age_seconds_bucket",
            ] {
                assert!(exported.contains_key(name), "{service} lacks {name}");
            }
        }
    }
}
