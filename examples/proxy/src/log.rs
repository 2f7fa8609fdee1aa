//! The log: one line an event, on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use mesh_core::event::{Events, MeshEvent};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `RUST_LOG` chooses what; without it, `info` and above.
pub fn start(format: LogFormat) {
    begin(format, "info");
}

/// As [`start`], for what talks to people by itself: only what is wrong is logged, unless `RUST_LOG` asks for more.
pub fn start_quietly() {
    begin(LogFormat::Text, "error");
}

fn begin(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    // Only a second start can fail, and then there is a log already.
    drop(started);
}

/// Writes down what happened to the mesh, for ever.
pub async fn events(mut events: Events) {
    let mut missed = 0;
    while let Some(event) = events.next().await {
        let kind = event.kind();
        match &*event {
            MeshEvent::BreakerChanged {
                service, transition, ..
            } => {
                let (from, to, cause) = (transition.from, transition.to, transition.cause);
                tracing::warn!(event = kind, circuit_breaker = %to, %service, %from, %to, %cause, "{event}");
            }
            MeshEvent::EndpointReturned { .. }
            | MeshEvent::PanicLeft { .. }
            | MeshEvent::DiscoverySynced { .. }
            | MeshEvent::RateLimitShared { .. }
            | MeshEvent::AnomalyEnded { .. }
            | MeshEvent::HealthChanged { healthy: true, .. } => tracing::info!(event = kind, "{event}"),
            // Whoever found out, or decided, has told it with more.
            MeshEvent::PeerUntrusted { .. }
            | MeshEvent::CanaryStep { .. }
            | MeshEvent::CanaryResumed { .. }
            | MeshEvent::CanaryApproved { .. }
            | MeshEvent::CanaryReplanned { .. }
            | MeshEvent::CanaryPromoted { .. }
            | MeshEvent::CertificateRotated { .. }
            | MeshEvent::ConfigReloaded
            | MeshEvent::ConfigRejected { .. }
            | MeshEvent::DrainStarted { .. }
            | MeshEvent::DrainFinished { .. }
            | MeshEvent::CertificateExpiring { .. } => {
                tracing::debug!(event = kind, "{event}")
            }
            _ => tracing::warn!(event = kind, "{event}"),
        }
        if events.missed() > missed {
            missed = events.missed();
            tracing::warn!(
                missed,
                "events were lost: there were more than the log could take"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use mesh_core::breaker::{Breaker, BreakerPolicy};
    use mesh_core::event::EventBus;
    use serde_json::Value;
    use tokio::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_transition_of_a_breaker_is_a_line_with_its_service_from_what_to_what_and_why() {
        let (bus, now) = (EventBus::default(), Instant::now());
        let events_of_bus = bus.subscribe();
        let breaker = Breaker::new(BreakerPolicy::default(), now);
        let transitions = [breaker.trip(now), breaker.reset(now)];
        for transition in transitions.into_iter().flatten() {
            let service = "orders".parse().expect("a name");
            let version = None;
            bus.emit(MeshEvent::BreakerChanged {
                service,
                version,
                transition,
            });
        }
        drop(bus);
        let (lines, runtime) = (
            Lines::default(),
            tokio::runtime::Builder::new_current_thread().build(),
        );
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            runtime.expect("a runtime").block_on(events(events_of_bus));
        });
        let written = lines.0.lock().expect("nobody panics").clone();
        let written = String::from_utf8(written).expect("text");
        let told: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let of = |line: &Value| ["circuit_breaker", "service", "from", "to"].map(|key| line[key].clone());
        assert_eq!(
            told.iter().map(of).collect::<Vec<_>>(),
            [
                ["open", "orders", "closed", "open"],
                ["closed", "orders", "open", "closed"]
            ]
        );
        assert!(
            told.iter()
                .all(|line| line["cause"].as_str().is_some_and(|cause| !cause.is_empty())),
            "{written}"
        );
    }
}
