//! Spans as Jaeger's own messages: `Batch` of `jaeger.thrift`, in Thrift's binary protocol.
//!
//! A batch is of one service. Field numbers are those of Jaeger's definition, written beside each.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};

use super::span::{Span, SpanKind, Value};

// The types of Thrift's binary protocol.
const BOOL: u8 = 2;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const LIST: u8 = 15;

// Jaeger's `TagType`.
const TAG_STRING: i32 = 0;
const TAG_BOOL: i32 = 2;
const TAG_LONG: i32 = 3;

/// A batch for each service, and how many spans are in it.
pub(super) fn encode(spans: &[Span], namespace: Option<&str>) -> Vec<(Bytes, usize)> {
    let mut services: Vec<(&str, Vec<&Span>)> = Vec::new();
    for span in spans {
        match services
            .iter_mut()
            .find(|(service, _)| *service == &*span.service)
        {
            Some((_, of_service)) => of_service.push(span),
            None => services.push((&span.service, vec![span])),
        }
    }
    let batch = |(service, spans): (&str, Vec<&Span>)| (batch(service, &spans, namespace), spans.len());
    services.into_iter().map(batch).collect()
}

fn batch(service: &str, spans: &[&Span], namespace: Option<&str>) -> Bytes {
    let mut out = Writer(BytesMut::with_capacity(512 * spans.len()));
    out.structure(1, |process| {
        process.string(1, service);
        if let Some(namespace) = namespace {
            process.list(2, 1);
            process.tag("service.namespace", |tag| tag.text(namespace));
        }
    });
    out.list(2, spans.len());
    for span in spans {
        out.span(span);
    }
    out.stop();
    out.0.freeze()
}

struct Writer(BytesMut);

impl Writer {
    fn field(&mut self, kind: u8, number: i16) {
        self.0.put_u8(kind);
        self.0.put_i16(number);
    }

    fn stop(&mut self) {
        self.0.put_u8(0);
    }

    fn structure(&mut self, number: i16, fields: impl FnOnce(&mut Self)) {
        self.field(STRUCT, number);
        fields(self);
        self.stop();
    }

    /// The head of a list of structures.
    fn list(&mut self, number: i16, length: usize) {
        self.field(LIST, number);
        self.0.put_u8(STRUCT);
        self.0.put_i32(saturated(length));
    }

    fn string(&mut self, number: i16, text: &str) {
        self.field(STRING, number);
        self.0.put_i32(saturated(text.len()));
        self.0.put_slice(text.as_bytes());
    }

    fn i32(&mut self, number: i16, value: i32) {
        self.field(I32, number);
        self.0.put_i32(value);
    }

    fn i64(&mut self, number: i16, value: i64) {
        self.field(I64, number);
        self.0.put_i64(value);
    }

    /// `Tag`: 1 key, 2 vType, and the value.
    fn tag(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.string(1, key);
        value(self);
        self.stop();
    }

    /// 3 vStr
    fn text(&mut self, text: &str) {
        self.i32(2, TAG_STRING);
        self.string(3, text);
    }

    /// 5 vBool
    fn yes(&mut self) {
        self.i32(2, TAG_BOOL);
        self.field(BOOL, 5);
        self.0.put_u8(1);
    }

    /// 6 vLong
    fn long(&mut self, number: i64) {
        self.i32(2, TAG_LONG);
        self.i64(6, number);
    }

    /// `Span`: 1 traceIdLow, 2 traceIdHigh, 3 spanId, 4 parentSpanId (0: none), 5 operationName, 7 flags, 8 startTime and
    /// 9 duration in microseconds, 10 tags.
    fn span(&mut self, span: &Span) {
        let trace = span.context.trace.get();
        self.i64(1, trace as i64);
        self.i64(2, (trace >> 64) as i64);
        self.i64(3, span.context.span.get() as i64);
        self.i64(4, span.parent.map_or(0, |parent| parent.get() as i64));
        self.string(5, &span.name);
        self.i32(7, span.context.sampled.into());
        let start = micros(span.start);
        self.i64(8, start);
        self.i64(9, micros(span.end).saturating_sub(start).max(0));
        self.list(10, span.attributes.len() + 1 + usize::from(span.failed));
        self.tag("span.kind", |tag| {
            tag.text(match span.kind {
                SpanKind::Server => "server",
                SpanKind::Client => "client",
            });
        });
        if span.failed {
            self.tag("error", Self::yes);
        }
        for (name, value) in &span.attributes {
            self.tag(name, |tag| match value {
                Value::Text(text) => tag.text(text),
                Value::Shared(text) => tag.text(text),
                Value::Number(number) => tag.long(*number),
            });
        }
        self.stop();
    }
}

