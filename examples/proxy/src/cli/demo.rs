//! `mesh-proxy demo`: a small mesh on this machine, and a rollout in it in fast motion.

mod client;
mod member;
mod place;
mod progress;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mesh_tls::LocalCa;
use mesh_tls::authority::LocalCaOptions;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::admin::AdminAt;
use crate::run::{self, RunOptions};
use crate::{config, core_dumps, log};
use client::{Client, Counts};
use member::Member;
use place::Place;
use progress::Progress;

pub(super) const HELP: &str = "\
Example:
  mesh-proxy demo
  mesh-proxy demo --fail-canary --exit-when-done

Exit: 0 when it has ended as it should: v2 is promoted, or with --fail-canary rolled back; 1 if not";

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// End when the rollout is over; otherwise the mesh goes on until it is told to stop
    #[arg(long)]
    exit_when_done: bool,
    /// Make the new version bad, so that it is rolled back: a fifth of its answers are errors
    #[arg(long)]
    fail_canary: bool,
    /// How many requests the client sends a second
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u16).range(50..=2000))]
    rate: u16,
}

const SERVICE: &str = "sample-service";
const STABLE: &str = "v1";
const CANARY: &str = "v2";

/// How long the mesh may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the rollout may take: it has stages of some seconds.
const LONGEST: Duration = Duration::from_secs(180);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn main(demo: &Demo) -> ExitCode {
    log::start_quietly();
    core_dumps::forbid_or_tell();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime
        .map_err(|error| format!("the system gives no event queue: {error}"))
        .and_then(|runtime| {
            let ended = runtime.block_on(until_told(demo));
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            super::print(io::stderr(), &format!("{message}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The play, until it is over or it is told to stop.
async fn until_told(demo: &Demo) -> Result<(), String> {
    let told = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
    let (mut interrupt, mut terminate) = (told(SignalKind::interrupt())?, told(SignalKind::terminate())?);
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        ended = play(demo) => ended,
        () = stopped => match demo.exit_when_done {
            true => Err("it was stopped before the rollout was over".to_owned()),
            false => Ok(()),
        },
    }
}

/// The whole play. Everything it starts ends with it.
async fn play(demo: &Demo) -> Result<(), String> {
    let members = [("v1-a", STABLE), ("v1-b", STABLE), ("v2-a", CANARY)];
    let mut sockets = Vec::new();
    for _ in members {
        sockets.push(place::socket().await?);
    }
    let addresses = sockets.iter().map(|(_, address)| *address).zip(members);
    let place = Place::make(addresses.map(|(address, (_, version))| (address, version))).await?;
    let ca = LocalCa::open_or_init(place.state_dir(), LocalCaOptions::new(place::TRUST_DOMAIN));
    let ca = ca.map_err(|error| format!("the CA of the demo cannot be made: {error}"))?;

    let mut running = JoinSet::new();
    for ((socket, _), (name, version)) in sockets.into_iter().zip(members) {
        let fails = demo.fail_canary && version == CANARY;
        let member = Member {
            name,
            version,
            errors: if fails { 0.2 } else { 0.0 },
        };
        member.join(&ca, socket, &mut running).await?;
    }
    let mut proxy = proxy(&place)?;
    let admin = AdminAt::plainly(place.admin_url());
    ready(&admin, &mut proxy).await?;
    let counts = Arc::new(Counts::default());
    let client = Client::join(&ca, place.inbound(), Arc::clone(&counts)).await?;
    running.spawn(client.call(f64::from(demo.rate)));

    let mut progress = Progress::new(io::stdout().is_terminal());
    progress.introduce(&place, demo.fail_canary);
    let rollout = rollout(&admin, &counts, &mut progress);
    let ended = tokio::select! {
        ended = timeout(LONGEST, rollout) => {
            ended.map_err(|_| format!("the rollout was not over within {} s", LONGEST.as_secs()))??
        }
        ended = &mut proxy => return stopped(ended),
    };
    progress.end(&ended);
    let wanted = if demo.fail_canary {
        "rolled_back"
    } else {
        "succeeded"
    };
    let as_it_should = match ended["rollout"]["state"] == wanted {
        true => Ok(()),
        false => Err(format!("the rollout should have ended as {wanted}, and did not")),
    };
    if !demo.exit_when_done {
        progress.invite(&place);
        stopped(proxy.await)?;
        return as_it_should;
    }
    admin
        .post("drain", &json!({}))
        .await
        .map_err(|error| error.to_string())?;
    timeout(PATIENCE, proxy)
        .await
        .map_err(|_| "the proxy did not end".to_owned())
        .and_then(stopped)?;
    as_it_should
}

type Ended = oneshot::Receiver<Result<(), String>>;

/// The proxy, as `mesh-proxy run` has it, on threads of its own.
fn proxy(place: &Place) -> Result<Ended, String> {
    let loaded = config::load(place.file()).map_err(|report| report.to_string())?;
    let options = RunOptions {
        config: place.file().to_owned(),
        drain_timeout: Duration::from_secs(5),
        workers: None,
    };
    let (tell, ended) = oneshot::channel();
    let started = std::thread::Builder::new().name("proxy".into()).spawn(move || {
        let ran = run::run(&options, loaded.config).map_err(|error| error.to_string());
        // Nobody waits any more if the play is over.
        let _ = tell.send(ran);
    });
    started.map_err(|error| format!("the system gives no thread: {error}"))?;
    Ok(ended)
}

fn stopped(ended: Result<Result<(), String>, oneshot::error::RecvError>) -> Result<(), String> {
    ended.map_err(|_| "the proxy has panicked".to_owned()).flatten()
}

/// Until the proxy serves, and all endpoints are known to it.
async fn ready(admin: &AdminAt, proxy: &mut Ended) -> Result<(), String> {
    let began = Instant::now();
    let mut look = interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = look.tick() => {}
            ended = &mut *proxy => return stopped(ended),
        }
        let path = format!("canaries/{SERVICE}");
        match admin.get(&path).await {
            Ok(shown)
                if shown["versions"]
                    .as_array()
                    .is_some_and(|versions| versions.len() == 2) =>
            {
                return Ok(());
            }
            Ok(shown) if began.elapsed() > PATIENCE => {
                return Err(format!("the proxy does not get ready: {shown}"));
            }
            Err(error) if began.elapsed() > PATIENCE => return Err(error.to_string()),
            _ => {}
        }
    }
}

/// Rolls the new version out, and tells how it goes until it is over.
async fn rollout(admin: &AdminAt, counts: &Counts, progress: &mut Progress) -> Result<Value, String> {
    // So that there is something to compare with.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let wanted = json!({ "service": SERVICE, "version": CANARY });
    start(admin, &wanted).await?;
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let shown = admin.get(&format!("canaries/{SERVICE}")).await;
        let shown = shown.map_err(|error| error.to_string())?;
        progress.show(&shown, counts);
        let state = shown["rollout"]["state"].as_str().unwrap_or_default();
        if matches!(state, "succeeded" | "rolled_back" | "halted" | "superseded") {
            return Ok(shown);
        }
    }
}

/// An endpoint that was just started may not be known as healthy yet.
async fn start(admin: &AdminAt, wanted: &Value) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match admin.post("canaries", wanted).await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
