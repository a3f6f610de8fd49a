//! Prints each diagnosis of a namespace when it is made: core NATS, JSON, nothing is kept for you.

use futures::StreamExt as _;
use serde_json::Value;
use subscriber::{connect, setting};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let namespace = setting("BONESETTER_NAMESPACE")?;
    let client = connect().await?;
    let mut messages = client
        .subscribe(format!("bonesetter.v1.diagnosed-json.*.{namespace}.>"))
        .await?;
    while let Some(message) = messages.next().await {
        let event: Value = serde_json::from_slice(&message.payload)?;
        let text = |path| event.pointer(path).and_then(Value::as_str).unwrap_or("");
        let (incident, workload) = (text("/data/incident/id"), text("/subject"));
        println!("{incident} {workload} {}", text("/data/diagnosis/summary"));
    }
    Ok(())
}
