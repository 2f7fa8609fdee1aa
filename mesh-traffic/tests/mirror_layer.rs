//! Copies of requests: the request never waits for them, and they are whole or broken off.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::context::Target;
use mesh_core::testkit::NotReadyClone;
use mesh_core::{BoxError, MeshContext};
use mesh_traffic::fault::Chance;
use mesh_traffic::mirror::{Ending, Mirror, MirrorBuilder, MirrorLayer, TeeBody, X_MESH_MIRROR};
use proptest::prelude::*;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// A body whose frames are sent by hand.
struct Fed(mpsc::UnboundedReceiver<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

fn fed() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>, Body) {
    let (feed, frames) = mpsc::unbounded_channel();
    (feed, Body::new(Fed(frames)))
}

/// What came of a request at a service: its head, and its body if that was whole.
type Seen = Arc<Mutex<Vec<(Request<()>, Result<Bytes, String>)>>>;

/// A service that reads a body and remembers it.
fn reading<B>(
    seen: &Seen,
) -> impl Service<
    Request<B>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    let seen = Arc::clone(seen);
    service_fn(move |request: Request<B>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .map_err(|e| e.to_string());
            seen.lock()
                .expect("no panic")
                .push((Request::from_parts(head, ()), body));
            Ok(Response::new(Body::full("an answer")))
        }
    })
}

/// A service that never answers.
fn hanging() -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(async |request: Request<Body>| {
        std::future::pending::<()>().await;
        drop(request);
        Ok(Response::new(Body::empty()))
    })
}

fn all() -> MirrorBuilder {
    Mirror::builder(Chance::ALWAYS)
}

fn bodies(seen: &Seen) -> Vec<Result<Bytes, String>> {
    let seen = seen.lock().expect("no panic");
    seen.iter().map(|(_, body)| body.clone()).collect()
}

