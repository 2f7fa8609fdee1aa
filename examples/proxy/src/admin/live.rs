//! `/api/v1/events` and `/api/v1/tap`: what happens, as it happens, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, StreamExt, unfold};
use http::{HeaderMap, StatusCode};
use mesh_core::event::Field;
use mesh_telemetry::events::{Noted, Told};
use mesh_telemetry::tap::{Filter, Seen, Tapped};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::sleep;
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::problem::Problem;
use crate::cert::told;

/// How often something is sent at least, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long one may read. Who is still there comes again, and those who are not leave their place to others.
const LONGEST: Duration = Duration::from_secs(60 * 60);

pub(super) const EVENTS: &str = "/api/v1/events";
pub(super) const TAP: &str = "/api/v1/tap";

/// A change of the mesh's state: the `data` of an event, whose `event` is the kind and whose `id` is the number.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Happened {
    id: u64,
    #[schema(example = "breaker_changed")]
    kind: &'static str,
    /// RFC 3339.
    time: String,
    /// In words.
    sentence: String,
    /// What it holds; which depends on the kind.
    fields: Map<String, Value>,
}

impl Happened {
    fn of(noted: &Noted) -> Self {
        let value = |field| match field {
            Field::Text(text) => Value::String(text.into_owned()),
            Field::Number(number) => Value::from(number),
            Field::Flag(flag) => Value::Bool(flag),
        };
        let fields = noted.event.fields().into_iter();
        Self {
            id: noted.id,
            kind: noted.event.kind(),
            time: told(noted.at),
            sentence: noted.event.to_string(),
            fields: fields
                .map(|(name, field)| (name.to_owned(), value(field)))
                .collect(),
        }
    }
}

/// How much was left out, since this reader was too slow: the `data` of an event `lost`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lost {
    lost: u64,
}

/// Changes of the mesh's state, from now on
///
/// Server-sent events. With `last-event-id`, as browsers send it, those after it come first, as far as they are kept (256).
/// A reader that is too slow loses the oldest and gets an event `lost`. A comment is sent every 10 seconds.
/// The stream ends after an hour.
#[utoipa::path(get, path = "/api/v1/events", tag = "live",
    params(("last-event-id" = Option<u64>, Header, description = "The id of the last event that was received")),
    responses(
        (status = 200, body = Happened, content_type = "text/event-stream"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The id is no number"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Enough read already"),
    ))]
pub(super) async fn events(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = headers.get("last-event-id").map(|id| {
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "last-event-id is no number"))
    });
    let reader = shared.shown.events.read(after.transpose()?);
    let reader = reader.ok_or_else(|| enough("events"))?;
    let stream = unfold(reader, |mut reader| async {
        let event = match reader.next().await? {
            Told::Event(noted) => {
                let happened = Happened::of(&noted);
                let event = Event::default().id(happened.id.to_string()).event(happened.kind);
                written(event, &happened)
            }
            Told::Lost(lost) => written(Event::default().event("lost"), &Lost { lost }),
        };
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream.take_until(sleep(LONGEST))).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// Which requests are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// Only those that go to this service.
    service: Option<Box<str>>,
    /// Only those answered with this status, `503`, or with one of this class, `5xx`.
    status: Option<Box<str>>,
    /// Only those of this path, in which `*` stands for anything: `/pay*`.
    path: Option<Box<str>>,
    /// Only those of this method.
    method: Option<Box<str>>,
    /// How many a second at most, 1 to 1000; by default 100.
    rate: Option<u32>,
}

/// A request that is over: the `data` of an event `request`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Request {
    /// When it was over, RFC 3339.
    time: String,
    source: String,
    target: String,
    version: String,
    /// The id of the rule that decided; empty if none did.
    route: String,
    direction: &'static str,
    method: &'static str,
    /// Without the query.
    path: String,
    protocol: &'static str,
    status: String,
    /// Why the mesh itself refused or failed it; else empty.
    reason: &'static str,
    duration_ms: f64,
}

impl Request {
    fn of(seen: &Seen) -> Self {
        Self {
            time: told(seen.at),
            source: seen.source.to_string(),
            target: seen.target.to_string(),
            version: seen.version.to_string(),
            route: seen.route.to_string(),
            direction: seen.direction.as_str(),
            method: seen.method,
            path: seen.path.to_string(),
            protocol: seen.protocol,
            status: seen.status.to_string(),
            reason: seen.reason,
            duration_ms: seen.took.as_secs_f64() * 1000.0,
        }
    }
}

/// Requests, as they end
///
/// Server-sent events, without bodies, queries or header fields. Requests beyond the rate, and those that come faster than
/// they are read, are left out and counted by an event `lost`. While nobody looks, requests pay nothing for it. The stream ends
/// after an hour.
#[utoipa::path(get, path = "/api/v1/tap", tag = "live", params(Look), responses(
    (status = 200, body = Request, content_type = "text/event-stream"),
    (status = 400, body = Problem, content_type = "application/problem+json", description = "The filter cannot be understood"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "Enough look already"),
))]
pub(super) async fn tap(
    State(shared): State<Shared>,
    look: Result<Query<Look>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Query(look) = look.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let mut filter = Filter::default();
    if let Some(service) = &look.service {
        filter = filter.service(service);
    }
    if let Some(path) = &look.path {
        filter = filter.path(path);
    }
    if let Some(method) = &look.method {
        filter = filter.method(method);
    }
    if let Some(status) = &look.status {
        let wanted = filter.status(status);
        filter = wanted.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    }
    let tap = shared.shown.telemetry.tap(filter, look.rate.unwrap_or(100));
    let tap = tap.ok_or_else(|| enough("requests"))?;
    let stream = unfold(tap, |mut tap| async {
        let event = match tap.next().await? {
            Tapped::Request(seen) => written(Event::default().event("request"), &Request::of(&seen)),
            Tapped::Skipped(lost) => written(Event::default().event("lost"), &Lost { lost }),
        };
        Some((Ok(event), tap))
    });
    Ok(Sse::new(stream.take_until(sleep(LONGEST))).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

fn written(event: Event, data: &impl Serialize) -> Event {
    // Nothing here fails to be JSON; one without data would be ignored.
    serde_json::to_string(data).map_or_else(|_| Event::default(), |data| event.data(data))
}

fn enough(what: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("as many as may already read {what} of this process: close one of them"),
    )
}
