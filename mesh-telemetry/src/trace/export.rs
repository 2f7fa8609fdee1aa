//! Takes spans from a queue and sends them to a collector: one batch at a time, by a task of its own.
//!
//! A collector that is away or silent is asked again, later and later, for a minute; then the batch is given up and counted
//! as failed. Meanwhile the queue fills, and what finds no room is counted as dropped. So an exporter holds 4 096 spans
//! and one batch of 512 at most.

mod destination;
mod sender;
#[cfg(all(test, feature = "otlp"))]
mod tests;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use mesh_core::backoff::Backoff;
use mesh_core::connect::{Connect, TcpConnect};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::queue::{SpanQueue, Spans, span_queue};
use super::span::Span;
use crate::metrics::SpanOutcome;
use crate::registry::Telemetry;

use sender::{Sender, Trouble};

pub use destination::{Destination, DestinationError};

/// How many spans wait at most.
const ROOM: usize = 4096;
/// How many are sent at a time.
const BATCH: usize = 512;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a batch is tried again.
const GIVE_UP: Duration = Duration::from_secs(60);
/// The longest time a collector may ask to be left alone for.
const LONGEST: Duration = Duration::from_secs(30);

/// The task that sends spans. Dropped, it stops at once; [`close`](Self::close) has it send what is there.
pub struct Exporter {
    close: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Where and how spans are sent.
#[must_use = "a builder does nothing until it is started"]
pub struct ExporterBuilder<C = TcpConnect> {
    destination: Destination,
    connect: C,
    namespace: Option<Box<str>>,
}

impl Exporter {
    /// Sends spans there.
    ///
    /// ```
    /// # #[cfg(feature = "otlp")] {
    /// use mesh_telemetry::Telemetry;
    /// use mesh_telemetry::trace::{Destination, Exporter, Sampling, Tracer};
    /// use mesh_core::trace::SampleRatio;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
    /// let collector = Destination::otlp_http("http://127.0.0.1:4318")?;
    /// let (spans, exporter) = Exporter::to(collector).start(&Telemetry::new());
    /// let tracer = Tracer::new(Sampling::new(SampleRatio::new(0.1)), [spans]);
    /// // … serve …
    /// let end = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    /// assert!(exporter.close(end).await, "there was nothing to send");
    /// # drop(tracer); Ok(()) }
    /// # main().unwrap(); }
    /// ```
    pub fn to(destination: Destination) -> ExporterBuilder {
        ExporterBuilder {
            destination,
            connect: TcpConnect::new(),
            namespace: None,
        }
    }

    /// Whether it has sent all there will ever be.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Takes no more spans, and sends those that are there, until then at most. Whether all of them were sent or given up.
    pub async fn close(mut self, until: Instant) -> bool {
        drop(self.close.take());
        timeout_at(until, &mut self.task).await.is_ok()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C: Connect> ExporterBuilder<C> {
    /// Connections are made so. Default: plain TCP; [`Destination::is_secure`] asks for TLS.
    pub fn connect<D: Connect>(self, connect: D) -> ExporterBuilder<D> {
        ExporterBuilder {
            destination: self.destination,
            connect,
            namespace: self.namespace,
        }
    }

    /// The namespace of the services whose spans they are.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Starts the task.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn`.
    pub fn start(self, telemetry: &Telemetry) -> (SpanQueue, Exporter) {
        let (queue, spans) = span_queue(ROOM, telemetry);
        let (close, closed) = oneshot::channel();
        let exporting = Exporting {
            spans,
            closed,
            is_closed: false,
            sender: Sender::new(self.destination, self.connect),
            namespace: self.namespace,
            telemetry: telemetry.clone(),
            in_trouble: false,
        };
        let exporter = Exporter {
            close: Some(close),
            task: tokio::spawn(exporting.run()),
        };
        (queue, exporter)
    }
}

struct Exporting<C> {
    spans: Spans,
    closed: oneshot::Receiver<()>,
    is_closed: bool,
    sender: Sender<C>,
    namespace: Option<Box<str>>,
    telemetry: Telemetry,
    /// The last thing that was told is that there is trouble.
    in_trouble: bool,
}

impl<C: Connect> Exporting<C> {
    async fn run(mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch).await {
            let messages = self
                .sender
                .destination()
                .encode(&batch, self.namespace.as_deref());
            batch.clear();
            for (message, spans) in messages {
                self.export(message, spans).await;
            }
        }
    }

    /// Waits for spans, and a little for more. None, when there will never be one again.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        let mut until = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let count = tokio::select! {
                count = self.spans.next_into(batch, room) => count,
                () = until_or_never(until) => break,
                _ = &mut self.closed, if !self.is_closed => {
                    self.close();
                    continue;
                }
            };
            if count == 0 {
                break;
            }
            until = until.or_else(|| Some(Instant::now() + LINGER));
        }
        !batch.is_empty()
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.spans.close();
    }

    /// Sends a message in which there are so many spans.
    async fn export(&mut self, message: Bytes, spans: usize) {
        let process = self.telemetry.clone();
        let count = |outcome, count| process.process().spans(outcome, count);
        let give_up = Instant::now() + GIVE_UP;
        let mut backoff = Backoff::new(Duration::from_secs(1), LONGEST);
        loop {
            let sent = timeout(PATIENCE, self.sender.send(message.clone())).await;
            let trouble = match sent {
                Ok(Ok(rejected)) => {
                    let rejected = rejected.min(spans);
                    count(SpanOutcome::Exported, spans - rejected);
                    count(SpanOutcome::Failed, rejected);
                    return self.is_well(rejected);
                }
                Ok(Err(trouble)) => trouble,
                Err(_) => {
                    self.sender.disconnect();
                    Trouble::again(format!("no answer within {PATIENCE:?}"))
                }
            };
            let wait = match &trouble {
                Trouble::Again { after, .. } => {
                    let wait = backoff.next(&mut fastrand::Rng::new());
                    Some(wait.max(after.unwrap_or_default().min(LONGEST)))
                }
                Trouble::Refused { .. } => None,
            };
            self.is_in_trouble(&trouble);
            match wait {
                Some(wait) if Instant::now() + wait < give_up => self.pause(wait).await,
                _ => return count(SpanOutcome::Failed, spans),
            }
        }
    }

    /// Waits; closing does not shorten it, since whoever closes has a limit.
    async fn pause(&mut self, wait: Duration) {
        let mut pause = std::pin::pin!(sleep(wait));
        loop {
            tokio::select! {
                () = &mut pause => return,
                _ = &mut self.closed, if !self.is_closed => self.close(),
            }
        }
    }

    fn is_in_trouble(&mut self, trouble: &Trouble) {
        if !std::mem::replace(&mut self.in_trouble, true) {
            let destination = self.sender.destination();
            tracing::warn!(%destination, %trouble, "spans cannot be exported; what finds no room is dropped");
        }
    }

    fn is_well(&mut self, rejected: usize) {
        let destination = self.sender.destination();
        if rejected > 0 {
            tracing::debug!(%destination, rejected, "the collector rejected spans");
        }
        if self.in_trouble {
            tracing::info!(%destination, "spans are exported again");
        }
        self.in_trouble = false;
    }
}

async fn until_or_never(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
