//! The command line.

mod admin;
mod canary;
mod demo;
mod simulate;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use http::{HeaderName, HeaderValue, Method};
use mesh_core::{ServiceName, SpiffeId};
use mesh_traffic::LiveSplits;

use crate::authorization;
use crate::cert::{self, Cert};
use crate::config;
use crate::core_dumps;
use crate::explain::{self, Asked};
use crate::log::{self, LogFormat};
use crate::run::{self, RunOptions};

/// The mesh as a proxy, for services that cannot be changed.
#[derive(Debug, Parser)]
#[command(name = "mesh-proxy", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT, then drain
    ///
    /// The file is watched: a changed one takes effect while running, a bad one is refused with a report in the
    /// log, and the last good one stays in use. SIGHUP reads it again at once.
    #[command(
        after_help = "Example:\n  mesh-proxy run --config examples/quickstart.yaml\n\nExit: 0 after a clean drain, 1 on a failure while running, 2 on bad usage or a bad configuration"
    )]
    Run(Run),
    /// Play a small mesh on this machine, with a rollout in fast motion
    ///
    /// No file, and nothing else to install: a CA, a client, two instances of sample-service v1 and one of v2, mutual TLS
    /// between all of them, and the proxy, which rolls v2 out.
    #[command(after_help = demo::HELP)]
    Demo(demo::Demo),
    /// Read a configuration and report everything that is wrong with it
    #[command(
        after_help = "Example:\n  mesh-proxy check --config mesh.yaml\n\nExit: 0 if it is valid, 2 if it is not"
    )]
    Check(Check),
    /// Tell what would happen to a request, and why
    ///
    /// Tells of each rule, in the order in which they are tried, which of its conditions failed and what the request
    /// has there; then the destinations with their shares, what is changed, and the policies that apply, each with
    /// file and line.
    #[command(
        after_help = "Example:\n  mesh-proxy explain --config mesh.yaml --method GET --path /api/orders --header 'api-version: v2' --source frontend\n\nExit: 0 if it is decided, 3 if there is no route, 2 on bad usage or a bad configuration"
    )]
    Explain(Explain),
    /// Try a rollout in virtual time before it ships
    ///
    /// The state machine and the analyzer are those that run in production; the traffic is drawn, and the same seed draws
    /// the same. It promotes by itself, unless somebody promotes in the scenario.
    #[command(after_help = simulate::HELP)]
    Simulate(simulate::Simulate),
    /// Make a CA and replace it, issue certificates, revoke them, look at them and verify them
    #[command(subcommand)]
    Cert(Cert),
    /// Roll new versions out, through the admin API of a proxy that runs
    #[command(subcommand)]
    Canary(canary::Canary),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The configuration, in YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long requests in flight may take after the signal to stop
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,
    /// How many threads serve; by default one for each core this process may use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Let the system write the memory of this process into a file if it crashes, and debuggers look into it: there are
    /// private keys in it
    #[arg(long)]
    allow_core_dumps: bool,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The configuration, in YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Explain {
    /// The configuration, in YAML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// Its path, with a query if there is one; or its whole URL
    #[arg(long, value_name = "PATH")]
    path: String,
    /// A header field; may be given several times. Without a Host, the first listener's address is meant
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The service that sends it; by default nobody who proved who it is
    #[arg(long, value_name = "NAME")]
    source: Option<ServiceName>,
    /// The identity it proves, in place of the one that the mesh gives to --source
    #[arg(long, value_name = "SPIFFE ID", conflicts_with = "source")]
    identity: Option<SpiffeId>,
    /// The address it is sent from
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| format!("{name:?}: {error}"))?;
    let value = HeaderValue::try_from(value.trim()).map_err(|error| format!("{value:?}: {error}"))?;
    Ok((name, value))
}

fn duration(text: &str) -> Result<Duration, String> {
    mesh_core::duration::parse(text).map_err(|error| error.to_string())
}

