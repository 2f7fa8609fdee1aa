//! The ids of a request: written into one buffer, which its fields share.

use std::ops::Range;

use bytes::Bytes;
use http::header::HeaderValue;

use super::trace::TraceContext;
use crate::trace::{SampleRatio, SpanContext, SpanId, TraceId};

const REQUEST_ID: usize = 36;
const TRACEPARENT: usize = 55;

/// `<request id><traceparent>`
pub(super) struct Ids(Bytes);

/// What a request goes on as.
pub(super) enum Parent<'t> {
    /// A part of this span.
    Span(SpanContext),
    /// A part of the span it came from.
    Same(&'t TraceContext),
    /// The first of a new trace, of which this share is sampled.
    New(SampleRatio),
}

impl Ids {
    /// A new request id, and this parent.
    pub(super) fn new(parent: &Parent<'_>) -> Self {
        let mut text = [b'-'; REQUEST_ID + TRACEPARENT];
        let (id, field) = text.split_at_mut(REQUEST_ID);
        write_uuid(id);
        write_parent(field, parent);
        Self(Bytes::from_owner(text))
    }

    pub(super) fn request_id(&self) -> HeaderValue {
        self.slice(0, REQUEST_ID)
    }

    pub(super) fn traceparent(&self) -> HeaderValue {
        self.slice(REQUEST_ID, REQUEST_ID + TRACEPARENT)
    }

    pub(super) fn trace_id(&self) -> HeaderValue {
        self.slice(REQUEST_ID + 3, REQUEST_ID + 35)
    }

    pub(super) fn span_id(&self) -> HeaderValue {
        self.slice(REQUEST_ID + 36, REQUEST_ID + 52)
    }

    fn slice(&self, from: usize, to: usize) -> HeaderValue {
        value(self.0.slice(from..to))
    }
}

/// The `traceparent` of a span alone, and the ids in it.
pub(super) struct ParentIds(Bytes);

impl ParentIds {
    const TRACE: Range<usize> = 3..35;

    pub(super) fn new(parent: SpanContext) -> Self {
        let mut text = [b'-'; TRACEPARENT];
        write_parent(&mut text, &Parent::Span(parent));
        Self(Bytes::from_owner(text))
    }

    /// Whether their trace has this id.
    pub(super) fn are_of(&self, trace: &HeaderValue) -> bool {
        self.0.get(Self::TRACE) == Some(trace.as_bytes())
    }

    pub(super) fn trace_id(&self) -> HeaderValue {
        value(self.0.slice(Self::TRACE))
    }

    pub(super) fn span_id(&self) -> HeaderValue {
        value(self.0.slice(36..52))
    }

    pub(super) fn into_traceparent(self) -> HeaderValue {
        value(self.0)
    }
}

fn write_parent(field: &mut [u8], parent: &Parent<'_>) {
    field[..2].copy_from_slice(b"00");
    let sampled = match parent {
        Parent::Span(parent) => write_ids(field, *parent),
        Parent::Same(parent) => {
            field[3..35].copy_from_slice(&parent.trace);
            field[36..52].copy_from_slice(&parent.span);
            parent.sampled
        }
        Parent::New(ratio) => {
            let mut random = fastrand::Rng::new();
            let (trace, span) = (TraceId::random(&mut random), SpanId::random(&mut random));
            let sampled = ratio.chooses(trace);
            write_ids(field, SpanContext { trace, span, sampled })
        }
    };
    field[53..].copy_from_slice(if sampled { b"01" } else { b"00" });
}

fn write_ids(field: &mut [u8], parent: SpanContext) -> bool {
    let trace = parent.trace.get();
    write_hex(&mut field[3..19], (trace >> 64) as u64);
    write_hex(&mut field[19..35], trace as u64);
    write_hex(&mut field[36..52], parent.span.get());
    parent.sampled
}

/// A new request id alone.
pub(super) fn request_id() -> HeaderValue {
    let mut text = [b'-'; REQUEST_ID];
    write_uuid(&mut text);
    value(Bytes::from_owner(text))
}

fn value(text: Bytes) -> HeaderValue {
    // Hexadecimal digits and dashes are always a value.
    let value = HeaderValue::from_maybe_shared(text);
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    // HTTP/2 would note it for the next time, and push out of its table what does come again.
    value.set_sensitive(true);
    value
}

/// A random UUID: version 4, variant 1 (RFC 9562 §5.4).
fn write_uuid(out: &mut [u8]) {
    let high = (fastrand::u64(..) & !(0xf << 12)) | (0x4 << 12);
    let low = (fastrand::u64(..) & !(0b11 << 62)) | (0b10 << 62);
    let mut digits = [0; 32];
    write_hex(&mut digits[..16], high);
    write_hex(&mut digits[16..], low);
    for (to, from) in [
        (0..8, 0..8),
        (9..13, 8..12),
        (14..18, 12..16),
        (19..23, 16..20),
        (24..36, 20..32),
    ] {
        out[to].copy_from_slice(&digits[from]);
    }
}

/// Sixteen digits.
fn write_hex(out: &mut [u8], number: u64) {
    out[..8].copy_from_slice(&eight_digits((number >> 32) as u32));
    out[8..].copy_from_slice(&eight_digits(number as u32));
}

/// Eight digits: all of them at once.
fn eight_digits(number: u32) -> [u8; 8] {
    let fours = u64::from(number);
    let fours = (fours | fours << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
    // Each in a byte of its own.
    let values = (pairs | pairs << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (values + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let to_a = u64::from(b'a' - b'0' - 10);
    (values + 0x3030_3030_3030_3030 + letters * to_a).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_those_of_the_number(number: u64) {
            let mut digits = [0; 16];
            write_hex(&mut digits, number);
            prop_assert_eq!(std::str::from_utf8(&digits), Ok(&*format!("{number:016x}")));
        }
    }
}
