//! The ids of a request: written into one buffer, which its fields share.

use bytes::Bytes;
use http::header::HeaderValue;

use super::trace::TraceContext;

const REQUEST_ID: usize = 36;
const TRACEPARENT: usize = 55;

/// `<request id><traceparent>`
pub(super) struct Ids(Bytes);

impl Ids {
    /// Of this trace, or of a new one, which is sampled at this threshold: 0 is never, `u64::MAX` always.
    pub(super) fn new(trace: Option<&TraceContext>, threshold: u64) -> Self {
        let mut text = [b'-'; REQUEST_ID + TRACEPARENT];
        let (id, parent) = text.split_at_mut(REQUEST_ID);
        write_uuid(id);
        parent[..2].copy_from_slice(b"00");
        let sampled = match trace {
            Some(trace) => {
                parent[3..35].copy_from_slice(&trace.trace);
                parent[36..52].copy_from_slice(&trace.span);
                trace.sampled
            }
            None => {
                let low = fastrand::u64(..);
                // An id of zeros only is none; one bit prevents it.
                write_hex(&mut parent[3..19], fastrand::u64(..) | 1);
                write_hex(&mut parent[19..35], low);
                write_hex(&mut parent[36..52], fastrand::u64(..) | 1);
                threshold == u64::MAX || low < threshold
            }
        };
        parent[53..].copy_from_slice(if sampled { b"01" } else { b"00" });
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
    for (pair, byte) in out.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0xf)];
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
