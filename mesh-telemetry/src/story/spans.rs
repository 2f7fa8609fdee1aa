//! The spans of a request that is over.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::Version;
use mesh_core::body_end::End;
use mesh_core::context::Target;
use mesh_core::endpoint::Address;
use mesh_core::trace::SpanContext;
use mesh_core::{EndpointId, ErrorKind, GrpcCode, Outcome, PeerInfo};
use tokio::time::Instant;

use super::facts::Facts;
use super::tries::{Came, Tried};
use super::{Ending, Story};
use crate::labels::{MethodLabel, Protocol};
use crate::trace::{Span, SpanKind, Value};

/// What a span is made of, beside how it ended.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'s> {
    pub(crate) facts: &'s Facts,
    /// The service it belongs to.
    pub(crate) service: &'s Arc<str>,
    /// Where the request goes.
    pub(crate) target: Option<&'s Target>,
}

type Attributes = Vec<(&'static str, Value)>;

/// Gives each span of a request that ended so at `now`, which is `wall` for people.
pub(super) fn of(story: &Story, ending: &Ending, now: Instant, wall: SystemTime, mut give: impl FnMut(Span)) {
    let clock = Clock { now, wall };
    let subject = Subject {
        facts: story.facts(),
        service: story.place.service(),
        target: story.target(),
    };
    let kept = (!story.span().sampled).then_some(match ending.is_failure() {
        true => "error",
        false => "slow",
    });
    let count = story.tries().count();
    for (number, tried) in story.tries().enumerate() {
        let is_answer = number + 1 == count && ending.body.is_some();
        let mut span = client_span(subject, tried, number, story.span(), &clock);
        if is_answer && matches!(tried.came, Came::Answer(..)) {
            // Its body was what the client got.
            span.end = clock.at(now);
            body_of(&mut span, ending);
        }
        span.attributes
            .extend(kept.map(|kept| ("mesh.kept", kept.into())));
        give(span);
    }
    let mut span = server(story, subject, ending, count, &clock);
    span.attributes
        .extend(kept.map(|kept| ("mesh.kept", kept.into())));
    give(span);
}

/// What an instant is for people.
pub(crate) struct Clock {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

impl Clock {
    fn at(&self, instant: Instant) -> SystemTime {
        let ago = self.now.saturating_duration_since(instant);
        self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

fn server(story: &Story, subject: Subject<'_>, ending: &Ending, tries: usize, clock: &Clock) -> Span {
    let facts = subject.facts;
    let mut attributes = Attributes::with_capacity(24);
    request(&mut attributes, subject);
    let mut put = |name, value: Option<Value>| attributes.extend(value.map(|value| (name, value)));
    put(
        "http.response.status_code",
        Some(u32::from(ending.status()).into()),
    );
    if let Some(host) = facts.host() {
        put("server.address", Some(host.to_owned().into()));
    }
    if let Some(peer) = &facts.peer {
        put(
            "network.peer.address",
            Some(peer.address.ip().to_canonical().to_string().into()),
        );
        put("network.peer.port", Some(u32::from(peer.address.port()).into()));
    }
    put(
        "client.address",
        facts.client().map(|client| client.to_string().into()),
    );
    put(
        "user_agent.original",
        facts.user_agent().map(|agent| agent.into_owned().into()),
    );
    put(
        "peer.service",
        facts.source().map(|source| source.to_owned().into()),
    );
    put("mesh.peer_identity", identity(facts.peer.as_ref()));
    put("mesh.direction", Some(facts.direction.as_str().into()));
    put("mesh.listener", facts.listener.clone().map(Value::from));
    put(
        "mesh.request_id",
        story.request_id().map(|id| id.to_owned().into()),
    );
    put("mesh.attempts", Some(Value::Number(tries as i64)));
    let grpc = ending.grpc();
    grpc_code(&mut attributes, grpc);
    let failed =
        ending.status() >= 500 || ending.body == Some(End::Failed) || grpc.is_some_and(blames_server);
    let error = ending.reason.map(ErrorKind::code);
    let broken = (ending.body == Some(End::Failed)).then_some(ErrorKind::UpstreamReset.code());
    error_type(&mut attributes, error.or(broken), failed, ending.status());
    Span {
        context: story.span(),
        parent: story.ids.parent(),
        kind: SpanKind::Server,
        name: name(subject),
        service: Arc::clone(subject.service),
        start: clock.at(facts.received),
        end: clock.at(clock.now),
        failed,
        attributes,
    }
}

/// The span of one try, after so many others: a part of this span.
pub(crate) fn client_span(
    subject: Subject<'_>,
    tried: &Tried,
    number: usize,
    parent: SpanContext,
    clock: &Clock,
) -> Span {
    let mut attributes = Attributes::with_capacity(20);
    request(&mut attributes, subject);
    let mut put = |name, value: Option<Value>| attributes.extend(value.map(|value| (name, value)));
    put(
        "peer.service",
        subject.target.map(|target| target.service.shared().into()),
    );
    let address = tried.endpoint.as_ref().map(EndpointId::address);
    match address {
        Some(Address::Socket(address)) => {
            let ip = address.ip().to_string();
            put("network.peer.address", Some(ip.clone().into()));
            put("server.address", Some(ip.into()));
        }
        Some(Address::Host { name, .. }) => put("server.address", Some(Arc::clone(name).into())),
        None => {}
    }
    put(
        "server.port",
        address.map(|address| Value::Number(port(address).into())),
    );
    put(
        "mesh.endpoint",
        tried
            .endpoint
            .as_ref()
            .map(|endpoint| endpoint.to_string().into()),
    );
    put("mesh.peer_identity", identity(tried.peer.as_ref()));
    if number > 0 {
        put("http.request.resend_count", Some(Value::Number(number as i64)));
    }
    if tried.resends > 0 {
        put("mesh.elsewhere", Some(tried.resends.into()));
    }
    let failed = match tried.came {
        Came::Answer(status, grpc) => {
            put("http.response.status_code", Some(u32::from(status).into()));
            grpc_code(&mut attributes, grpc);
            let failed = status >= 400 || grpc.is_some_and(|code| code != GrpcCode::OK);
            error_type(&mut attributes, None, failed, status);
            failed
        }
        Came::Failure(kind) => {
            put("error.type", Some(kind.code().into()));
            true
        }
        Came::Nothing => {
            put("error.type", Some("given_up".into()));
            true
        }
    };
    Span {
        context: parent.with_span(tried.span),
        parent: Some(parent.span),
        kind: SpanKind::Client,
        name: name(subject),
        service: Arc::clone(subject.service),
        start: clock.at(tried.begun),
        end: clock.at(tried.ended),
        failed,
        attributes,
    }
}

/// What is known of the request, whoever saw it.
fn request(attributes: &mut Attributes, subject: Subject<'_>) {
    let facts = subject.facts;
    attributes.push(("http.request.method", method(facts).into()));
    attributes.push(("url.path", facts.path().to_owned().into()));
    let tls = facts.peer.as_ref().is_some_and(|peer| peer.tls);
    attributes.push(("url.scheme", if tls { "https" } else { "http" }.into()));
    let version = match facts.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    attributes.push(("network.protocol.version", version.into()));
    if let Some((service, method)) = rpc(facts) {
        attributes.push(("rpc.system", "grpc".into()));
        attributes.push(("rpc.service", service.to_owned().into()));
        attributes.push(("rpc.method", method.to_owned().into()));
    }
    if let Some(Target {
        service,
        version,
        route,
        ..
    }) = subject.target
    {
        attributes.push(("mesh.target_service", service.shared().into()));
        let version = version.as_ref().map(|version| version.shared().into());
        attributes.extend(version.map(|version| ("mesh.version", version)));
        attributes.extend(route.clone().map(|route| ("mesh.route", route.into())));
    }
}

/// `/<service>/<method>` of a gRPC call.
fn rpc(facts: &Facts) -> Option<(&str, &str)> {
    let path = facts.path().strip_prefix('/')?;
    path.split_once('/').filter(|_| facts.protocol == Protocol::Grpc)
}

/// One of the methods that everybody knows.
fn method(facts: &Facts) -> &'static str {
    match MethodLabel::of(&facts.method) {
        MethodLabel::OTHER => "_OTHER",
        known => known.as_str(),
    }
}

/// Never made of what a client can choose freely.
fn name(subject: Subject<'_>) -> Cow<'static, str> {
    let facts = subject.facts;
    let route = subject.target.and_then(|target| target.route.as_deref());
    match (rpc(facts), route) {
        (Some((service, method)), _) => format!("{service}/{method}").into(),
        (None, Some(route)) => format!("{} {route}", method(facts)).into(),
        (None, None) => method(facts).into(),
    }
}

fn identity(peer: Option<&Arc<PeerInfo>>) -> Option<Value> {
    let identity = peer?.identity.as_ref()?;
    Some(identity.as_str().to_owned().into())
}

const fn port(address: &Address) -> u16 {
    match address {
        Address::Socket(address) => address.port(),
        Address::Host { port, .. } => *port,
    }
}

fn grpc_code(attributes: &mut Attributes, code: Option<GrpcCode>) {
    let code = code.map(|code| u32::from(code.number()).into());
    attributes.extend(code.map(|code| ("rpc.grpc.status_code", code)));
}

fn error_type(attributes: &mut Attributes, reason: Option<&'static str>, failed: bool, status: u16) {
    let error: Option<Value> = match reason {
        Some(reason) => Some(reason.into()),
        None => failed.then(|| status.to_string().into()),
    };
    attributes.extend(error.map(|error| ("error.type", error)));
}

/// The codes that are errors of a server by the conventions of OpenTelemetry.
fn blames_server(code: GrpcCode) -> bool {
    code == GrpcCode::UNIMPLEMENTED || Outcome::of_grpc(code) == Outcome::Failure
}

/// What the body of the answer that was passed on told.
fn body_of(span: &mut Span, ending: &Ending) {
    match ending.body {
        Some(End::Failed) => {
            span.failed = true;
            error_type(
                &mut span.attributes,
                Some(ErrorKind::UpstreamReset.code()),
                true,
                0,
            );
        }
        Some(End::Complete(Some(code))) => {
            grpc_code(&mut span.attributes, Some(code));
            span.failed |= code != GrpcCode::OK;
        }
        _ => {}
    }
}
