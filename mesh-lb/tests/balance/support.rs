//! Endpoints at the other end of pipes, each doing what a test says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::connect::{Connect, Connected, HttpProtocol};
use mesh_core::control::{ConnectionControl, Order};
use mesh_core::endpoint::Address;
use mesh_core::{AttemptInfo, Endpoint, EndpointSet, Error, PeerInfo};
use mesh_lb::endpoint::Limits;
use mesh_lb::{Balance, Fleet, FleetPolicy, PoolSettings, Protocol, RoundRobin};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

pub(crate) const LONG: Duration = Duration::from_secs(100_000);

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

type Serve = Arc<dyn Fn(DuplexStream, usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

enum Kind {
    Refuses,
    Hangs,
    Serves(Serve),
    /// Answers `hello` each once, unless it is away.
    AwayWhile(Arc<AtomicBool>),
}

/// The endpoints by their ports.
#[derive(Clone, Default)]
pub(crate) struct Net {
    kinds: Arc<Mutex<HashMap<u16, Kind>>>,
    connects: Arc<Mutex<HashMap<u16, usize>>>,
    capacity: Option<usize>,
    agrees: Option<fn(usize) -> HttpProtocol>,
    proves: Option<fn(u16, usize) -> PeerInfo>,
    /// What ends the connections, in the order in which they were made; `None` if nothing does.
    controls: Option<Arc<Mutex<Vec<ConnectionControl>>>>,
}

impl Net {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Pipes that hold this many bytes each way.
    pub(crate) fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Connections that agree on a protocol, as TLS does; told which connection it is, from 0.
    pub(crate) fn agreeing(mut self, agrees: fn(usize) -> HttpProtocol) -> Self {
        self.agrees = Some(agrees);
        self
    }

    /// Endpoints that prove who they are, told the port and which connection it is, from 0.
    pub(crate) fn proving(mut self, proves: fn(u16, usize) -> PeerInfo) -> Self {
        self.proves = Some(proves);
        self
    }

    /// Connections that can be told to end.
    pub(crate) fn controlled(mut self) -> Self {
        self.controls = Some(Arc::default());
        self
    }

    /// Tells a connection something: the one that was made as this, from 0.
    pub(crate) fn tell(&self, nth: usize, order: Order) {
        let controls = self.controls.as_ref().expect("controlled");
        controls.lock().expect("free")[nth].tell(order);
    }

    pub(crate) fn refuses(self, port: u16) -> Self {
        self.kinds.lock().expect("free").insert(port, Kind::Refuses);
        self
    }

    /// Answers one request on each connection, and refuses connections while it is away.
    pub(crate) fn away_while(self, port: u16, away: &Arc<AtomicBool>) -> Self {
        let kind = Kind::AwayWhile(Arc::clone(away));
        self.kinds.lock().expect("free").insert(port, kind);
        self
    }

    pub(crate) fn hangs(self, port: u16) -> Self {
        self.kinds.lock().expect("free").insert(port, Kind::Hangs);
        self
    }

    /// Runs `serve` for each connection to this port, told which of them it is, from 0.
    pub(crate) fn serves<F>(
        self,
        port: u16,
        serve: impl Fn(DuplexStream, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve: Serve = Arc::new(move |io, nth| Box::pin(serve(io, nth)));
        self.kinds.lock().expect("free").insert(port, Kind::Serves(serve));
        self
    }

    /// How many connections to this port were tried.
    pub(crate) fn connects(&self, port: u16) -> usize {
        self.connects
            .lock()
            .expect("free")
            .get(&port)
            .copied()
            .unwrap_or(0)
    }
}

impl Connect for Net {
    type Io = DuplexStream;

    async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connected<DuplexStream>> {
        let Address::Socket(address) = &endpoint.address else {
            panic!("only sockets are used here")
        };
        let nth = {
            let mut connects = self.connects.lock().expect("free");
            let nth = connects.entry(address.port()).or_default();
            *nth += 1;
            *nth - 1
        };
        let serve = match self.kinds.lock().expect("free").get(&address.port()) {
            None | Some(Kind::Refuses) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Kind::AwayWhile(away)) if away.load(Ordering::SeqCst) => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Some(Kind::AwayWhile(_)) => Some(once()),
            Some(Kind::Hangs) => None,
            Some(Kind::Serves(serve)) => Some(Arc::clone(serve)),
        };
        let Some(serve) = serve else {
            return std::future::pending().await;
        };
        // A connection takes a moment, so that others come in between.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (near, far) = duplex(self.capacity.unwrap_or(64 * 1024));
        tokio::spawn(serve(far, nth));
        let mut connected = Connected::new(near).with_protocol(self.agrees.map(|agrees| agrees(nth)));
        if let Some(controls) = &self.controls {
            let control = ConnectionControl::new();
            controls.lock().expect("free").push(control.clone());
            connected = connected.with_control(control);
        }
        Ok(match self.proves {
            Some(proves) => connected.with_peer(Arc::new(proves(address.port(), nth))),
            None => connected,
        })
    }
}

fn once() -> Serve {
    Arc::new(|mut io, _| {
        Box::pin(async move {
            if read_head(&mut io).await.is_some() {
                drop(io.write_all(LAST_HELLO.as_bytes()).await);
            }
        })
    })
}

pub(crate) fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)).into())
}

