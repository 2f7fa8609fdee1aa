//! What the edge costs a request. `cargo bench -p mesh-core --features http`

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, Version};
use mesh_core::context::Direction;
use mesh_core::edge::{EdgePolicy, Facts, admit};
use mesh_core::forwarded::{
    PeerMarks, RequestMarks, TargetMarks, Trust, inherit, mark_request, mark_response,
};
use mesh_core::hop::{strip_request, strip_response};
use mesh_core::{MeshContext, PeerInfo};
use tokio::time::Instant;

/// Shows the allocations of a benchmark that makes any: the first three of a plain request may not.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// What comes in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A GET with four fields.
    Plain,
    /// As a browser sends it: more fields, a cookie, hop-by-hop fields, a trace.
    Browser,
    /// A plain GET over HTTP/2.
    Http2,
}

const KINDS: [Kind; 3] = [Kind::Plain, Kind::Browser, Kind::Http2];

impl Kind {
    fn request(self) -> Parts {
        match self {
            Self::Plain => plain(),
            Self::Browser => browser(),
            Self::Http2 => http2(),
        }
    }
}

/// As hyper hands it over: with room for its fields, and no more.
fn plain() -> Parts {
    let (mut parts, ()) = Request::get("/orders/7?x=y")
        .body(())
        .expect("valid")
        .into_parts();
    let mut headers = HeaderMap::with_capacity(4);
    for (name, value) in [
        ("host", "orders:3001"),
        ("user-agent", "bench/1"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
    ] {
        headers.append(name, value.parse().expect("valid"));
    }
    parts.headers = headers;
    parts
}

fn browser() -> Parts {
    let mut parts = plain();
    for (name, value) in [
        ("connection", "keep-alive"),
        ("cookie", "session=0123456789; theme=dark"),
        ("accept-language", "en"),
        ("cache-control", "no-cache"),
        ("sec-fetch-mode", "navigate"),
        ("x-forwarded-for", "10.1.2.3"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ] {
        parts.headers.append(name, value.parse().expect("valid"));
    }
    parts
}

fn http2() -> Parts {
    let mut parts = plain();
    parts.version = Version::HTTP_2;
    parts.headers.remove("host");
    parts.uri = "http://orders:3001/orders/7?x=y".parse().expect("valid");
    parts
}

struct Marks {
    context: MeshContext,
    peer: PeerMarks,
    target: TargetMarks,
}

fn marks() -> Marks {
    let peer = Arc::new(PeerInfo::plaintext(([127, 0, 0, 1], 5000).into()));
    Marks {
        context: MeshContext::new(Instant::now()),
        peer: PeerMarks::new(&peer, &Trust::nobody(), Direction::Inbound, None),
        target: TargetMarks::new(&"orders".parse().expect("a name")),
    }
}

#[divan::bench]
fn looked_through(bencher: Bencher<'_, '_>) {
    let parts = plain();
    bencher.bench_local(|| Facts::of(black_box(&parts.headers)));
}

#[divan::bench(args = KINDS)]
fn admitted(bencher: Bencher<'_, '_>, kind: Kind) {
    let policy = EdgePolicy::default();
    bencher
        .with_inputs(|| kind.request())
        .bench_local_refs(|parts| admit(parts, &policy).is_ok());
}

#[divan::bench(args = KINDS)]
fn received(bencher: Bencher<'_, '_>, kind: Kind) {
    let (policy, Marks { context, peer, .. }) = (EdgePolicy::default(), marks());
    let admitted = || {
        let mut parts = kind.request();
        let facts = admit(&mut parts, &policy).expect("well-formed");
        (parts, facts, context.clone())
    };
    bencher
        .with_inputs(admitted)
        .bench_local_refs(|(parts, facts, context)| {
            strip_request(&mut parts.headers, *facts).ok()?;
            Some(inherit(&mut parts.headers, *facts, &peer, context))
        });
}

#[divan::bench(args = KINDS)]
fn all_three(bencher: Bencher<'_, '_>, kind: Kind) {
    let (
        policy,
        Marks {
            context,
            peer,
            target,
        },
    ) = (EdgePolicy::default(), marks());
    bencher
        .with_inputs(|| (kind.request(), context.clone()))
        .bench_local_refs(|(parts, context)| {
            let facts = admit(parts, &policy).ok()?;
            strip_request(&mut parts.headers, facts).ok()?;
            let believed = inherit(&mut parts.headers, facts, &peer, context);
            Some(mark_request(
                &mut parts.headers,
                believed,
                context,
                &peer,
                &target,
            ))
        });
}

#[divan::bench]
fn answered(bencher: Bencher<'_, '_>) {
    let peer = marks().peer;
    let mut headers = HeaderMap::with_capacity(3);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "2"),
        ("date", "Tue, 24 Nov 2026 12:00:00 GMT"),
    ] {
        headers.append(name, value.parse().expect("valid"));
    }
    bencher
        .with_inputs(|| (headers.clone(), RequestMarks::of_refused(&headers, &peer)))
        .bench_local_values(|(mut headers, marks)| {
            strip_response(StatusCode::OK, &mut headers);
            mark_response(&mut headers, marks, &peer);
            headers
        });
}
