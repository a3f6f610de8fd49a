//! The log of a container as the kubelet sends it: one line each, a timestamp before it.

use bonesetter_proto::v1::{LogChunk, LogLine, LogSource};
use futures::{AsyncRead, AsyncReadExt as _};

use crate::json::timestamp;
use crate::lines::{Line, Tail, TailLimits, TailReader};
use crate::pods::LogPlan;

/// What the kubelet answers, with status 200, when it cannot read a log.
const KUBELET_REFUSAL: &str = "unable to retrieve container logs for ";

/// Reads to the end of a stream, or until `max` bytes; tells whether it was the end.
pub(crate) async fn read_tail(
    stream: impl AsyncRead,
    limits: TailLimits,
    max: usize,
) -> std::io::Result<(Tail, bool)> {
    let mut stream = std::pin::pin!(stream);
    let mut reader = TailReader::new(limits);
    let mut buffer = vec![0; 32 * 1024];
    let mut total = 0;
    while total < max {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok((reader.finish(), true));
        }
        reader.push(&buffer[..read]);
        total += read;
    }
    Ok((reader.finish(), false))
}

/// The log as evidence; `None` where the kubelet says that it no longer has it.
pub(crate) fn chunk(plan: &LogPlan, tail: Tail) -> Option<LogChunk> {
    if matches!(tail.lines.as_slice(), [line] if line.text.starts_with(KUBELET_REFUSAL)) {
        return None;
    }
    Some(LogChunk {
        pod: Some(plan.pod.clone()),
        container: plan.container.clone(),
        init_container: plan.init_container,
        previous: plan.previous,
        source: LogSource::Kubernetes.into(),
        lines: tail.lines.into_iter().map(log_line).collect(),
        lines_left_out: tail.left_out,
    })
}

/// A line whose beginning was not sent has no timestamp.
fn log_line(line: Line) -> LogLine {
    let (first, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
    match timestamp(first) {
        Some(at) => LogLine {
            at: Some(at),
            text: rest.to_owned(),
            cut: line.cut,
        },
        None => LogLine {
            at: None,
            text: line.text,
            cut: line.cut,
        },
    }
}

#[cfg(test)]
mod tests {
    use bonesetter_proto::v1::ObjectRef;
    use futures::executor::block_on;

    use super::*;

    const LIMITS: TailLimits = TailLimits {
        lines: 2,
        line_bytes: 1024,
    };

    fn plan() -> LogPlan {
        LogPlan {
            pod: ObjectRef {
                name: "p".to_owned(),
                ..ObjectRef::default()
            },
            container: "app".to_owned(),
            init_container: false,
            previous: true,
        }
    }

    fn read(log: &str) -> Option<LogChunk> {
        let (tail, ended) = block_on(read_tail(log.as_bytes(), LIMITS, 1 << 20)).unwrap();
        assert!(ended);
        chunk(&plan(), tail)
    }

    #[test]
    fn timestamps_are_told_from_text() {
        let chunk = read(
            "2026-11-25T13:00:00.000000001Z old\n2026-11-25T13:00:01.5Z listening on :80\nhalf a line",
        )
        .unwrap();
        assert_eq!(chunk.lines_left_out, 1);
        assert_eq!(chunk.lines[0].text, "listening on :80");
        assert_eq!(chunk.lines[0].at.unwrap().nanos, 500_000_000);
        assert_eq!(
            (chunk.lines[1].text.as_str(), chunk.lines[1].at),
            ("half a line", None)
        );
    }

    #[test]
    fn an_empty_line_is_a_line() {
        let chunk = read("2026-11-25T13:00:01Z \n2026-11-25T13:00:02Z\n").unwrap();
        assert!(
            chunk
                .lines
                .iter()
                .all(|line| line.text.is_empty() && line.at.is_some())
        );
    }

    #[test]
    fn a_refusal_of_the_kubelet_is_not_a_log() {
        assert_eq!(
            read("unable to retrieve container logs for containerd://0a1b"),
            None
        );
        assert_eq!(read("").unwrap().lines, []);
    }

    #[test]
    fn reading_stops_at_its_limit_and_says_so() {
        let log = "x".repeat(100_000);
        let (tail, ended) = block_on(read_tail(log.as_bytes(), LIMITS, 50_000)).unwrap();
        assert!(!ended && tail.lines[0].cut);
    }
}
