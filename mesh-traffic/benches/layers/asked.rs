//! The request, the service that answers it at once, and how it is asked.

use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use divan::{Bencher, black_box};
use http::{Request, Response};
use mesh_core::MeshContext;
use mesh_core::body::Body;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::{Service, service_fn};

/// More than a benchmark asks for.
pub(crate) const ENOUGH: u32 = 1_000_000_000;

pub(crate) fn request(received: Instant) -> Request<Body> {
    let mut request = Request::get("http://orders/7")
        .header("accept", "*/*")
        .header("user-agent", "bench/1")
        .header("x-tenant", "acme")
        .body(Body::empty())
        .expect("a request");
    request.extensions_mut().insert(MeshContext::new(received));
    request
}

pub(crate) fn at_once<B>(request: Request<B>) -> Ready<Result<Response<Body>, Infallible>> {
    black_box(request);
    ready(Ok(Response::new(Body::empty())))
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Asks the service, and polls its answer until it is there. Timers are at hand.
pub(crate) fn ask<S: Service<Request<Body>>>(bencher: Bencher, service: S) {
    ask_made(bencher, || service);
}

/// The same, of a service that needs a timer to be made.
pub(crate) fn ask_made<S: Service<Request<Body>>>(bencher: Bencher, make: impl FnOnce() -> S) {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut service = make();
    let now = Instant::now();
    bencher
        .with_inputs(|| request(now))
        .bench_local_values(|request| {
            let mut context = Context::from_waker(Waker::noop());
            while service.poll_ready(&mut context).is_pending() {}
            let mut answer = pin!(service.call(request));
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
                    break answer.is_ok();
                }
            }
        });
}

/// The same as a task of the runtime would: for services that have tasks of their own, and those beside them.
pub(crate) fn ask_in_runtime<S>(bencher: Bencher, make: impl FnOnce() -> S)
where
    S: Service<Request<Body>>,
{
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut service = make();
    let now = Instant::now();
    bencher
        .with_inputs(|| request(now))
        .bench_local_values(|request| {
            runtime.block_on(async {
                let ready = poll_fn(|cx| service.poll_ready(cx)).await;
                ready.is_ok() && service.call(request).await.is_ok()
            })
        });
}

/// What the request and the service cost alone: to be taken off the other lines.
#[divan::bench]
fn no_layer(bencher: Bencher) {
    ask(bencher, service_fn(at_once));
}

#[divan::bench]
fn no_layer_in_runtime(bencher: Bencher) {
    ask_in_runtime(bencher, || service_fn(at_once));
}
