//! Follows the streams while the workloads break, prints what happens, and ends when all is said.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use bonesetter::layout::{self, FIELD_INDENT, LINE_INDENT, fit};
use bonesetter::render;
use bonesetter::timeline::{Body, Follower, Step};
use comfy_table::TableComponent;
use tokio::time::Instant;

use crate::judge::{Record, judge, opened_at};
use crate::print;
use crate::scenario::{Ending, SCENARIOS, Scenario};

const INTERVAL: Duration = Duration::from_millis(250);
/// Columns of the summary.
const WORKLOAD: usize = 1;
const DETECTED_AS: usize = 3;
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();

/// What happened to every workload.
#[derive(Debug, Clone)]
pub struct Story {
    since: SystemTime,
    records: Vec<(&'static Scenario, Record)>,
}

impl Story {
    /// Nothing has happened yet. Incidents that were opened before `since` belong to an earlier
    /// run; that their workloads are gone now is told, and is no part of this story.
    pub fn new(since: SystemTime) -> Self {
        let records = SCENARIOS
            .iter()
            .map(|scenario| (scenario, Record::default()))
            .collect();
        Self { since, records }
    }

    /// Follows until every expectation holds, or the time is over.
    pub async fn follow(&mut self, follower: &mut Follower, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut ticks = tokio::time::interval(INTERVAL);
        let mut told = BTreeSet::new();
        while Instant::now() < deadline {
            ticks.tick().await;
            match follower.poll().await {
                Ok(news) => {
                    for step in news.steps {
                        self.add(step, &mut told);
                    }
                }
                Err(error) => print(&format!("cannot read the streams: {error}\n")),
            }
            if self.is_complete() {
                break;
            }
        }
    }

    fn add(&mut self, step: Step, told: &mut BTreeSet<String>) {
        if opened_at(&step).is_some_and(|at| at < self.since) {
            return;
        }
        let found = self
            .records
            .iter_mut()
            .find(|(scenario, record)| record.concerns(scenario, &step));
        let Some((_, record)) = found else { return };
        if let Body::Redacted(redacted) = &step.body {
            print(&fit(&render::enriched_line(&step, redacted), LINE_INDENT));
        }
        print(&fit(&render::line(&step), LINE_INDENT));
        if let Body::Diagnosed(diagnosed) = &step.body
            && told.insert(step.subject.incident.to_string())
        {
            print(&fit(&render::diagnosis(diagnosed), FIELD_INDENT));
        }
        record.steps.push(step);
    }

    /// Every workload with what is missing or wrong.
    pub fn verdicts(&self) -> Vec<(&'static Scenario, Vec<String>)> {
        self.records
            .iter()
            .map(|(scenario, record)| (*scenario, judge(scenario, record)))
            .collect()
    }

    /// The steps of one workload.
    pub fn record(&self, workload: &str) -> Option<&Record> {
        self.records
            .iter()
            .find(|(scenario, _)| scenario.workload == workload)
            .map(|(_, record)| record)
    }

    fn is_complete(&self) -> bool {
        self.verdicts()
            .iter()
            .all(|(_, problems)| problems.is_empty())
    }

    /// The summary, and whether all is well.
    pub fn summary(&self) -> (String, bool) {
        let header = [
            "",
            "WORKLOAD",
            "WHAT WAS DONE TO IT",
            "DETECTED AS",
            "OUTCOME",
        ];
        let mut table = layout::table(header, &[WORKLOAD, DETECTED_AS]);
        table
            .set_width(layout::width())
            .set_style(TableComponent::HeaderLines, '─');
        for (scenario, record) in &self.records {
            let problems = judge(scenario, record);
            let mark = if problems.is_empty() { "✓" } else { "✗" };
            let outcome = if problems.is_empty() {
                outcome(scenario, record)
            } else {
                problems.join("; ")
            };
            table.add_row([
                mark.to_owned(),
                format!("{}/{}", scenario.namespace, scenario.workload),
                scenario.title.to_owned(),
                detected_as(record),
                outcome,
            ]);
        }
        let good = self.is_complete();
        let (style, verdict) = if good {
            (GREEN, "everything happened as it should")
        } else {
            (
                RED,
                "not everything happened as it should; see the rows marked ✗",
            )
        };
        let table = coloured(&table.to_string());
        (
            format!("\n{table}\n\n{BOLD}{style}{verdict}{style:#}{BOLD:#}\n"),
            good,
        )
    }
}

/// The marks of a finished table in their colours, of which its layout must not know.
fn coloured(table: &str) -> String {
    table
        .replace('✓', &format!("{GREEN}✓{GREEN:#}"))
        .replace('✗', &format!("{RED}✗{RED:#}"))
}

fn detected_as(record: &Record) -> String {
    let classes = record.steps.iter().filter_map(|step| match &step.body {
        Body::Detected(detected) => Some(render::class(detected.failure_class())),
        _ => None,
    });
    let mut seen: Vec<&str> = Vec::new();
    for class in classes {
        if seen.last() != Some(&class) {
            seen.push(class);
        }
    }
    seen.join(" → ")
}

fn outcome(scenario: &Scenario, record: &Record) -> String {
    let suggestion = || {
        record
            .diagnosed()
            .and_then(|diagnosed| diagnosed.diagnosis.as_ref())
            .map(|diagnosis| match &diagnosis.remedy {
                Some(remedy) => format!("suggested: {}", render::remedy(remedy)),
                None => advice(&diagnosis.recommendation),
            })
            .unwrap_or_default()
    };
    match scenario.ending {
        Ending::Silence => "silent, as it should be".to_owned(),
        Ending::MendedByRollBack => "rolled back, verified, resolved".to_owned(),
        Ending::MendedBySetMemory => "memory limit raised, verified, resolved".to_owned(),
        Ending::SuggestsRollBack | Ending::Explains => suggestion(),
    }
}

/// What to do, without the reasons that follow it.
fn advice(recommendation: &str) -> String {
    let first = recommendation.split([';', ':']).next().unwrap_or_default();
    format!("to do: {}", render::clean(first.trim_end_matches('.'), 120))
}