/// Bad usage or a bad configuration.
const BAD_CONFIGURATION: u8 = 2;
/// No rule and no service takes the request.
const NO_ROUTE: u8 = 3;

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => serve(run),
        Command::Demo(demo) => demo::main(&demo),
        Command::Check(check) => report(&check.config),
        Command::Explain(explain) => tell(explain),
        Command::Simulate(simulate) => simulate::main(&simulate),
        Command::Cert(cert) => {
            core_dumps::forbid_or_tell();
            cert::main(&cert)
        }
        Command::Canary(canary) => canary::main(&canary),
    }
}

fn serve(run: Run) -> ExitCode {
    log::start(run.log_format);
    match run.allow_core_dumps {
        true => {
            tracing::warn!("core dumps are allowed: whoever gets one has the private keys of this process")
        }
        false => core_dumps::forbid_or_tell(),
    }
    let loaded = match config::load(&run.config) {
        Ok(loaded) => loaded,
        Err(report) => {
            print(std::io::stderr(), &report.to_string());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if loaded.warnings.iter().any(config::Warning::refuses_to_run) {
        tracing::error!(
            "not started: serving without what the warnings above name would be less than the file asks for"
        );
        return ExitCode::from(BAD_CONFIGURATION);
    }
    let options = RunOptions {
        config: run.config,
        drain_timeout: run.drain_timeout,
        workers: run.workers.map(usize::from),
    };
    match run::run(&options, loaded.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(explain: Explain) -> ExitCode {
    let loaded = match config::load(&explain.config) {
        Ok(loaded) => loaded,
        Err(report) => {
            print(std::io::stderr(), &report.to_string());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    print(std::io::stderr(), &warnings(&loaded));
    let identity = match (explain.identity, &explain.source) {
        (None, Some(source)) => match authorization::identity_of(&loaded.config.mesh, source) {
            Ok(identity) => Some(identity),
            Err(message) => {
                print(std::io::stderr(), &format!("--source: {message}\n"));
                return ExitCode::from(BAD_CONFIGURATION);
            }
        },
        (identity, _) => identity,
    };
    let asked = Asked {
        identity,
        method: explain.method,
        target: explain.path,
        headers: explain.headers,
        client: explain.client,
    };
    match explain::Report::of(&loaded.config, &LiveSplits::default(), &asked) {
        Ok(report) => {
            let text = match explain.json {
                true => format!("{:#}\n", report.json()),
                false => report.to_string(),
            };
            print(std::io::stdout(), &text);
            match report.is_no_route() {
                true => ExitCode::from(NO_ROUTE),
                false => ExitCode::SUCCESS,
            }
        }
        Err(message) => {
            print(std::io::stderr(), &format!("{message}\n"));
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn report(path: &std::path::Path) -> ExitCode {
    match config::load(path) {
        Ok(loaded) => {
            print(std::io::stderr(), &warnings(&loaded));
            print(std::io::stdout(), "configuration is valid\n");
            ExitCode::SUCCESS
        }
        Err(report) => {
            print(std::io::stderr(), &report.to_string());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn warnings(loaded: &config::Loaded) -> String {
    let line = |warning: &config::Warning| format!("warning: {warning}\n");
    loaded.warnings.iter().map(line).collect()
}

/// Writes a text. Nobody is left to tell if the reader is gone.
fn print(mut to: impl Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_drain_timeout_takes_a_unit() {
        let cli = Cli::try_parse_from(["mesh-proxy", "run", "--config", "x", "--drain-timeout", "5s"])
            .expect("valid");
        let Command::Run(run) = cli.command else {
            panic!("run was asked for")
        };
        assert_eq!(run.drain_timeout, Duration::from_secs(5));
        assert!(
            Cli::try_parse_from(["mesh-proxy", "run", "--config", "x", "--drain-timeout", "soon"]).is_err()
        );
    }
}
