//! What a line says: names and values, in order.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use mesh_core::body_end::End;
use mesh_core::context::Direction;
use mesh_core::serve::Unreadable;
use mesh_core::{EndpointId, ErrorKind, PeerInfo};

use crate::story::{Ending, Story};

pub(super) type Line<'s> = [(&'static str, Value<'s>); 26];

/// The keys, in order.
const KEYS: [&str; 26] = [
    "time",
    "direction",
    "listener",
    "source",
    "peer",
    "client",
    "target",
    "version",
    "route",
    "method",
    "host",
    "path",
    "protocol",
    "status",
    "grpc_status",
    "reason",
    "body",
    "duration_ms",
    "attempts",
    "endpoint",
    "bytes_in",
    "bytes_out",
    "trace_id",
    "span_id",
    "request_id",
    "user_agent",
];

pub(super) enum Value<'s> {
    None,
    Text(Cow<'s, str>),
    Number(u64),
    Millis(Duration),
}

impl<'s> Value<'s> {
    fn text(text: Option<impl Into<Cow<'s, str>>>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.into()))
    }

    fn shown(value: Option<impl ToString>) -> Self {
        value.map_or(Self::None, |value| Self::Text(value.to_string().into()))
    }

    fn number(number: Option<impl Into<u64>>) -> Self {
        number.map_or(Self::None, |number| Self::Number(number.into()))
    }
}

/// The line of a request that ended so.
pub(super) fn of<'s>(story: &'s Story, ending: &Ending, took: Duration, wall: SystemTime) -> Line<'s> {
    let facts = story.facts();
    let target = story.target();
    let peer = facts.peer.as_ref().and_then(|peer| peer.identity.as_ref());
    let path = match facts.query() {
        Some(query) => Cow::Owned(format!("{}?{query}", facts.path())),
        None => Cow::Borrowed(facts.path()),
    };
    let endpoint = story.tries().last().and_then(|tried| tried.endpoint.as_ref());
    let body = ending.body.map(|body| match body {
        End::Complete(_) => "complete",
        End::Failed => "failed",
        End::Dropped => "dropped",
    });
    let ids = story.span();
    [
        ("time", Value::shown(Some(humantime::format_rfc3339_millis(wall)))),
        ("direction", Value::text(Some(facts.direction.as_str()))),
        ("listener", Value::text(facts.listener.as_deref())),
        ("source", Value::text(facts.source())),
        ("peer", Value::text(peer.map(|peer| peer.as_str()))),
        ("client", Value::shown(facts.client())),
        (
            "target",
            Value::text(target.map(|target| target.service.as_str())),
        ),
        (
            "version",
            Value::text(target.and_then(|target| Some(target.version.as_ref()?.as_str()))),
        ),
        (
            "route",
            Value::text(target.and_then(|target| target.route.as_deref())),
        ),
        ("method", Value::text(Some(facts.method.as_str()))),
        ("host", Value::text(facts.host())),
        ("path", Value::Text(path)),
        ("protocol", Value::text(Some(facts.protocol.as_str()))),
        ("status", Value::number(Some(ending.status()))),
        (
            "grpc_status",
            Value::number(ending.grpc().map(|code| code.number())),
        ),
        ("reason", Value::text(ending.reason.map(ErrorKind::code))),
        ("body", Value::text(body)),
        ("duration_ms", Value::Millis(took)),
        ("attempts", Value::number(Some(story.tries().count() as u64))),
        ("endpoint", Value::shown(endpoint.map(EndpointId::address))),
        ("bytes_in", Value::number(facts.bytes())),
        ("bytes_out", Value::number(Some(ending.bytes))),
        ("trace_id", Value::shown(Some(ids.trace))),
        ("span_id", Value::shown(Some(ids.span))),
        ("request_id", Value::text(story.request_id())),
        ("user_agent", Value::text(facts.user_agent())),
    ]
}

/// The line of what came from this peer and became no request.
pub(super) fn of_unreadable<'s>(
    listener: &'s str,
    direction: Direction,
    peer: &'s PeerInfo,
    why: Unreadable,
    wall: SystemTime,
) -> Line<'s> {
    let identity = peer.identity.as_ref().map(|identity| identity.as_str());
    KEYS.map(|key| {
        let value = match key {
            "time" => Value::shown(Some(humantime::format_rfc3339_millis(wall))),
            "direction" => Value::text(Some(direction.as_str())),
            "listener" => Value::text(Some(listener)),
            "source" => Value::text(peer.service()),
            "peer" => Value::text(identity),
            "client" => Value::shown(Some(peer.address.ip().to_canonical())),
            "status" => Value::number(why.status()),
            "reason" => Value::text(Some(why.code())),
            _ => Value::None,
        };
        (key, value)
    })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use mesh_core::{MeshContext, RequestHead};
    use tokio::time::Instant;

    use super::*;
    use crate::Telemetry;
    use crate::access_log::{AccessLog, LineFormat, LineWriter};
    use crate::story::{Begun, Place, Teller};

    #[test]
    fn both_lines_have_the_same_keys_in_the_same_order() {
        let (queue, _writer) = LineWriter::start(std::io::sink(), &Telemetry::new()).expect("a thread");
        let teller = Teller::new().access_log(Some(AccessLog::new(queue, LineFormat::Json)));
        let request = Request::new(());
        let begun = Begun {
            head: RequestHead::of(&request),
            version: request.version(),
            context: &MeshContext::new(Instant::now()),
            parent: None,
            listener: None,
        };
        let place = Place::new(teller, "orders".into(), None);
        let story = place
            .begin(&begun, &mut fastrand::Rng::new())
            .expect("it is logged");
        let now = SystemTime::now();
        assert_eq!(
            of(&story, &Ending::default(), Duration::ZERO, now).map(|(key, _)| key),
            KEYS
        );
        let peer = PeerInfo::plaintext(([10, 1, 2, 3], 4000).into());
        let line = of_unreadable("inbound", Direction::Inbound, &peer, Unreadable::TooSlow, now);
        assert_eq!(line.map(|(key, _)| key), KEYS);
    }
}
