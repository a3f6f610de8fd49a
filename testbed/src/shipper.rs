//! Sends the logs of the node's containers to Loki, as an agent on every node of a real cluster
//! does.

use crate::cri::{Joiner, Line, Source};
use crate::ready;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks at the files.
const INTERVAL: Duration = Duration::from_millis(250);
/// Most bytes that are read of one file at one look.
const PIECE: u64 = 1024 * 1024;

/// A file that is followed. A rotated one is found again by its inode.
#[derive(Debug)]
struct Tail {
    file: File,
    source: Source,
    offset: u64,
    rest: Vec<u8>,
    joiner: Joiner,
}

/// Follows all container logs below a folder.
#[derive(Debug)]
pub struct Shipper {
    root: PathBuf,
    cluster: String,
    push_url: String,
    client: reqwest::Client,
    tails: BTreeMap<u64, Tail>,
}

type Batch = BTreeMap<(Source, String), Vec<Line>>;

impl Shipper {
    /// Ships the logs below `root` (the kubelet's `podLogsDir`) to the Loki at `loki`.
    pub fn new(root: PathBuf, cluster: &str, loki: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            root,
            cluster: cluster.to_owned(),
            push_url: format!("{loki}/loki/api/v1/push"),
            client: ready::local_http()?,
            tails: BTreeMap::new(),
        })
    }

    /// Ships until it is cancelled. `complain` is told when Loki refuses or does not answer; what
    /// was read is sent again then.
    pub async fn run(mut self, complain: impl Fn(&str)) {
        let mut pending: Option<Value> = None;
        loop {
            if pending.is_none() {
                pending = self.collect();
            }
            let is_done = match &pending {
                None => true,
                Some(body) => match self.push(body).await {
                    Ok(()) => true,
                    Err(Refusal::Permanent(reason)) => {
                        complain(&format!("loki refused log lines: {reason}"));
                        true
                    }
                    Err(Refusal::Transient(reason)) => {
                        complain(&format!("loki is away, will send again: {reason}"));
                        false
                    }
                },
            };
            let sent_some = pending.is_some() && is_done;
            if is_done {
                pending = None;
            }
            if !sent_some {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Reads what is new in all files; `None` when nothing is.
    fn collect(&mut self) -> Option<Value> {
        let mut batch = Batch::new();
        self.discover();
        for tail in self.tails.values_mut() {
            // A file that cannot be read any more has been removed with its pod.
            if let Ok(lines) = tail.read_new() {
                for line in lines {
                    let key = (tail.source.clone(), line.stream.clone());
                    batch.entry(key).or_default().push(line);
                }
            }
        }
        (!batch.is_empty()).then(|| push_body(&self.cluster, &batch))
    }

    /// Opens files that appeared, and forgets those that were removed and read to the end.
    fn discover(&mut self) {
        let mut present = BTreeSet::new();
        for path in log_files(&self.root) {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let inode = metadata.ino();
            present.insert(inode);
            if self.tails.contains_key(&inode) {
                continue;
            }
            let source = path
                .strip_prefix(&self.root)
                .ok()
                .and_then(Source::from_path);
            let (Some(source), Ok(file)) = (source, File::open(&path)) else {
                continue;
            };
            let joiner = Joiner::default();
            self.tails.insert(
                inode,
                Tail {
                    file,
                    source,
                    offset: 0,
                    rest: Vec::new(),
                    joiner,
                },
            );
        }
        self.tails
            .retain(|inode, tail| present.contains(inode) || tail.has_more());
    }

    async fn push(&self, body: &Value) -> Result<(), Refusal> {
        let answer = self.client.post(&self.push_url).json(body).send().await;
        let answer = answer.map_err(|error| Refusal::Transient(error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = format!(
            "{status} {}",
            answer.text().await.unwrap_or_default().trim()
        );
        // Source: Loki HTTP API: a 4xx answer stays one, except 429, which asks to slow down.
        if status.is_client_error() && status.as_u16() != 429 {
            return Err(Refusal::Permanent(text));
        }
        Err(Refusal::Transient(text))
    }
}

enum Refusal {
    Transient(String),
    Permanent(String),
}

impl Tail {
    fn has_more(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| metadata.len() > self.offset)
    }

    /// The lines that were completed since the last look.
    fn read_new(&mut self) -> io::Result<Vec<Line>> {
        if !self.has_more() {
            return Ok(Vec::new());
        }
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        self.file.by_ref().take(PIECE).read_to_end(&mut bytes)?;
        self.offset += u64::try_from(bytes.len()).unwrap_or_default();
        self.rest.extend_from_slice(&bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let text = String::from_utf8_lossy(&whole);
        let fallback = jiff::Timestamp::now().as_nanosecond();
        Ok(text
            .lines()
            .filter_map(|entry| self.joiner.push(entry, fallback))
            .collect())
    }
}

/// All files two folders below `root`.
fn log_files(root: &Path) -> Vec<PathBuf> {
    let children = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let pods = children(root);
    let containers = pods.iter().flat_map(|pod| children(pod));
    containers
        .flat_map(|container| children(&container))
        .collect()
}

/// The body of a push. Source: Loki HTTP API, `POST /loki/api/v1/push`.
fn push_body(cluster: &str, batch: &Batch) -> Value {
    let streams: Vec<Value> = batch
        .iter()
        .map(|((source, stream), lines)| {
            let values: Vec<Value> = lines
                .iter()
                .map(|line| json!([line.nanoseconds.to_string(), line.text]))
                .collect();
            json!({
                "stream": {
                    "cluster": cluster,
                    "namespace": source.namespace,
                    "pod": source.pod,
                    "container": source.container,
                    "stream": stream,
                },
                "values": values,
            })
        })
        .collect();
    json!({ "streams": streams })
}

#[cfg(test)]
mod tests {
    use super::Shipper;
    use std::fs;
    use std::io::Write as _;

    fn shipper(root: &std::path::Path) -> Shipper {
        Shipper::new(root.to_owned(), "c", "http://127.0.0.1:1").expect("a client can be made")
    }

    #[test]
    fn follows_a_file_through_half_lines_and_rotation() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("shop_orders_uid/main");
        fs::create_dir_all(&folder).expect("folder");
        let path = folder.join("0.log");
        let mut file = fs::File::create(&path).expect("file");
        let mut shipper = shipper(root.path());

        write!(file, "1970-01-01T00:00:01Z stdout P half ").expect("write");
        assert_eq!(shipper.collect(), None, "no entry is whole");
        writeln!(file, "of\n1970-01-01T00:00:01Z stdout F it").expect("write");
        let body = shipper.collect().expect("one line");
        assert_eq!(body["streams"][0]["values"][0][0], "1000000000");
        assert_eq!(body["streams"][0]["values"][0][1], "half ofit");
        assert_eq!(body["streams"][0]["stream"]["namespace"], "shop");

        writeln!(file, "1970-01-01T00:00:02Z stdout F before").expect("write");
        fs::rename(&path, folder.join("0.log.20261125-1")).expect("rotate");
        fs::write(&path, "1970-01-01T00:00:03Z stdout F after\n").expect("new file");
        let body = shipper.collect().expect("two lines").to_string();
        assert!(body.contains("before") && body.contains("after"), "{body}");
        assert_eq!(shipper.collect(), None, "nothing is sent twice");
    }
}
