//! The last words of containers.

use super::{Case, Container};
use crate::case::{Cited, cite_text};
use bonesetter_proto::v1::{Citation, LogChunk, LogSource};

/// One log line that can be cited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) id: &'a str,
    pub(crate) text: &'a str,
}

impl Line<'_> {
    /// A citation of the line.
    pub(crate) fn cite(&self) -> Citation {
        cite_text(self.id, self.text)
    }
}

impl<'a> Case<'a> {
    /// What a container wrote before it died, oldest first. While a new instance runs that is the
    /// log of the previous one; otherwise both may hold it. Loki is asked only when the node has nothing.
    pub(crate) fn last_words(&self, container: &Container<'_>) -> Vec<Line<'a>> {
        let pod = container.object.reference;
        let of_container = |chunk: &Cited<'a, LogChunk>| {
            chunk.item.container == container.name
                && chunk
                    .item
                    .pod
                    .as_ref()
                    .is_some_and(|other| other.name == pod.name)
        };
        let mut chunks: Vec<_> = self
            .logs()
            .filter(|chunk| of_container(chunk) && chunk.item.source() != LogSource::Loki)
            .collect();
        chunks.sort_by_key(|chunk| !chunk.item.previous);
        let previous = lines(chunks.iter().filter(|chunk| chunk.item.previous));
        if container.is_running() && !previous.is_empty() {
            return previous;
        }
        let all = lines(chunks.iter());
        if !all.is_empty() {
            return all;
        }
        let stored: Vec<_> = self
            .logs()
            .filter(|chunk| of_container(chunk) && chunk.item.source() == LogSource::Loki)
            .collect();
        lines(stored.iter())
    }

    /// Everything that a container wrote, oldest first.
    pub(crate) fn all_words(&self, container: &Container<'_>) -> Vec<Line<'a>> {
        let pod = container.object.reference;
        let chunks: Vec<_> = self
            .logs()
            .filter(|chunk| {
                chunk.item.container == container.name
                    && chunk
                        .item
                        .pod
                        .as_ref()
                        .is_some_and(|other| other.name == pod.name)
            })
            .collect();
        lines(chunks.iter())
    }
}

fn lines<'a: 'b, 'b>(chunks: impl Iterator<Item = &'b Cited<'a, LogChunk>>) -> Vec<Line<'a>> {
    chunks
        .flat_map(|chunk| {
            chunk.item.lines.iter().map(|line| Line {
                id: chunk.id,
                text: line.text.as_str(),
            })
        })
        .filter(|line| !line.text.trim().is_empty())
        .collect()
}
