//! Both sides: what goes on, to where, and what does not.

mod outgoing;
mod serving;

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{InheritLayer, InheritService};
use crate::body::Body;
use crate::context::MeshContext;
use crate::error::Error;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A service that answers at once and keeps what it was sent.
#[derive(Clone, Default)]
struct Stock {
    sent: Arc<Mutex<Vec<Request<()>>>>,
}

impl Stock {
    fn client(&self) -> InheritService<Self> {
        InheritLayer::new().layer(self.clone())
    }

    fn take(&self) -> Vec<Request<()>> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

impl Service<Request<()>> for Stock {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Ready<Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.sent.lock().unwrap().push(request);
        ready(Ok(Response::new(Body::empty())))
    }
}

/// A request with these fields.
fn request(fields: &[(&str, &str)]) -> Request<()> {
    let request = fields.iter().fold(Request::get("/"), |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(()).unwrap()
}

/// The same, due so long from now.
fn due_in(mut request: Request<()>, left: Duration) -> Request<()> {
    let now = Instant::now();
    let context = request
        .extensions_mut()
        .get_or_insert_with(|| MeshContext::new(now));
    context.deadline = Some(now + left);
    request
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?;
    assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
    value.to_str().ok()
}

fn id(request: &Request<()>) -> Option<&str> {
    text(request.headers(), "x-request-id")
}
