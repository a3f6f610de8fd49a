//! What a rule answers, and how well it fits.

use std::borrow::Cow;

use bonesetter_proto::v1::{Citation, Remedy};

use super::words::follow;
use crate::case::{Case, Container};
use crate::remedy::{Blame, blame, roll_back};

/// How well a cause fits: what speaks for it adds up as independent hints do (1 - Π(1 - w)), what
/// speaks against it takes its share away. Never certain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit {
    doubt: f64,
    kept: f64,
}

impl Fit {
    const MOST: f64 = 0.97;

    pub(crate) fn confidence(self) -> f64 {
        ((1.0 - self.doubt) * self.kept).clamp(0.0, Self::MOST)
    }
}

/// What a cause is about. A platform's cause explains what applications say while they die of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Seen in what Kubernetes says: state, events, capacities.
    Platform,
    /// Seen in what the application says.
    Application,
    /// Only how it ended; any cause explains it.
    Symptom,
}

/// One candidate for the diagnosis.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// Stable name.
    pub(crate) cause: Cow<'static, str>,
    pub(crate) group: Group,
    /// One sentence.
    pub(crate) summary: String,
    pub(crate) root_cause: String,
    pub(crate) recommendation: String,
    pub(crate) citations: Vec<Citation>,
    pub(crate) remedy: Option<Remedy>,
    fit: Fit,
}

impl Finding {
    pub(crate) fn new(cause: impl Into<Cow<'static, str>>, group: Group, summary: String) -> Self {
        Self {
            cause: cause.into(),
            group,
            summary,
            root_cause: String::new(),
            recommendation: String::new(),
            citations: Vec::new(),
            remedy: None,
            fit: Fit {
                doubt: 1.0,
                kept: 1.0,
            },
        }
    }

    pub(crate) fn because(mut self, root_cause: impl Into<String>) -> Self {
        self.root_cause = root_cause.into();
        self
    }

    pub(crate) fn advise(mut self, recommendation: impl Into<String>) -> Self {
        self.recommendation = recommendation.into();
        self
    }

    /// Something speaks for the cause, with a weight between 0 and 1.
    pub(crate) fn fits(mut self, weight: f64) -> Self {
        self.fit.doubt *= 1.0 - weight;
        self
    }

    /// Something speaks for the cause if it is so.
    pub(crate) fn fits_if(self, weight: f64, is_so: bool) -> Self {
        if is_so { self.fits(weight) } else { self }
    }

    /// Something speaks against the cause if it is so.
    pub(crate) fn against_if(mut self, weight: f64, is_so: bool) -> Self {
        if is_so {
            self.fit.kept *= 1.0 - weight;
        }
        self
    }

    /// Never surer than this.
    pub(crate) fn at_most(mut self, confidence: f64) -> Self {
        let now = self.confidence();
        if now > confidence {
            self.fit.kept *= confidence / now;
        }
        self
    }

    /// Cites, if there is something to cite; the same place only once.
    pub(crate) fn cite(mut self, citation: impl Into<Option<Citation>>) -> Self {
        if let Some(citation) = citation.into()
            && !self.citations.contains(&citation)
        {
            self.citations.push(citation);
        }
        self
    }

    pub(crate) fn remedy(mut self, remedy: Option<Remedy>) -> Self {
        self.remedy = remedy;
        self
    }

    /// Blames the last rollout if it touched one of these fields of the container, and proposes to
    /// roll back where that is safe.
    pub(crate) fn blaming(
        self,
        case: &Case<'_>,
        container: &Container<'_>,
        fields: &[&str],
    ) -> Self {
        match blame(case, container, fields) {
            Some(found) => self.blamed_on(case, container, &found),
            None => self,
        }
    }

    /// Blames a change of the last rollout, and proposes to roll back where that is safe.
    pub(crate) fn blamed_on(
        mut self,
        case: &Case<'_>,
        container: &Container<'_>,
        found: &Blame<'_>,
    ) -> Self {
        let Blame { path, from, to, .. } = found;
        let health = if found.was_healthy {
            format!(" Revision {from} was healthy.")
        } else {
            String::new()
        };
        let sentence =
            format!("The last rollout (revision {from} to {to}) changed {path}.{health}");
        self.root_cause = follow(&self.root_cause, &sentence);
        self.remedy = roll_back(case, container, found);
        if self.remedy.is_some() {
            self.recommendation = format!(
                "Roll back to revision {from}. Before the next rollout: {}",
                self.recommendation
            );
        }
        self.cite(found.cite()).fits(0.5)
    }

    /// Between 0 and 1.
    pub(crate) fn confidence(&self) -> f64 {
        self.fit.confidence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_add_up_and_objections_take_away() {
        let finding = || Finding::new("c", Group::Platform, String::new());
        let near = |finding: Finding, expected: f64| {
            assert!(
                (finding.confidence() - expected).abs() < 1e-9,
                "{}",
                finding.confidence()
            );
        };
        near(finding(), 0.0);
        near(finding().fits(0.5).fits(0.5), 0.75);
        near(
            finding()
                .fits(0.5)
                .fits_if(0.5, false)
                .against_if(0.5, true),
            0.25,
        );
        near(finding().fits(1.0), 0.97);
    }
}
