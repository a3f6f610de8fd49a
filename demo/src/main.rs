//! `demo`: what `make demo` runs.

use std::path::PathBuf;
use std::process::ExitCode;

use bonesetter_demo::run::{Options, down, run};
use clap::{Parser, Subcommand};

/// Breaks workloads on a real cluster and shows what Bonesetter makes of them.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The checkout, whose manifests and SQL are installed.
    #[arg(long, default_value = ".", global = true)]
    sources: PathBuf,
    /// Use this cluster instead of starting a node.
    #[arg(long, env = "DEMO_KUBECONFIG", global = true)]
    kubeconfig: Option<PathBuf>,
    /// The test image, as the cluster can pull it; needed with --kubeconfig.
    #[arg(long, env = "DEMO_IMAGE")]
    image: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stop everything that a demo started, and remove what it made in an existing cluster.
    Down,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let kubeconfig = arguments
        .kubeconfig
        .filter(|path| !path.as_os_str().is_empty());
    match arguments.command {
        Some(Command::Down) => down(kubeconfig.as_deref()).await,
        None => {
            let options = Options {
                sources: arguments.sources,
                kubeconfig,
                image: arguments.image.filter(|image| !image.is_empty()),
            };
            run(&options).await
        }
    }
}
