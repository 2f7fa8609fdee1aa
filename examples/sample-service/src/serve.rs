//! Serving until told to stop, and ending well.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves HTTP/1.1 and HTTP/2 with prior knowledge until `stop` resolves, then finishes what is in flight:
/// answers say `Connection: close`, HTTP/2 connections get a `GOAWAY`, no new ones are accepted.
///
/// # Errors
/// If requests are still in flight `limit` after `stop`; they are cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    limit: Duration,
) -> io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        stop.await;
        // Nobody listens when serving has failed already.
        let _ = stopping.send(());
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(stop);
    let late = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(limit).await,
            // Serving has ended.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = served => ended,
        () = late => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("requests were still in flight after {limit:?} and were cut"),
        )),
    }
}
