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
            MeshEvent::BreakerChanged { service, transition } => {
                let (from, to, cause) = (transition.from, transition.to, transition.cause);
                tracing::warn!(event = kind, circuit_breaker = %to, %service, %from, %to, %cause, "{event}");
            }
            MeshEvent::EndpointReturned { .. }
            | MeshEvent::PanicLeft { .. }
            | MeshEvent::DiscoverySynced { .. }
            | MeshEvent::RateLimitShared { .. }
            | MeshEvent::CanaryStep { .. }
            | MeshEvent::CanaryResumed { .. }
            | MeshEvent::CanaryPromoted { .. }
            | MeshEvent::HealthChanged { healthy: true, .. } => tracing::info!(event = kind, "{event}"),
            // Whoever found out has told it with more.
            MeshEvent::PeerUntrusted { .. }
            | MeshEvent::CertificateRotated { .. }
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
