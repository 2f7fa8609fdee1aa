//! A small service to put behind the mesh.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sample_service::{Instance, router, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A small service to put behind the mesh: says who it is, echoes, streams, waits
///
/// SIGTERM or SIGINT: it finishes what is in flight (at most 30 s) and ends.
#[derive(Parser)]
#[command(after_help = "Example:\n  sample-service --listen 127.0.0.1:4001 --name first --version v1")]
struct Options {
    /// Where to listen; port 0 takes a free one, which the first line of output tells
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4001")]
    listen: SocketAddr,
    /// What this instance calls itself
    #[arg(long, default_value = "sample-service")]
    name: String,
    /// The version of the service that it runs
    #[arg(long, value_name = "VERSION", default_value = "v1")]
    version: String,
}

/// How long requests in flight may take after the signal to stop.
const DRAIN: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "sample-service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let listener = TcpListener::bind(options.listen).await;
    let listener =
        listener.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", options.listen)))?;
    writeln!(
        io::stdout(),
        "{} {} listens on {}",
        options.name,
        options.version,
        listener.local_addr()?
    )?;
    serve(
        listener,
        router(Instance {
            name: options.name,
            version: options.version,
        }),
        stop,
        DRAIN,
    )
    .await
}
