//! What the actuator counts besides what the runner counts.

use bonesetter_chassis::metrics::Metrics as Registry;
use bonesetter_proto::v1::{Acted, Step};
use bonesetter_proto::values;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::record::step_name;
use crate::violation::Name;

/// Label of one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
    /// The first violation; empty where there is none.
    violation: String,
}

/// Counters of this service.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    steps: Family<StepLabel, Counter>,
}

impl Metrics {
    /// Registers the counters of a process; what is known beforehand begins at zero.
    pub fn new(registry: &Registry) -> Self {
        let this = Self::default();
        this.begin();
        registry.register(|registry| {
            registry.register(
                "actuator_steps",
                "Steps published, with the first violation that stood against a change",
                this.steps.clone(),
            );
        });
        this
    }

    /// Begins the series of every step, and of every violation at the steps that can name one.
    fn begin(&self) {
        let steps = values::<Step>().map(|step| (step, String::new()));
        let violations = Name::ALL.iter().flat_map(|name| {
            [Step::Proposed, Step::Refused].map(|step| (step, name.as_str().to_owned()))
        });
        for (step, violation) in steps.chain(violations) {
            let step = step_name(step);
            drop(self.steps.get_or_create(&StepLabel { step, violation }));
        }
    }

    /// Counts one step.
    pub fn count(&self, message: &Acted) {
        let violations = message
            .decision
            .iter()
            .flat_map(|decision| &decision.violations);
        let violation = violations
            .map(|it| it.name.clone())
            .next()
            .unwrap_or_default();
        let label = StepLabel {
            step: step_name(message.step()),
            violation,
        };
        self.steps.get_or_create(&label).inc();
    }
}
