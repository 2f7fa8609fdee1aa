use http_body_util::BodyExt;

use super::*;

/// Pieces that come one at a time, with their lengths known or not.
struct Pieces {
    frames: Vec<Frame<Bytes>>,
    exact: bool,
    fails: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if self.frames.is_empty() {
            return Poll::Ready(self.fails.then_some(Err("the client went away")));
        }
        Poll::Ready(Some(Ok(self.frames.remove(0))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.exact {
            true => SizeHint::with_exact(self.frames.iter().map(length).sum()),
            false => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exact && self.frames.is_empty()
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

fn pieces(texts: &[&'static str], exact: bool) -> Pieces {
    Pieces {
        frames: texts
            .iter()
            .map(|text| Frame::data(Bytes::from_static(text.as_bytes())))
            .collect(),
        exact,
        fails: false,
    }
}

async fn text(body: Body) -> Result<String, BoxError> {
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec())?)
}

#[tokio::test]
async fn a_body_is_the_same_for_every_try() {
    for exact in [false, true] {
        let mut replay = Replay::new(Body::new(pieces(&["one ", "two ", "three"], exact)), 64);
        for _ in 0..3 {
            let body = replay.next().expect("short enough");
            assert_eq!(body.size_hint().exact(), exact.then_some(13));
            assert_eq!(text(body).await.expect("whole"), "one two three");
        }
    }
}

#[tokio::test]
async fn a_try_that_read_half_is_followed_by_one_that_reads_all() {
    let mut replay = Replay::new(Body::new(pieces(&["one ", "two ", "three"], true)), 64);
    let mut first = replay.next().expect("short enough");
    let frame = first.frame().await.expect("a piece").expect("no error");
    assert_eq!(frame.into_data().ok().as_deref(), Some(&b"one "[..]));
    let second = replay.next().expect("short enough");
    assert_eq!(second.size_hint().exact(), Some(13));
    let refused = first.frame().await.expect("an end").expect_err("it is over");
    assert!(refused.to_string().contains("sent again"), "{refused}");
    assert_eq!(text(second).await.expect("whole"), "one two three");
}

#[tokio::test]
async fn a_body_that_outgrows_the_cap_is_sent_on_but_not_again() {
    let mut replay = Replay::new(Body::new(pieces(&["12345", "678", "9"], false)), 8);
    let first = replay.next().expect("nothing read yet");
    assert!(replay.can_repeat());
    assert_eq!(text(first).await.expect("whole"), "123456789");
    assert!(!replay.can_repeat());
    assert!(replay.next().is_none());
}

#[tokio::test]
async fn a_body_of_exactly_the_cap_is_kept() {
    let mut replay = Replay::new(Body::new(pieces(&["12345", "678"], false)), 8);
    for _ in 0..2 {
        assert_eq!(
            text(replay.next().expect("kept")).await.expect("whole"),
            "12345678"
        );
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_not_touched() {
    let mut replay = Replay::new(Body::new(pieces(&["123456789"], true)), 8);
    assert!(!replay.can_repeat());
    assert_eq!(
        text(replay.next().expect("once")).await.expect("whole"),
        "123456789"
    );
    assert!(replay.next().is_none());
}

#[tokio::test]
async fn a_second_try_may_outgrow_the_cap_that_the_first_did_not_reach() {
    let mut replay = Replay::new(Body::new(pieces(&["1234", "5678", "9"], false)), 8);
    let mut first = replay.next().expect("nothing read yet");
    first.frame().await.expect("a piece").expect("no error");
    let second = replay.next().expect("4 of 8");
    assert_eq!(text(second).await.expect("whole"), "123456789");
    assert!(!replay.can_repeat());
}

#[tokio::test]
async fn trailers_are_sent_again_as_well() {
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("checksum"),
        http::HeaderValue::from_static("7"),
    )]);
    let mut source = pieces(&["one"], false);
    source.frames.push(Frame::trailers(trailers.clone()));
    let mut replay = Replay::new(Body::new(source), 64);
    let mut first = replay.next().expect("short enough");
    // As a connection does that knows trailers to be the end.
    for _ in 0..2 {
        first.frame().await.expect("a frame").expect("no error");
    }
    assert!(first.is_end_stream());
    for body in [replay.beside(), replay.next()] {
        let whole = body.expect("kept").collect().await.expect("whole");
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "one");
    }
}

#[tokio::test]
async fn long_trailers_count_as_well() {
    let long = http::HeaderValue::from_str(&"x".repeat(100)).expect("a value");
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("checksum"), long)]);
    let mut source = pieces(&[], false);
    source.frames.push(Frame::trailers(trailers));
    let mut replay = Replay::new(Body::new(source), 64);
    replay
        .next()
        .expect("nothing read yet")
        .collect()
        .await
        .expect("whole");
    assert!(!replay.can_repeat());
}

#[tokio::test]
async fn a_body_that_broke_is_not_sent_again() {
    let mut source = pieces(&["one"], false);
    source.fails = true;
    let mut replay = Replay::new(Body::new(source), 64);
    assert!(text(replay.next().expect("nothing read yet")).await.is_err());
    assert!(replay.next().is_none());
}

#[tokio::test]
async fn a_request_without_a_body_has_none_at_each_try() {
    let mut replay = Replay::new(Body::empty(), 0);
    assert!(replay.next().expect("nothing to keep").is_end_stream());
    assert!(replay.beside().expect("nothing to keep").is_end_stream());
    assert!(replay.can_repeat());
}

#[tokio::test]
async fn two_bodies_stand_beside_each_other_once_all_is_read() {
    let mut replay = Replay::new(Body::new(pieces(&["one ", "two"], true)), 64);
    let first = replay.next().expect("short enough");
    assert!(replay.beside().is_none(), "not read yet");
    assert_eq!(text(first).await.expect("whole"), "one two");
    let (left, right) = (replay.beside().expect("whole"), replay.beside().expect("whole"));
    assert_eq!(text(left).await.expect("whole"), "one two");
    assert_eq!(text(right).await.expect("whole"), "one two");
}

#[tokio::test]
async fn a_body_that_nobody_will_send_again_is_not_kept_and_is_read_on_as_it_was() {
    let mut replay = Replay::new(Body::new(pieces(&["one ", "two ", "three"], true)), 64);
    let mut body = replay.next().expect("short enough");
    body.frame().await.expect("a piece").expect("no error");
    let Replay::Kept(kept) = &replay else {
        panic!("it has a body")
    };
    let kept = Arc::clone(kept);
    drop(replay);
    assert_eq!(text(body).await.expect("whole"), "two three");
    assert_eq!(kept.lock().read, b"");

    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("checksum"),
        http::HeaderValue::from_static("7"),
    )]);
    let mut source = pieces(&["one"], false);
    source.frames.push(Frame::trailers(trailers.clone()));
    let mut replay = Replay::new(Body::new(source), 64);
    replay
        .next()
        .expect("short enough")
        .collect()
        .await
        .expect("whole");
    let again = replay.next().expect("short enough");
    drop(replay);
    let whole = again.collect().await.expect("whole");
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes(), "one");
}
