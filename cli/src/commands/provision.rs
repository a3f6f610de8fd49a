use std::process::ExitCode;

use bonesetter_chassis::bus::provision;
use clap::Args;

use crate::bus::Connection;
use crate::pipe;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bus = arguments.connection.connect("provisioner").await?;
    let done = provision(&bus).await?;
    pipe::print(&format!(
        "provisioned {} streams, {} consumers, {} buckets\n",
        done.streams, done.consumers, done.buckets
    ))?;
    Ok(ExitCode::SUCCESS)
}
