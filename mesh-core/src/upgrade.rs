//! Upgrades: requests that ask for one, and tunnels, which a connection is when both sides agreed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::UPGRADE;
use http::{HeaderMap, Method};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

/// Whether a request asks for a tunnel: for an upgrade of HTTP/1.1, as to WebSocket, or by `CONNECT`. What goes through it
/// is not seen, so such a request is not copied, and not sent twice.
///
/// ```
/// use http::{HeaderMap, Method};
/// use mesh_core::upgrade::asks_for_tunnel;
///
/// let mut headers = HeaderMap::new();
/// assert!(asks_for_tunnel(&Method::CONNECT, &headers));
/// assert!(!asks_for_tunnel(&Method::GET, &headers));
/// headers.insert("upgrade", "websocket".parse()?);
/// assert!(asks_for_tunnel(&Method::GET, &headers));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn asks_for_tunnel(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::CONNECT || headers.contains_key(UPGRADE)
}

/// Carries bytes between two upgraded connections until one side closes both ways or nothing moves for `idle`.
/// Bytes that came with the upgrade are carried too.
///
/// Returns how many bytes went from the first to the second and back.
///
/// # Errors
/// If one of the upgrades does not happen or a connection breaks; [`io::ErrorKind::TimedOut`] after `idle`.
pub async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, idle: Duration) -> io::Result<(u64, u64)> {
    let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
    carry(TokioIo::new(client), TokioIo::new(upstream), idle).await
}

/// As [`tunnel`], for byte streams of any kind.
async fn carry(
    client: impl AsyncRead + AsyncWrite + Unpin,
    upstream: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) -> io::Result<(u64, u64)> {
    let moved = Arc::new(AtomicBool::new(false));
    let mut client = Moving {
        io: client,
        moved: Arc::clone(&moved),
    };
    let mut upstream = Moving {
        io: upstream,
        moved: Arc::clone(&moved),
    };
    // Looking twice in the time cuts a still tunnel after one to one and a half of it, with no timer a read.
    let still = async {
        let mut times = 0;
        while times < 2 {
            tokio::time::sleep(idle / 2).await;
            times = if moved.swap(false, Ordering::Relaxed) {
                0
            } else {
                times + 1
            };
        }
    };
    tokio::select! {
        carried = copy_bidirectional(&mut client, &mut upstream) => carried,
        () = still => Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing moved for {idle:?}"))),
    }
}

/// A byte stream that tells when a byte moves.
struct Moving<Io> {
    io: Io,
    moved: Arc<AtomicBool>,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Moving<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Moving<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_carries_both_ways_until_both_sides_close() {
        let ((mut client, near), (far, mut upstream)) = (duplex(64), duplex(64));
        let tunnel = tokio::spawn(carry(near, far, Duration::from_secs(60)));
        client.write_all(b"ping").await.expect("open");
        let mut got = [0; 4];
        upstream.read_exact(&mut got).await.expect("carried");
        assert_eq!(&got, b"ping");
        upstream.write_all(b"pong!").await.expect("open");
        let mut got = [0; 5];
        client.read_exact(&mut got).await.expect("carried");
        drop((client, upstream));
        assert_eq!(tunnel.await.expect("no panic").expect("clean"), (4, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_still_tunnel_is_cut_and_a_moving_one_is_not() {
        let ((mut client, near), (far, _upstream)) = (duplex(64), duplex(64));
        let began = Instant::now();
        let tunnel = tokio::spawn(carry(near, far, Duration::from_secs(60)));
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(40)).await;
            client.write_all(b"x").await.expect("open");
        }
        let error = tunnel.await.expect("no panic").expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let after_last = began.elapsed() - Duration::from_secs(200);
        assert!(
            after_last >= Duration::from_secs(55) && after_last <= Duration::from_secs(95),
            "{after_last:?}"
        );
    }
}
