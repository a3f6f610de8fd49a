use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_chassis::bus::{provision, provision_external};
use clap::Args;

use crate::bus::Connection;
use crate::pipe;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// File with the nkey seed of `provisioner-external`: provision the account of external tools
    /// too.
    #[arg(long, env = "BONESETTER_EXTERNAL_NKEY_FILE")]
    external_nkey_file: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bus = arguments.connection.connect("provisioner").await?;
    let done = provision(&bus).await?;
    pipe::print(&format!(
        "provisioned {} streams, {} consumers, {} buckets\n",
        done.streams, done.consumers, done.buckets
    ))?;
    if let Some(file) = arguments.external_nkey_file {
        let connection = arguments.connection.with_nkey_file(file);
        let bus = connection.connect("provisioner-external").await?;
        let copies = provision_external(&bus).await?;
        pipe::print(&format!(
            "provisioned {copies} copies for external tools, and they are fed\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
