//! The connection a check asks on: a fresh one each time, since whether one is taken is part of the question,
//! and closed in order, so that the endpoint has no broken connection to log.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use mesh_core::Endpoint;
use mesh_core::connect::Connected;
use mesh_core::duration::display;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::HealthError;
use crate::endpoint::{BoxedIo, ErasedConnect};

/// How long closing in order may take. By then the answer is known.
const CLOSING: Duration = Duration::from_millis(100);

/// Connects.
pub(super) async fn open(
    connect: &dyn ErasedConnect,
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<Connected<BoxedIo>, HealthError> {
    match timeout(limit, connect.connect(endpoint)).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => {
            let message = format!("{} takes no connection: {error}", endpoint.id());
            Err(HealthError::new(message).with_source(error))
        }
        Err(_) => {
            let (id, limit) = (endpoint.id(), display(limit));
            Err(HealthError::new(format!(
                "{id} took no connection within {limit}"
            )))
        }
    }
}

/// Closes a connection that nothing was said on.
pub(super) async fn close(mut io: BoxedIo) {
    give_up_in_time(async move {
        if let Err(error) = io.shutdown().await {
            tracing::trace!(%error, "a health check's connection broke while it was being closed");
        }
    })
    .await;
}

/// Waits for what follows the answer, but not for long: it changes nothing.
pub(super) async fn give_up_in_time(rest: impl Future<Output = ()>) {
    if timeout(CLOSING, rest).await.is_err() {
        tracing::trace!("a health check's connection was not closed in time");
    }
}

/// A connection that has to be polled while something is exchanged on it.
pub(super) struct Running<C>(Option<Pin<Box<C>>>);

impl<C: Future<Output = Result<(), E>>, E: Error> Running<C> {
    pub(super) fn new(connection: C) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Polls the connection beside the exchange. Its end is dropped at once, so that whatever still waits for it
    /// is answered with an error.
    pub(super) async fn beside<T>(&mut self, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        poll_fn(|cx| {
            if let Some(connection) = &mut self.0
                && let Poll::Ready(ended) = connection.as_mut().poll(cx)
            {
                trace_end(ended);
                self.0 = None;
            }
            exchange.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for its end.
    pub(super) async fn end(self) {
        if let Some(connection) = self.0 {
            trace_end(connection.await);
        }
    }
}

// The exchange on it tells the same to who asked.
fn trace_end<E: Error>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::trace!(%error, "a health check's connection ended");
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;

    use mesh_core::connect::{Connect, HttpProtocol};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::sync::mpsc;

    use super::*;

    /// What a connection meets.
    #[derive(Clone, Copy, PartialEq)]
    pub(in crate::health) enum Far {
        Hangs,
        Pipe,
    }

    /// Connects to the test.
    pub(in crate::health) struct Piped {
        far: Far,
        agreed: Option<HttpProtocol>,
        ends: mpsc::UnboundedSender<DuplexStream>,
    }

    impl Piped {
        /// Connections whose far ends come out here.
        pub(in crate::health) fn new(far: Far) -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
            let (ends, far_ends) = mpsc::unbounded_channel();
            let agreed = None;
            (Self { far, agreed, ends }, far_ends)
        }

        pub(in crate::health) fn agreeing(mut self, protocol: HttpProtocol) -> Self {
            self.agreed = Some(protocol);
            self
        }

        pub(in crate::health) fn endpoint() -> Endpoint {
            Endpoint::new("10.0.0.7:3001".parse().expect("an address"))
        }
    }

    impl Connect for Piped {
        type Io = DuplexStream;

        async fn connect(&self, _: &Endpoint) -> io::Result<Connected<DuplexStream>> {
            if self.far == Far::Hangs {
                return std::future::pending().await;
            }
            let (near, far) = duplex(64 * 1024);
            self.ends.send(far).expect("the test listens");
            Ok(Connected::new(near).with_protocol(self.agreed))
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_is_not_polled_again() {
        // It panics if it is.
        let mut running = Running::new(std::future::ready(Ok::<(), io::Error>(())));
        running.beside(tokio::task::yield_now()).await;
        running.beside(tokio::task::yield_now()).await;
        running.end().await;
    }

    /// What the other side wrote before it closed.
    pub(in crate::health) async fn rest_of(mut io: DuplexStream) -> Vec<u8> {
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.expect("closed in order");
        rest
    }
}
