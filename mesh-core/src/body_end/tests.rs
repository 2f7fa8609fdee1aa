use std::cell::RefCell;
use std::sync::mpsc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full, StreamBody};

use super::*;

type Told = mpsc::Receiver<End>;

fn watched<B: Body>(body: B) -> (EndBody<B, impl OnEnd>, Told) {
    let (tell, told) = mpsc::channel();
    (
        EndBody::new(body, move |end| tell.send(end).expect("the test listens")),
        told,
    )
}

fn stream(
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
) -> impl Body<Data = Bytes, Error = &'static str> + Unpin {
    StreamBody::new(futures_util::stream::iter(frames))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(text.into()))
}

fn trailers(status: &'static str) -> Result<Frame<Bytes>, &'static str> {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", HeaderValue::from_static(status));
    Ok(Frame::trailers(fields))
}

fn told(told: &Told) -> Vec<End> {
    told.try_iter().collect()
}

#[tokio::test]
async fn a_body_that_is_read_to_its_end_is_complete() {
    let (body, ends) = watched(stream(vec![data("a"), data("b")]));
    assert_eq!(body.collect().await.expect("no error").to_bytes(), "ab");
    assert_eq!(
        told(&ends),
        [End::Complete(None)],
        "and only once, though it was dropped too"
    );
}

#[tokio::test]
async fn the_end_is_told_with_the_last_frame_if_it_is_known_to_be_the_last() {
    let (mut body, ends) = watched(Full::new(Bytes::from("a")));
    assert_eq!(told(&ends), []);
    assert!(body.frame().await.is_some());
    assert_eq!(told(&ends), [End::Complete(None)], "nobody has to ask again");
}

#[tokio::test]
async fn a_body_that_is_empty_from_the_start_is_complete_at_once() {
    let (body, ends) = watched(Full::new(Bytes::new()));
    assert_eq!(told(&ends), [End::Complete(None)]);
    drop(body);
    assert_eq!(told(&ends), []);
}

#[tokio::test]
async fn a_grpc_body_tells_the_status_in_its_trailers() {
    let (body, ends) = watched(stream(vec![data("a"), trailers("14")]));
    body.collect().await.expect("no error");
    assert_eq!(told(&ends), [End::Complete(Some(GrpcCode::UNAVAILABLE))]);
}

#[tokio::test]
async fn a_body_that_breaks_has_failed() {
    let (mut body, ends) = watched(stream(vec![data("a"), Err("broken")]));
    assert!(body.frame().await.expect("a frame").is_ok());
    assert_eq!(told(&ends), []);
    assert!(body.frame().await.expect("a frame").is_err());
    assert_eq!(told(&ends), [End::Failed]);
    drop(body);
    assert_eq!(told(&ends), []);
}

#[tokio::test]
async fn a_body_that_nobody_reads_on_is_dropped() {
    let (mut body, ends) = watched(stream(vec![data("a"), data("b")]));
    assert!(body.frame().await.is_some());
    drop(body);
    assert_eq!(told(&ends), [End::Dropped]);
}

#[test]
fn length_and_end_are_the_inner_bodys() {
    let (body, _listening) = watched(Full::new(Bytes::from("abc")));
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    drop(body);
}

/// Who was told: of so many bytes, or how the body ended and when.
type Note = (&'static str, usize, Option<(End, Instant)>);

struct Noting<'n>(&'static str, &'n RefCell<Vec<Note>>);

impl OnEnd for Noting<'_> {
    fn on_data(&mut self, bytes: usize) {
        self.1.borrow_mut().push((self.0, bytes, None));
    }

    fn on_end(self, end: End, at: Instant) {
        self.1.borrow_mut().push((self.0, 0, Some((end, at))));
    }
}

#[tokio::test]
async fn two_are_told_of_the_same_body_in_order_and_of_the_same_time() {
    let notes = RefCell::default();
    let body = EndBody::new(
        stream(vec![data("abc")]),
        Both(Noting("first", &notes), Noting("second", &notes)),
    );
    body.collect().await.expect("no error");
    let notes = notes.take();
    let [(_, _, Some((end, at))), _] = notes[2..] else {
        panic!("{notes:?}");
    };
    assert_eq!(end, End::Complete(None));
    assert_eq!(
        notes,
        [
            ("first", 3, None),
            ("second", 3, None),
            ("first", 0, Some((end, at))),
            ("second", 0, Some((end, at)))
        ]
    );
}
