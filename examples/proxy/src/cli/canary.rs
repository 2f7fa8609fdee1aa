//! `mesh-proxy canary`: new versions are rolled out, from the shell.

mod text;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use mesh_core::{ServiceName, Version};
use serde_json::{Value, json};

use super::admin::{AdminAt, CallError};
use text::Look;

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(super) enum Canary {
    /// Roll a new version out
    #[command(
        after_help = "Example:\n  mesh-proxy canary start sample-service --version v2\n\nExit: 0 if it has started, 1 if not"
    )]
    Start(Start),
    /// Show how a rollout stands, and what it waits for
    #[command(
        after_help = "Example:\n  mesh-proxy canary status sample-service --watch\n\nExit: 0, with --watch when the rollout is over; 1 if it cannot be told"
    )]
    Status(Status),
    /// Have a stage followed by the next: now if it waits for that, else as soon as it has gone well
    #[command(
        after_help = "Example:\n  mesh-proxy canary promote sample-service\n\nExit: 0 if it is done, 1 if not"
    )]
    Promote(Promote),
    /// Have a rollout wait; a bad version is rolled back all the same
    #[command(
        after_help = "Example:\n  mesh-proxy canary pause sample-service --reason 'the database moves'\n\nExit: 0 if it is done, 1 if not"
    )]
    Pause(Act),
    /// Have a rollout go on that waits
    #[command(
        after_help = "Example:\n  mesh-proxy canary resume sample-service\n\nExit: 0 if it is done, 1 if not"
    )]
    Resume(Act),
    /// Send everything to the stable version, and end the rollout
    #[command(
        after_help = "Example:\n  mesh-proxy canary rollback sample-service --reason 'customers complain'\n\nExit: 0 if it is done, 1 if not"
    )]
    Rollback(Act),
}

/// `canary start`
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct Start {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: ServiceName,
    /// The new version
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// Also if it was rolled back before
    #[arg(long)]
    retry: bool,
    #[command(flatten)]
    shown: Shown,
}

/// `canary status`
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The service; without one, all
    #[arg(value_name = "SERVICE")]
    service: Option<ServiceName>,
    /// Show it again whenever it changes, until the rollout is over
    #[arg(long, requires = "service")]
    watch: bool,
    #[command(flatten)]
    shown: Shown,
}

/// `canary promote`
#[derive(Debug, Args)]
pub(super) struct Promote {
    /// Everything at once, without looking at the stages between
    #[arg(long)]
    full: bool,
    /// The stage that is to be followed by the next, from 1, so that to do it twice promotes once; without it, the present
    /// one
    #[arg(long, value_name = "N", conflicts_with = "full")]
    stage: Option<usize>,
    #[command(flatten)]
    act: Act,
}

/// What is done to a rollout.
#[derive(Debug, Args)]
pub(super) struct Act {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: ServiceName,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// Whom to ask, and how the answer is shown.
#[derive(Debug, Args)]
struct Shown {
    #[command(flatten)]
    at: AdminAt,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How often a rollout that is watched is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Does it.
pub(super) fn main(canary: &Canary) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(canary)),
        Err(error) => {
            super::print(
                std::io::stderr(),
                &format!("the system gives no event queue: {error}\n"),
            );
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::print(std::io::stderr(), &format!("{error}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run(canary: &Canary) -> Result<(), CallError> {
    match canary {
        Canary::Start(start) => {
            let body = json!({
                "service": start.service.as_str(), "version": start.version.as_str(), "retry": start.retry,
            });
            let answer = start.shown.at.post("canaries", &body).await?;
            start.shown.print(&answer);
            Ok(())
        }
        Canary::Status(status) => status.run().await,
        Canary::Promote(promote) => {
            let mut body = json!({ "full": promote.full });
            if let Some(stage) = promote.stage {
                body["stage"] = json!(stage);
            }
            promote.act.run("promote", body).await
        }
        Canary::Pause(act) => act.run("pause", json!({})).await,
        Canary::Resume(act) => act.run("resume", json!({})).await,
        Canary::Rollback(act) => act.run("rollback", json!({})).await,
    }
}

impl Act {
    async fn run(&self, what: &str, mut body: Value) -> Result<(), CallError> {
        if let Some(reason) = &self.reason {
            body["reason"] = json!(reason);
        }
        let path = format!("canaries/{}/{what}", self.service);
        let answer = self.shown.at.post(&path, &body).await?;
        self.shown.print(&answer);
        Ok(())
    }
}

impl Status {
    async fn run(&self) -> Result<(), CallError> {
        let Some(service) = &self.service else {
            let answer = self.shown.at.get("canaries").await?;
            match (self.shown.json, answer["canaries"].as_array()) {
                (false, Some(canaries)) => {
                    canaries.iter().for_each(|canary| self.shown.print(canary));
                    if canaries.is_empty() {
                        let none = "no service is rolled out: canaryDeployment takes those whose endpoints have several \
                                    versions\n";
                        super::print(std::io::stdout(), none);
                    }
                }
                _ => self.shown.print(&answer),
            }
            return Ok(());
        };
        let path = format!("canaries/{service}");
        let mut before = String::new();
        loop {
            let answer = self.shown.at.get(&path).await?;
            let text = self.shown.text(&answer);
            let over = answer["rollout"]["waits_for"].is_null();
            if !self.watch {
                super::print(std::io::stdout(), &text);
                return Ok(());
            }
            if text != before {
                let clear = match self.shown.is_live() {
                    true => "\x1b[H\x1b[2J",
                    false => "",
                };
                super::print(std::io::stdout(), &format!("{clear}{text}"));
                before = text;
            }
            if over {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Shown {
    /// Whether somebody looks on at a terminal.
    fn is_live(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    fn text(&self, answer: &Value) -> String {
        match self.json {
            true => format!("{answer}\n"),
            false => text::of(
                answer,
                Look {
                    colours: self.is_live(),
                },
            ),
        }
    }

    fn print(&self, answer: &Value) {
        // Nobody is left to tell if the reader is gone.
        let _ = std::io::stdout().write_all(self.text(answer).as_bytes());
    }
}
