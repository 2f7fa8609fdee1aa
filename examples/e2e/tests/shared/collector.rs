//! A collector of spans.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use e2e::{serve, until};
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;

/// A span, as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) is_server: bool,
    pub(crate) failed: bool,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Span {
    /// The attribute of this name.
    #[track_caller]
    pub(crate) fn is(&self, name: &str) -> &str {
        let found = self.attributes.get(name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    heads: Vec<HeaderMap>,
}

impl Collector {
    /// Takes spans by OTLP over HTTP until the test ends.
    pub(crate) async fn start() -> Self {
        let taken = Arc::<Mutex<Taken>>::default();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(taken.clone());
        Self {
            address: serve(app).await,
            taken,
        }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.taken().spans.clone()
    }

    /// The fields of each request.
    #[allow(dead_code, reason = "not every test looks at them")]
    pub(crate) fn heads(&self) -> Vec<HeaderMap> {
        self.taken().heads.clone()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so many spans.
    pub(crate) async fn has(&self, count: usize) -> Vec<Span> {
        until("the collector has the spans", async || {
            Some(self.spans()).filter(|spans| spans.len() >= count)
        })
        .await
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, head: HeaderMap, body: Bytes) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("a message of OTLP");
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    taken.heads.push(head);
    for resource in request.resource_spans {
        let told = attributes(&resource.resource.expect("a resource").attributes);
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            taken.spans.push(read(&told["service.name"], &span));
        }
    }
    ExportTraceServiceResponse::default().encode_to_vec()
}

fn read(service: &str, span: &proto::Span) -> Span {
    Span {
        service: service.to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: Some(hex(&span.parent_span_id)).filter(|parent| !parent.is_empty()),
        is_server: match span.kind() {
            proto::span::SpanKind::Server => true,
            proto::span::SpanKind::Client => false,
            other => panic!("{other:?}"),
        },
        failed: span
            .status
            .as_ref()
            .is_some_and(|status| status.code() == proto::status::StatusCode::Error),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        attributes: attributes(&span.attributes),
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(text),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    };
    attributes
        .iter()
        .map(|pair| (pair.key.clone(), text(pair).expect("a value")))
        .collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
