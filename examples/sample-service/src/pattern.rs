//! Bytes whose place can be told from their value, so that a receiver notices what was lost or swapped.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;

/// No power of two, so that a whole lost buffer shifts what follows.
const PERIOD: u64 = 251;

/// A chunk holds whole periods, so that all chunks are one piece of memory.
const CHUNK: u64 = PERIOD * 256;

/// The byte at place `n` is `n % 251`.
///
/// ```
/// use sample_service::Pattern;
///
/// let mut received = Pattern::default();
/// assert!(received.check(&[0, 1, 2]));
/// assert!(received.check(&[3]));
/// assert!(!received.check(&[5]), "the byte at place 4 is 4");
/// assert_eq!(received.checked(), 4);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    checked: u64,
}

impl Pattern {
    /// The first `count` bytes, in chunks.
    pub fn stream(count: u64) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let chunk: Bytes = (0..CHUNK).map(byte_at).collect();
        unfold(count, move |left| {
            let take = left.min(CHUNK);
            // CHUNK fits: `take` is not larger.
            let part = (take > 0).then(|| (Ok(chunk.slice(..take as usize)), left - take));
            async { part }
        })
    }

    /// Whether these are the bytes that come next. Stays where it is if not.
    pub fn check(&mut self, bytes: &[u8]) -> bool {
        let right = (self.checked..)
            .zip(bytes)
            .all(|(place, &byte)| byte_at(place) == byte);
        if right {
            self.checked += bytes.len() as u64;
        }
        right
    }

    /// How many bytes were right so far.
    pub fn checked(&self) -> u64 {
        self.checked
    }
}

fn byte_at(place: u64) -> u8 {
    // Below 251.
    (place % PERIOD) as u8
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_stream_passes_its_own_check_over_the_borders_of_chunks() {
        let mut received = Pattern::default();
        let mut stream = std::pin::pin!(Pattern::stream(CHUNK * 2 + 7));
        while let Some(Ok(chunk)) = stream.next().await {
            assert!(received.check(&chunk));
        }
        assert_eq!(received.checked(), CHUNK * 2 + 7);
    }

    #[test]
    fn a_lost_power_of_two_is_noticed() {
        let bytes: Vec<u8> = (0..200_000).map(byte_at).collect();
        let mut received = Pattern::default();
        assert!(received.check(&bytes[..1024]));
        assert!(!received.check(&bytes[1024 + 65536..]));
    }
}
