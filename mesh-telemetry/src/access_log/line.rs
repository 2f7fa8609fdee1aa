//! What a line says: names and values, in order.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use mesh_core::body_end::End;
use mesh_core::{EndpointId, ErrorKind};

use crate::story::{Ending, Story};

pub(super) type Line<'s> = [(&'static str, Value<'s>); 26];

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