/// Lets copies do what they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_the_request_as_it_was_and_its_answer_goes_nowhere() {
    let (request_seen, copy_seen) = (Seen::default(), Seen::default());
    let mirror = all().build();
    let service = MirrorLayer::new(mirror.clone(), reading::<Body>(&copy_seen))
        .layer(reading::<TeeBody<Body>>(&request_seen));
    let (feed, body) = fed();
    let mut context = MeshContext::new(Instant::now());
    context.target = Some(Target::service("orders".parse().expect("a name")));
    let request = Request::post("/orders?x=1")
        .header("host", "orders.example.org")
        .header("x-tag", "a")
        .header("x-tag", "b")
        .header("expect", "100-continue")
        .extension(context)
        .body(body)
        .expect("a request");
    for piece in ["one, ", "two, ", "three"] {
        feed.send(Ok(Frame::data(piece.into()))).expect("read");
    }
    drop(feed);
    let answer = service.oneshot(request).await.expect("an answer");
    assert!(!answer.headers().contains_key(X_MESH_MIRROR));
    settle().await;
    assert_eq!(bodies(&request_seen), [Ok("one, two, three".into())]);
    assert_eq!(bodies(&copy_seen), [Ok("one, two, three".into())]);
    let request = request_seen.lock().expect("no panic").remove(0).0;
    let copy = copy_seen.lock().expect("no panic").remove(0).0;
    assert_eq!((copy.method(), copy.uri()), (request.method(), request.uri()));
    let mut expected: HeaderMap = request.headers().clone();
    expected.remove("expect");
    expected.insert(X_MESH_MIRROR, "true".parse().expect("a value"));
    assert_eq!(*copy.headers(), expected);
    let context = copy.extensions().get::<MeshContext>().expect("it goes along");
    assert!(context.target.is_none(), "that is the request's own");
    assert_eq!(mirror.counts().of(Ending::Answered), 1);
    assert_eq!(mirror.counts().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_hangs_costs_the_request_no_time_and_little_memory() {
    const PIECES: usize = 1000;
    let seen = Seen::default();
    let mirror = all().buffer(64 << 10).build();
    let service = MirrorLayer::new(mirror.clone(), hanging()).layer(reading::<TeeBody<Body>>(&seen));
    let (feed, body) = fed();
    let piece = Bytes::from(vec![7; 16 << 10]);
    for _ in 0..PIECES {
        feed.send(Ok(Frame::data(piece.clone()))).expect("read");
    }
    drop(feed);
    let start = Instant::now();
    service
        .oneshot(Request::post("/").body(body).expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        bodies(&seen)[0].as_ref().map(Bytes::len),
        Ok(PIECES * piece.len())
    );
    settle().await;
    let counts = mirror.counts();
    assert_eq!((counts.of(Ending::Lagging), counts.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_keeps_up_may_be_larger_than_the_buffer() {
    let (seen, copies) = (Seen::default(), Seen::default());
    let mirror = all().buffer(32 << 10).build();
    let service =
        MirrorLayer::new(mirror.clone(), reading::<Body>(&copies)).layer(reading::<TeeBody<Body>>(&seen));
    let (feed, body) = fed();
    let answer = tokio::spawn(service.oneshot(Request::post("/").body(body).expect("a request")));
    for _ in 0..64 {
        feed.send(Ok(Frame::data(Bytes::from(vec![1; 16 << 10]))))
            .expect("read");
        settle().await;
    }
    drop(feed);
    answer.await.expect("no panic").expect("an answer");
    settle().await;
    assert_eq!(bodies(&copies)[0].as_ref().map(Bytes::len), Ok(1 << 20));
    assert_eq!(mirror.counts().of(Ending::Answered), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_off_breaks_its_copy_off() {
    for gives_up in [false, true] {
        let (seen, copies) = (Seen::default(), Seen::default());
        let mirror = all().build();
        let service =
            MirrorLayer::new(mirror.clone(), reading::<Body>(&copies)).layer(reading::<TeeBody<Body>>(&seen));
        let (feed, body) = fed();
        let answer = tokio::spawn(service.oneshot(Request::post("/").body(body).expect("a request")));
        feed.send(Ok(Frame::data("a beginning".into()))).expect("read");
        settle().await;
        match gives_up {
            false => feed.send(Err("the client is gone".into())).expect("read"),
            true => answer.abort(),
        }
        settle().await;
        assert_eq!(mirror.counts().of(Ending::CutShort), 1, "{gives_up}");
        let copies = bodies(&copies);
        assert!(copies.iter().all(Result::is_err), "{copies:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_what_was_announced_and_no_further_has_the_whole() {
    /// Its length is known, its end is not told before it is asked for.
    struct Known(VecDeque<Bytes>, u64);

    impl http_body::Body for Known {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.1)
        }
    }

    let copies = Seen::default();
    let mirror = all().build();
    let stops = service_fn(async |mut request: Request<TeeBody<Body>>| {
        for _ in 0..2 {
            request
                .body_mut()
                .frame()
                .await
                .expect("there is one")
                .expect("well");
        }
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let service = MirrorLayer::new(mirror.clone(), reading::<Body>(&copies)).layer(stops);
    let body = Known(["ab".into(), "cd".into()].into(), 4);
    let request = Request::post("/").body(Body::new(body)).expect("a request");
    service.oneshot(request).await.expect("an answer");
    settle().await;
    assert_eq!(bodies(&copies), [Ok("abcd".into())]);
    assert_eq!(mirror.counts().of(Ending::Answered), 1);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_under_way_each_for_so_long() {
    let mirror = all().max_in_flight(3).timeout(2 * SECOND).build();
    let inner =
        service_fn(async |_: Request<TeeBody<Body>>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let service = MirrorLayer::new(mirror.clone(), hanging()).layer(inner);
    let ask = async |count: usize| {
        for _ in 0..count {
            let asked = service.clone().oneshot(Request::new(Body::empty()));
            asked.await.expect("an answer");
        }
    };
    ask(5).await;
    settle().await;
    assert_eq!(mirror.counts().in_flight(), 3);
    assert_eq!(mirror.counts().of(Ending::Busy), 2);
    sleep(2 * SECOND).await;
    settle().await;
    assert_eq!(mirror.counts().of(Ending::TimedOut), 3);
    ask(1).await;
    assert_eq!(mirror.counts().in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_fails_is_counted_and_a_long_answer_is_not_read_to_its_end() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let mirror = all()
        .max_drained(10)
        .observe(move |ending| telling.lock().expect("no panic").push(ending))
        .build();
    let inner =
        || service_fn(async |_: Request<TeeBody<Body>>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let fails = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>(std::io::Error::other("no")));
    let asked = MirrorLayer::new(mirror.clone(), fails).layer(inner());
    asked
        .oneshot(Request::new(Body::empty()))
        .await
        .expect("an answer");
    settle().await;

    // It never ends, and what was sent of it is more than is read.
    let (feed, body) = fed();
    feed.send(Ok(Frame::data("more than ten bytes".into())))
        .expect("kept");
    let body = Arc::new(Mutex::new(Some(body)));
    let endless = service_fn(move |_: Request<Body>| {
        let body = body.lock().expect("no panic").take().unwrap_or_default();
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let asked = MirrorLayer::new(mirror.clone(), endless).layer(inner());
    asked
        .oneshot(Request::new(Body::empty()))
        .await
        .expect("an answer");
    settle().await;
    assert_eq!(
        *told.lock().expect("no panic"),
        [Ending::Failed, Ending::Answered]
    );
    assert!(feed.is_closed(), "nobody reads it any more");
}

#[tokio::test(start_paused = true)]
async fn what_becomes_a_tunnel_and_what_is_not_of_the_share_is_not_copied() {
    let copies = Seen::default();
    for (chance, request) in [
        (Chance::ALWAYS, Request::connect("host:1")),
        (Chance::ALWAYS, Request::get("/").header("upgrade", "websocket")),
        (Chance::NEVER, Request::get("/")),
    ] {
        let mirror = Mirror::builder(chance).build();
        let inner =
            service_fn(async |_: Request<TeeBody<Body>>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let service = MirrorLayer::new(mirror, reading::<Body>(&copies)).layer(inner);
        let request = request.body(Body::empty()).expect("a request");
        service.oneshot(request).await.expect("an answer");
        settle().await;
    }
    assert!(bodies(&copies).is_empty());
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner =
        service_fn(async |_: Request<TeeBody<Body>>| Ok::<_, Infallible>(Response::new(Body::empty())));
    // The client of copies is made ready as well.
    let client = NotReadyClone::new(service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let mirror = all().build();
    let mut service = MirrorLayer::new(mirror.clone(), client).layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        ready.call(Request::new(Body::empty())).await.expect("an answer");
    }
    settle().await;
    assert_eq!(mirror.counts().of(Ending::Answered), 3);
}

/// What a client and a mirror do, in any order.
#[derive(Clone, Debug)]
enum Event {
    /// The client sends so much.
    Send(usize),
    /// The mirror reads one piece, if there is one.
    Read,
    /// The client breaks off.
    Break,
    /// It is done.
    End,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..2000_usize).prop_map(Event::Send),
        4 => Just(Event::Read),
        1 => Just(Event::Break),
        1 => Just(Event::End),
    ]
}

proptest! {
    #[test]
    fn a_copy_is_whole_or_it_is_an_error(events in proptest::collection::vec(event(), 0..40), buffer in 256..4096_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let (seen, copies) = (Seen::default(), Seen::default());
            let step = Arc::new(Notify::new());
            let mirror = all().buffer(buffer).build();
            let slow = reading::<Body>(&copies);
            let stepping = Arc::clone(&step);
            let client = service_fn(move |request: Request<Body>| {
                let (slow, step) = (slow.clone(), Arc::clone(&stepping));
                async move { slow.oneshot(request.map(|body| Body::new(Stepped { body, step: Box::pin(wait(step)), may: false }))).await }
            });
            let service = MirrorLayer::new(mirror.clone(), client).layer(reading::<TeeBody<Body>>(&seen));
            let (feed, body) = fed();
            let request = Request::post("/").body(body).expect("a request");
            let answer = tokio::spawn(service.oneshot(request));
            settle().await;
            let mut feed = Some(feed);
            for event in events {
                match (event, &feed) {
                    (Event::Send(size), Some(open)) => {
                        // The request itself is never held back.
                        let _ = open.send(Ok(Frame::data(Bytes::from(vec![b'x'; size]))));
                    }
                    (Event::Break, Some(open)) => {
                        let _ = open.send(Err("broken".into()));
                        feed = None;
                    }
                    (Event::End, _) => feed = None,
                    (Event::Read, _) => step.notify_one(),
                    _ => {}
                }
                settle().await;
            }
            drop(feed);
            settle().await;
            answer.await.expect("no panic").expect("an answer, whatever the copy does");
            for _ in 0..100 {
                step.notify_one();
                settle().await;
            }
            sleep(20 * SECOND).await;
            settle().await;
            let (request, copy) = (bodies(&seen).remove(0), bodies(&copies).pop());
            if let Some(Ok(copy)) = &copy {
                assert_eq!(Ok(copy), request.as_ref(), "whole, or no copy");
            }
            let counts = mirror.counts();
            assert_eq!(Ending::ALL.iter().map(|ending| counts.of(*ending)).sum::<u64>(), 1);
            assert_eq!(counts.in_flight(), 0);
            assert_eq!(counts.of(Ending::Answered) == 1, matches!(copy, Some(Ok(_))), "{counts:?}");
        });
    }
}

async fn wait(step: Arc<Notify>) -> Arc<Notify> {
    step.notified().await;
    step
}

/// A body of which one piece is read at each step.
struct Stepped {
    body: Body,
    step: Pin<Box<dyn Future<Output = Arc<Notify>> + Send>>,
    may: bool,
}

impl http_body::Body for Stepped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if !this.may {
            let Poll::Ready(step) = this.step.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            this.step = Box::pin(wait(step));
            this.may = true;
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_ready() {
            this.may = false;
        }
        frame
    }
}