/// Batches and texts are far smaller.
fn saturated(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use mesh_core::trace::{SpanContext, SpanId, TraceId};

    use super::*;

    /// What any reader of Thrift's binary protocol makes of a message, without knowing what it is.
    #[derive(Clone, Debug, PartialEq)]
    enum Read {
        Bool(bool),
        I32(i32),
        I64(i64),
        Text(String),
        Struct(BTreeMap<i16, Self>),
        List(Vec<Self>),
    }

    fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
        let (taken, rest) = bytes.split_first_chunk().expect("enough bytes");
        *bytes = rest;
        *taken
    }

    fn read(kind: u8, bytes: &mut &[u8]) -> Read {
        match kind {
            2 => Read::Bool(take::<1>(bytes) == [1]),
            8 => Read::I32(i32::from_be_bytes(take(bytes))),
            10 => Read::I64(i64::from_be_bytes(take(bytes))),
            11 => {
                let length = i32::from_be_bytes(take(bytes)) as usize;
                let (text, rest) = bytes.split_at(length);
                *bytes = rest;
                Read::Text(String::from_utf8(text.to_vec()).expect("text"))
            }
            12 => {
                let mut fields = BTreeMap::new();
                loop {
                    let [kind] = take(bytes);
                    if kind == 0 {
                        return Read::Struct(fields);
                    }
                    let number = i16::from_be_bytes(take(bytes));
                    assert_eq!(
                        fields.insert(number, read(kind, bytes)),
                        None,
                        "field {number} twice"
                    );
                }
            }
            15 => {
                let [kind] = take(bytes);
                let length = i32::from_be_bytes(take(bytes));
                Read::List((0..length).map(|_| read(kind, bytes)).collect())
            }
            other => panic!("type {other}"),
        }
    }

    fn fields<const N: usize>(fields: [(i16, Read); N]) -> Read {
        Read::Struct(fields.into())
    }

    fn text(text: &str) -> Read {
        Read::Text(text.to_owned())
    }

    fn span(service: &str, failed: bool) -> Span {
        Span {
            context: SpanContext {
                trace: TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).expect("not zero"),
                span: SpanId::new(0xf067_aa0b_a902_b7aa).expect("not zero"),
                sampled: true,
            },
            parent: failed.then(|| SpanId::new(7).expect("not zero")),
            kind: SpanKind::Client,
            name: "GET".into(),
            service: service.into(),
            start: UNIX_EPOCH + Duration::from_micros(1_000_001),
            end: UNIX_EPOCH + Duration::from_micros(1_500_003),
            failed,
            attributes: vec![
                ("url.path", Value::from("/orders/ä")),
                ("http.response.status_code", Value::Number(503)),
            ],
        }
    }

    #[test]
    fn a_batch_reads_as_jaegers_definition_says() {
        let batches = encode(
            &[span("orders", true), span("stock", false), span("orders", false)],
            Some("dept-barc"),
        );
        assert_eq!(
            batches.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [2, 1]
        );
        let mut bytes = &*batches[0].0;
        let batch = read(12, &mut bytes);
        assert!(bytes.is_empty(), "nothing follows");
        let tag = |key: &str, kind: i32, field: i16, value: Read| {
            fields([(1, text(key)), (2, Read::I32(kind)), (field, value)])
        };
        let span = |parent: i64, error: Option<Read>| {
            let tags = [tag("span.kind", 0, 3, text("client"))]
                .into_iter()
                .chain(error)
                .chain([
                    tag("url.path", 0, 3, text("/orders/ä")),
                    tag("http.response.status_code", 3, 6, Read::I64(503)),
                ]);
            fields([
                (1, Read::I64(0xa3ce_929d_0e0e_4736_u64 as i64)),
                (2, Read::I64(0x4bf9_2f35_77b3_4da6)),
                (3, Read::I64(0xf067_aa0b_a902_b7aa_u64 as i64)),
                (4, Read::I64(parent)),
                (5, text("GET")),
                (7, Read::I32(1)),
                (8, Read::I64(1_000_001)),
                (9, Read::I64(500_002)),
                (10, Read::List(tags.collect())),
            ])
        };
        let process = fields([
            (1, text("orders")),
            (
                2,
                Read::List(vec![tag("service.namespace", 0, 3, text("dept-barc"))]),
            ),
        ]);
        let error = tag("error", 2, 5, Read::Bool(true));
        assert_eq!(
            batch,
            fields([
                (1, process),
                (2, Read::List(vec![span(7, Some(error)), span(0, None)]))
            ])
        );
    }
}
