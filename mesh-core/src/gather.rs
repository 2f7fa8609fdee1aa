//! Small pieces are sent as one.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};

/// What is copied at most: a head and a small body. Beyond it the system call costs less than the copy.
const SMALL: usize = 4096;

/// Writes several pieces: small ones copied into one, since `send` costs the kernel less than `writev` does.
pub fn poll_write_gathered(
    mut io: Pin<&mut (impl AsyncWrite + ?Sized)>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [one] = pieces {
        return io.as_mut().poll_write(cx, one);
    }
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total > SMALL {
        return io.as_mut().poll_write_vectored(cx, pieces);
    }
    // Not zeroed first: that would take longer than the copy.
    let mut space = [MaybeUninit::uninit(); SMALL];
    let mut whole = ReadBuf::uninit(&mut space);
    pieces.iter().for_each(|piece| whole.put_slice(piece));
    io.as_mut().poll_write(cx, whole.filled())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_whatever_their_size() {
        for (a, b) in [(1, 0), (10, 20), (SMALL, 0), (SMALL, 1), (0, 9000)] {
            let (mut near, mut far) = duplex(64 * 1024);
            let pieces = [vec![b'a'; a], vec![b'b'; b]];
            let mut sent = 0;
            while sent < a + b {
                let whole: Vec<u8> = pieces.concat().split_off(sent);
                let (first, second) = whole.split_at(whole.len() / 3);
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                sent += poll_fn(|cx| poll_write_gathered(Pin::new(&mut near), cx, &slices))
                    .await
                    .expect("open");
            }
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("readable");
            assert_eq!(got, pieces.concat());
        }
    }
}
