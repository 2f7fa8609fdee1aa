//! Trace context in: W3C Trace Context, or B3 where there is none.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::believed::one;
use super::{TRACEPARENT, TRACESTATE};
use crate::trace::{SpanContext, SpanId, TraceId};

/// The trace a request belongs to, as its fields tell it: lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    pub(super) trace: [u8; 32],
    pub(super) span: [u8; 16],
    pub(super) sampled: bool,
    /// It came as a `traceparent`.
    pub(super) w3c: bool,
    /// It came as a `traceparent` that can be passed on as it is.
    pub(super) exact: bool,
}

impl TraceContext {
    #[inline]
    pub(super) fn span_context(&self) -> Option<SpanContext> {
        Some(SpanContext {
            trace: TraceId::new(number(&self.trace))?,
            span: SpanId::new(number(&self.span) as u64)?,
            sampled: self.sampled,
        })
    }
}

/// The number of these hexadecimal digits in lower case, of which there are a multiple of eight.
fn number(digits: &[u8]) -> u128 {
    let (eights, _) = digits.as_chunks();
    eights
        .iter()
        .fold(0, |number, eight| number << 32 | u128::from(eight_digits(*eight)))
}

/// The number of eight digits, each of which is in a byte of its own: all of them at once.
fn eight_digits(digits: [u8; 8]) -> u64 {
    let digits = u64::from_be_bytes(digits);
    // The lower half of a letter counts from one, and only letters have this bit in the upper one.
    let values = (digits & 0x0f0f_0f0f_0f0f_0f0f) + 9 * (digits >> 6 & 0x0101_0101_0101_0101);
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) & 0xffff_ffff
}

/// The well-formed trace context in these fields. `traceparent` counts before B3.
pub(super) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    w3c(headers)
        .or_else(|| b3_single(headers))
        .or_else(|| b3_many(headers))
}

fn w3c(headers: &HeaderMap) -> Option<TraceContext> {
    in_field(one(headers, &TRACEPARENT)?)
}

/// The well-formed trace context in a `traceparent`.
pub(super) fn in_field(value: &HeaderValue) -> Option<TraceContext> {
    let value = value.as_bytes();
    if value.len() < 55 {
        return None;
    }
    let (version, rest) = (value.get(..2)?, value.get(2..)?);
    // A later version may be longer, and only at a dash; ff is no version.
    let known = version == b"00" && value.len() == 55;
    let later =
        version != b"00" && version != b"ff" && is_hex(version) && value.get(55).is_none_or(|b| *b == b'-');
    let dashes = rest.first() == Some(&b'-') && rest.get(33) == Some(&b'-') && rest.get(50) == Some(&b'-');
    if !(known || later) || !dashes {
        return None;
    }
    let flags = rest.get(51..53).filter(|flags| is_hex(flags))?;
    let trace = id::<32>(rest.get(1..33)?)?;
    let span = id::<16>(rest.get(34..50)?)?;
    let sampled = char::from(*flags.last()?).to_digit(16)? & 1 == 1;
    Some(TraceContext {
        trace,
        span,
        sampled,
        w3c: true,
        exact: known,
    })
}

/// Whether `tracestate` is what the specification allows: at most 32 members `key=value` and 8 KiB.
pub(super) fn is_state(headers: &HeaderMap) -> bool {
    let (mut members, mut bytes) = (0, 0);
    for line in headers.get_all(TRACESTATE) {
        bytes += line.len();
        for member in line
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|m| !m.is_empty())
        {
            members += 1;
            if !is_member(member) {
                return false;
            }
        }
    }
    members <= 32 && bytes <= 8192
}

fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|b| *b == b'=') else {
        return false;
    };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let key_byte = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value_byte = |b: &u8| matches!(b, b' '..=b'~') && *b != b'=';
    (1..=256).contains(&key.len())
        && key.iter().all(key_byte)
        && (1..=256).contains(&value.len())
        && value.iter().all(value_byte)
}

/// `b3: <trace>-<span>[-<sampled>[-<parent>]]`
fn b3_single(headers: &HeaderMap) -> Option<TraceContext> {
    let value = one(headers, &HeaderName::from_static("b3"))?.to_str().ok()?;
    let mut parts = value.split('-');
    let (trace, span, state, parent) = (parts.next()?, parts.next()?, parts.next(), parts.next());
    let fine = matches!(state, None | Some("0" | "1" | "d"))
        && parent.is_none_or(|parent| id::<16>(parent.as_bytes()).is_some())
        && parts.next().is_none();
    if fine {
        b3(trace, span, matches!(state, Some("1" | "d")))
    } else {
        None
    }
}

fn b3_many(headers: &HeaderMap) -> Option<TraceContext> {
    let field = |name: &'static str| one(headers, &HeaderName::from_static(name))?.to_str().ok();
    let sampled = matches!(field("x-b3-sampled"), Some("1" | "true")) || field("x-b3-flags") == Some("1");
    b3(field("x-b3-traceid")?, field("x-b3-spanid")?, sampled)
}

/// B3 knows trace ids of half the length, too.
fn b3(trace: &str, span: &str, sampled: bool) -> Option<TraceContext> {
    let trace = if trace.len() == 16 {
        let mut whole = [b'0'; 32];
        whole[16..].copy_from_slice(&id::<16>(trace.as_bytes())?);
        whole
    } else {
        id(trace.as_bytes())?
    };
    Some(TraceContext {
        trace,
        span: id(span.as_bytes())?,
        sampled,
        w3c: false,
        exact: false,
    })
}

fn id<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = text.try_into().ok()?;
    (is_hex(&id) && id.iter().any(|b| *b != b'0')).then_some(id)
}

fn is_hex(text: &[u8]) -> bool {
    // Mostly it is: to look at all of it takes fewer instructions than to stop at each.
    text.iter()
        .fold(true, |hex, b| hex & matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_number_of_digits_is_the_one_they_were_written_from(trace: u128, span: u64) {
            prop_assert_eq!(number(format!("{trace:032x}").as_bytes()), trace);
            prop_assert_eq!(number(format!("{span:016x}").as_bytes()), u128::from(span));
        }
    }
}
