//! Answers that no API server should give, as something between it and us may.

use std::time::{Duration, SystemTime};

use bonesetter_proto::v1::{Evidence, FailureClass};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::access::collector;
use crate::cluster::{detected, root_owner};
use crate::reading::note;

/// Collects from a server that has one Deployment and answers every list and every log with `answer`.
async fn collect(answer: (u16, String)) -> Evidence {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let collector = collector(client, Duration::from_mins(1));
    let detected = detected(&root_owner(), &[], FailureClass::Failed);
    let evidence = collector.collect(&detected, SystemTime::UNIX_EPOCH).await;
    server.abort();
    evidence.unwrap()
}

/// Answers the requests of one connection.
async fn serve(stream: TcpStream, (list_code, list): (u16, String)) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut line) = (String::new(), String::new());
        while stream.read_line(&mut line).await? > 2 {
            request.push_str(&line);
            line.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path.is_empty() {
            return Ok(());
        }
        let (code, body) = if path.ends_with("/deployments/api") {
            (200, deployment().to_string())
        } else {
            (list_code, list.clone())
        };
        let head = format!(
            "HTTP/1.1 {code} -\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
    }
}

fn deployment() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "api", "uid": "u"},
        "spec": {"selector": {"matchLabels": {"app": "api"}}},
    })
}

fn page(padding: usize) -> String {
    let name = "a".repeat(padding);
    json!({"metadata": {"continue": "more"}, "items": [{"metadata": {"name": name}}]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_never_ends_is_read_in_part_and_a_note_says_so() {
    let evidence = collect((200, page(1))).await;
    for (id, what) in [
        ("note/kubernetes", "list events in namespace shop"),
        ("note/kubernetes#2", "list pods in namespace shop"),
        ("note/kubernetes#3", "list replicasets in namespace shop"),
    ] {
        let expected = format!("cannot {what} to the end: only the first 20 were read");
        assert_eq!(note(&evidence, id), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_can_hold_is_a_note_and_not_read_to_its_end() {
    let too_long = "the answer is longer than 16777216 bytes";
    for (code, body) in [(200, page(17 << 20)), (403, "x".repeat(17 << 20))] {
        let evidence = collect((code, body)).await;
        assert_eq!(
            note(&evidence, "note/events"),
            format!("cannot list events in namespace shop: {too_long}")
        );
        assert_eq!(
            note(&evidence, "note/kubernetes"),
            format!("cannot list replicasets in namespace shop: {too_long}")
        );
    }
}
