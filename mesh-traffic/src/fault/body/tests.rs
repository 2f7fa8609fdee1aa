use std::convert::Infallible;
use std::num::NonZeroU64;
use std::time::Duration;

use http::HeaderMap;
use http_body_util::BodyExt;
use mesh_core::body::Body as MeshBody;

use super::*;
use crate::fault::FaultSwitch;

/// A body of these frames, whose end is not known before it is there.
struct Pieces(std::vec::IntoIter<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

fn pieces(pieces: &'static [&'static str], trailers: bool) -> Pieces {
    let data = pieces
        .iter()
        .map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    let trailers = trailers.then(|| Frame::trailers(HeaderMap::new()));
    let frames: Vec<_> = data.chain(trailers).collect();
    Pieces(frames.into_iter())
}

fn fault(reset: Option<u64>, throttle: Option<u64>) -> Fault {
    Fault {
        reset,
        throttle: throttle.and_then(NonZeroU64::new),
        ..Fault::default()
    }
}

fn troubled<B: Body>(body: B, fault: &Fault, switch: &FaultSwitch) -> FaultBody<B> {
    FaultBody::new(body, fault, switch.begin().expect("room"))
}

/// What came of it, and whether it ended well.
async fn read<B>(mut body: FaultBody<B>) -> (String, bool)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    text.push_str(std::str::from_utf8(&data).expect("text"));
                }
            }
            Err(error) => {
                assert_eq!(Error::wrap(error).kind(), ErrorKind::FaultInjected);
                assert!(body.is_end_stream());
                assert!(body.frame().await.is_none(), "nothing comes after that");
                return (text, false);
            }
        }
    }
    (text, true)
}

#[tokio::test]
async fn a_body_breaks_off_after_so_many_bytes() {
    let switch = FaultSwitch::default();
    for (after, expected) in [(0, ""), (1, "a"), (3, "abc"), (5, "abcde"), (8, "abcdefgh")] {
        let body = troubled(
            pieces(&["abcd", "efgh", "ij"], true),
            &fault(Some(after), None),
            &switch,
        );
        assert_eq!(read(body).await, (expected.to_owned(), false), "{after}");
    }
}

#[tokio::test]
async fn a_body_that_is_shorter_breaks_off_before_its_end() {
    let switch = FaultSwitch::default();
    let known = troubled(MeshBody::full("abcd"), &fault(Some(4), None), &switch);
    assert_eq!(known.size_hint().exact(), Some(4));
    // A client that was told the length would take it for whole.
    assert_eq!(read(known).await, (String::new(), false));
    for trailers in [false, true] {
        let unknown = troubled(pieces(&["abcd"], trailers), &fault(Some(99), None), &switch);
        assert_eq!(read(unknown).await, ("abcd".to_owned(), false));
    }
}

#[tokio::test]
async fn a_response_without_a_body_stays_whole() {
    let switch = FaultSwitch::default();
    let body = troubled(MeshBody::empty(), &fault(Some(0), Some(1)), &switch);
    assert!(body.is_end_stream());
    assert_eq!(switch.active(), 0);
    assert_eq!(read(body).await, (String::new(), true));
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_comes_whole_and_as_fast_as_it_may() {
    let switch = FaultSwitch::default();
    let start = Instant::now();
    let body = troubled(MeshBody::full("x".repeat(400)), &fault(None, Some(100)), &switch);
    assert_eq!(body.size_hint().exact(), Some(400));
    let (text, whole) = read(body).await;
    assert_eq!((text.len(), whole), (400, true));
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(3_900)..=Duration::from_millis(4_100)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_can_break_off_too() {
    let switch = FaultSwitch::default();
    let start = Instant::now();
    let body = troubled(
        MeshBody::full("x".repeat(400)),
        &fault(Some(200), Some(100)),
        &switch,
    );
    let (text, whole) = read(body).await;
    assert_eq!((text.len(), whole), (200, false));
    assert!(start.elapsed() >= Duration::from_millis(1_900));
}

#[tokio::test(start_paused = true)]
async fn switched_off_the_rest_comes_as_it_is() {
    let switch = FaultSwitch::default();
    let start = Instant::now();
    let mut body = troubled(
        MeshBody::full("x".repeat(400)),
        &fault(Some(300), Some(1)),
        &switch,
    );
    let first = body.frame().await.expect("a piece").expect("data");
    assert_eq!(first.into_data().map(|data| data.len()).ok(), Some(1));
    switch.set(false);
    let (text, whole) = read(body).await;
    assert_eq!((text.len(), whole), (399, true));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn it_is_under_way_until_the_body_is_dropped() {
    let switch = FaultSwitch::default();
    let body = troubled(MeshBody::full("abcd"), &fault(Some(1), None), &switch);
    assert_eq!(switch.active(), 1);
    drop(body);
    assert_eq!(switch.active(), 0);
}