pub(crate) struct Setup {
    pub(crate) net: Net,
    pub(crate) ports: Vec<u16>,
    pub(crate) settings: PoolSettings,
    pub(crate) policy: FleetPolicy,
}

/// A balancer in turn over `ports` of `net`.
pub(crate) fn over(net: &Net, ports: &[u16]) -> Setup {
    Setup {
        net: net.clone(),
        ports: ports.to_vec(),
        settings: PoolSettings::default(),
        policy: FleetPolicy::default(),
    }
}

impl Setup {
    pub(crate) fn http2(mut self) -> Self {
        self.settings.protocol = Protocol::Http2;
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.policy.limits);
        self
    }

    pub(crate) fn start(self) -> (Balance, Fleet) {
        let balance = Balance::builder("orders".parse().expect("a name"))
            .endpoints(EndpointSet::new(self.ports.iter().map(|port| endpoint(*port))))
            .balancer(RoundRobin::new())
            .connect(self.net)
            .settings(self.settings)
            .policy(self.policy)
            .start();
        let fleet = balance.fleet().clone();
        (balance, fleet)
    }
}

pub(crate) fn get() -> Request<Body> {
    Request::get("/")
        .header("host", "orders")
        .body(Body::empty())
        .expect("a request")
}

pub(crate) fn post(body: Body) -> Request<Body> {
    Request::post("/")
        .header("host", "orders")
        .body(body)
        .expect("a request")
}

pub(crate) async fn send(
    balance: &Balance,
    request: Request<Body>,
) -> Result<(Response<Body>, AttemptInfo), Error> {
    tokio::time::timeout(LONG, balance.send(request, None))
        .await
        .expect("neither an answer nor an error came")
}

/// Sends and reads the whole body.
pub(crate) async fn text(balance: &Balance, request: Request<Body>) -> Result<String, Error> {
    let (response, _) = send(balance, request).await?;
    whole(response.into_body()).await
}

pub(crate) async fn whole(body: Body) -> Result<String, Error> {
    let collected = tokio::time::timeout(LONG, body.collect())
        .await
        .expect("the body never ends");
    let bytes = collected.map_err(Error::wrap)?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Reads a request's head; nothing if the connection ends instead.
pub(crate) async fn read_head(io: &mut DuplexStream) -> Option<String> {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        got.push(io.read_u8().await.ok()?);
    }
    Some(String::from_utf8(got).expect("text"))
}

pub(crate) async fn read(io: &mut DuplexStream, n: usize) -> String {
    let mut got = vec![0; n];
    io.read_exact(&mut got).await.expect("sent");
    String::from_utf8(got).expect("text")
}

pub(crate) async fn write(io: &mut DuplexStream, text: &str) {
    io.write_all(text.as_bytes()).await.expect("open");
}

pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

const LAST_HELLO: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

/// Answers each request without a body with `hello`.
pub(crate) async fn hello(mut io: DuplexStream, _: usize) {
    while read_head(&mut io).await.is_some() {
        if io.write_all(HELLO.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A counter that tasks share.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Waits, in virtual time, until `holds`.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be that {what}");
}

/// A body that is fed by hand.
pub(crate) struct Fed(mpsc::UnboundedReceiver<Frame<Bytes>>);

pub(crate) fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (feed, fed) = mpsc::unbounded_channel();
    (feed, Body::new(Fed(fed)))
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub(crate) fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}
