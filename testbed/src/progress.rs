//! What is being done, how far, and for how long.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It goes on; more of it is told about the same subject.
    Running,
    /// It is finished.
    Done,
    /// It failed; the text says why.
    Failed,
    /// All is ready (or all is stopped): nothing more follows.
    End,
}

/// One line of progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is worked at: `kubernetes`, `nats` ...
    pub subject: String,
    /// What is done with it now.
    pub text: String,
    /// How many of how many, where that can be told.
    pub count: Option<(usize, usize)>,
    /// Milliseconds since the task began.
    pub elapsed_ms: u64,
    /// How the task stands.
    pub standing: Standing,
}

/// Takes progress as it comes.
pub type Sink<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Tells of one task: keeps its subject and the time it began.
pub struct Task<'a> {
    subject: String,
    began: Instant,
    sink: Sink<'a>,
}

impl std::fmt::Debug for Task<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Task")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl<'a> Task<'a> {
    /// Begins a task.
    pub fn begin(subject: impl Into<String>, sink: Sink<'a>) -> Self {
        Self {
            subject: subject.into(),
            began: Instant::now(),
            sink,
        }
    }

    /// Time since the task began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells what is being done.
    pub fn say(&self, text: impl Into<String>, count: Option<(usize, usize)>) {
        self.tell(text.into(), count, Standing::Running);
    }

    /// Tells that the task is finished.
    pub fn done(&self, text: impl Into<String>) {
        self.tell(text.into(), None, Standing::Done);
    }

    /// Tells that the task failed.
    pub fn failed(&self, text: impl Into<String>) {
        self.tell(text.into(), None, Standing::Failed);
    }

    /// Tells that nothing more follows.
    pub fn end(&self, text: impl Into<String>) {
        self.tell(text.into(), None, Standing::End);
    }

    fn tell(&self, text: String, count: Option<(usize, usize)>, standing: Standing) {
        let elapsed_ms = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.sink)(Progress {
            subject: self.subject.clone(),
            text,
            count,
            elapsed_ms,
            standing,
        });
    }
}
