//! HTTP/1.1 or HTTP/2: the first bytes tell.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What was read to find out, to be read again.
pub(super) struct Sniffed {
    pub(super) http2: bool,
    pub(super) read: Bytes,
}

/// Reads until it is clear which protocol the client speaks. Nothing if it said nothing, or too slowly.
pub(super) async fn sniff(
    io: &mut (impl AsyncRead + Unpin),
    first: Duration,
    rest: Duration,
) -> io::Result<Option<Sniffed>> {
    let mut read = BytesMut::with_capacity(1024);
    let Ok(n) = timeout(first, io.read_buf(&mut read)).await else {
        return Ok(None);
    };
    if n? == 0 {
        return Ok(None);
    }
    let more = async {
        while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
            if io.read_buf(&mut read).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    match timeout(rest, more).await {
        Ok(done) => done?,
        Err(_) => return Ok(None),
    }
    Ok(Some(Sniffed {
        http2: read.starts_with(PREFACE),
        read: read.freeze(),
    }))
}
