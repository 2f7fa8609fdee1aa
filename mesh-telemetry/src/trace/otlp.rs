//! Spans as the messages of OTLP.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status};
use prost::Message;

use super::span::{Span, SpanKind, Value};

/// A gRPC message begins with whether it is compressed, and its length.
const FRAME: usize = 5;

pub(super) fn encode(spans: &[Span], namespace: Option<&str>) -> Bytes {
    request(spans, namespace).encode_to_vec().into()
}

pub(super) fn encode_framed(spans: &[Span], namespace: Option<&str>) -> Bytes {
    let request = request(spans, namespace);
    let length = request.encoded_len();
    let mut out = BytesMut::with_capacity(FRAME + length);
    out.put_u8(0);
    // A batch is far smaller.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_slice(&request.encode_to_vec());
    out.freeze()
}

/// How many spans the collector says it has not taken. What cannot be read says nothing.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    usize::try_from(rejected).unwrap_or(0)
}

pub(super) fn rejected_framed(answer: &[u8]) -> usize {
    rejected(answer.get(FRAME..).unwrap_or_default())
}

fn request(spans: &[Span], namespace: Option<&str>) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::default();
    let mut services: Vec<&str> = Vec::new();
    for span in spans {
        let known = services.iter().position(|service| **service == *span.service);
        let place = known.unwrap_or_else(|| {
            services.push(&span.service);
            request.resource_spans.push(resource(&span.service, namespace));
            services.len() - 1
        });
        let scope = request.resource_spans.get_mut(place);
        if let Some(scope) = scope.and_then(|resource| resource.scope_spans.first_mut()) {
            scope.spans.push(message(span));
        }
    }
    request
}

fn resource(service: &str, namespace: Option<&str>) -> ResourceSpans {
    let mut attributes = vec![text("service.name", service)];
    attributes.extend(namespace.map(|namespace| text("service.namespace", namespace)));
    ResourceSpans {
        resource: Some(Resource {
            attributes,
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "service-mesh".to_owned(),
                version: mesh_core::VERSION.to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn message(span: &Span) -> proto::Span {
    let kind = match span.kind {
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
    };
    proto::Span {
        trace_id: span.context.trace.get().to_be_bytes().into(),
        span_id: span.context.span.get().to_be_bytes().into(),
        parent_span_id: span
            .parent
            .map(|parent| parent.get().to_be_bytes().into())
            .unwrap_or_default(),
        flags: span.context.sampled.into(),
        name: span.name.clone().into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: span
            .attributes
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect(),
        status: span.failed.then(|| Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        ..proto::Span::default()
    }
}

fn attribute(name: &str, value: &Value) -> KeyValue {
    match value {
        Value::Number(number) => key_value(name, any_value::Value::IntValue(*number)),
        Value::Text(value) => text(name, value),
        Value::Shared(value) => text(name, value),
    }
}

fn text(name: &str, value: &str) -> KeyValue {
    key_value(name, any_value::Value::StringValue(value.to_owned()))
}

fn key_value(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
