//! The log format of the container runtime interface: `TIME STREAM TAG TEXT`, where the tag `P`
//! marks a piece of a line that goes on in the next entry and `F` the last piece.
//! Source: Kubernetes, design proposal "CRI: log management for container stdout/stderr streams".

use std::collections::BTreeMap;
use std::path::Path;

/// A whole line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Nanoseconds since 1970, of its first piece.
    pub nanoseconds: i128,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The text without the line's end.
    pub text: String,
}

/// Where a log file comes from, as the kubelet names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container.
    pub container: String,
}

impl Source {
    /// Reads `<namespace>_<pod>_<uid>/<container>/<restart>.log`, relative to the folder of logs.
    /// Names of namespaces and pods hold no underscore. Rotated files have other names.
    pub fn from_path(path: &Path) -> Option<Self> {
        let mut parts = path.iter().map(|part| part.to_str());
        let (Some(folder), Some(container), Some(file), None) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        file.strip_suffix(".log")?.parse::<u32>().ok()?;
        let mut names = folder.splitn(3, '_');
        let (Some(namespace), Some(pod), Some(_uid)) = (names.next(), names.next(), names.next())
        else {
            return None;
        };
        let container = container.to_owned();
        Some(Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container,
        })
    }
}

/// Puts pieces together: one joiner per file, because the streams of a file alternate.
#[derive(Debug, Default)]
pub struct Joiner {
    open: BTreeMap<String, (i128, String)>,
}

impl Joiner {
    /// Takes one entry; gives the line it completes. An entry that cannot be read is a line by
    /// itself, at `fallback` nanoseconds: nothing is dropped.
    pub fn push(&mut self, entry: &str, fallback: i128) -> Option<Line> {
        let Some((nanoseconds, stream, is_partial, text)) = read_entry(entry) else {
            let (stream, text) = ("stdout".to_owned(), entry.to_owned());
            return Some(Line {
                nanoseconds: fallback,
                stream,
                text,
            });
        };
        if is_partial {
            let open = self.open.entry(stream.to_owned());
            open.or_insert_with(|| (nanoseconds, String::new()))
                .1
                .push_str(text);
            return None;
        }
        let (nanoseconds, text) = match self.open.remove(stream) {
            Some((begun, head)) => (begun, head + text),
            None => (nanoseconds, text.to_owned()),
        };
        Some(Line {
            nanoseconds,
            stream: stream.to_owned(),
            text,
        })
    }
}

fn read_entry(entry: &str) -> Option<(i128, &str, bool, &str)> {
    let mut fields = entry.splitn(4, ' ');
    let time: jiff::Timestamp = fields.next()?.parse().ok()?;
    let stream = fields.next()?;
    // Tags may be added after a colon; the first one tells whether the line is whole.
    let is_partial = match fields.next()?.split(':').next()? {
        "P" => true,
        "F" => false,
        _ => return None,
    };
    Some((
        time.as_nanosecond(),
        stream,
        is_partial,
        fields.next().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Joiner, Source};
    use std::path::Path;

    const SECOND: i128 = 1_000_000_000;

    fn join(entries: &[&str]) -> Vec<(i128, String, String)> {
        let mut joiner = Joiner::default();
        let lines = entries.iter().filter_map(|entry| joiner.push(entry, 7));
        lines
            .map(|line| (line.nanoseconds, line.stream, line.text))
            .collect()
    }

    fn line(nanoseconds: i128, stream: &str, text: &str) -> (i128, String, String) {
        (nanoseconds, stream.to_owned(), text.to_owned())
    }

    #[test]
    fn joins_pieces_per_stream() {
        assert_eq!(
            join(&[
                "1970-01-01T00:00:01Z stdout P one ",
                "1970-01-01T00:00:02.5Z stderr F oops",
                "1970-01-01T00:00:03Z stdout P two ",
                "1970-01-01T00:00:04+00:00 stdout F three",
                "1970-01-01T00:00:05Z stdout F ",
                "1970-01-01T00:00:06Z stdout F:x a b c",
            ]),
            [
                line(2 * SECOND + SECOND / 2, "stderr", "oops"),
                line(SECOND, "stdout", "one two three"),
                line(5 * SECOND, "stdout", ""),
                line(6 * SECOND, "stdout", "a b c"),
            ]
        );
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_a_line() {
        assert_eq!(
            join(&["not a log entry"]),
            [line(7, "stdout", "not a log entry")]
        );
    }

    #[test]
    fn reads_where_a_file_comes_from() {
        let source = Source::from_path(Path::new("shop_orders-7d_0a-1b/main/3.log"));
        let expected = Source {
            namespace: "shop".to_owned(),
            pod: "orders-7d".to_owned(),
            container: "main".to_owned(),
        };
        assert_eq!(source, Some(expected));
        for other in [
            "shop_orders/main/0.log",
            "shop_a_b/main/0.log.20261125-1",
            "shop_a_b/0.log",
        ] {
            assert_eq!(Source::from_path(Path::new(other)), None, "{other}");
        }
    }
}
