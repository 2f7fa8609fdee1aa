//! Trace context in: W3C Trace Context, or B3 where there is none.

use http::HeaderMap;

/// The trace a request belongs to, as its fields tell it: lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    pub(super) trace: [u8; 32],
    pub(super) span: [u8; 16],
    pub(super) sampled: bool,
    /// It came as a `traceparent` that can be passed on as it is.
    pub(super) w3c: bool,
}

/// The well-formed trace context in these fields. `traceparent` counts before B3.
pub(super) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    w3c(headers).or_else(|| b3_single(headers)).or_else(|| b3_many(headers))
}

fn w3c(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all("traceparent").iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() || value.len() < 55 {
        return None;
    }
    let (version, rest) = (value.get(..2)?, value.get(2..)?);
    // A later version may be longer, and only at a dash; ff is no version.
    let known = version == b"00" && value.len() == 55;
    let later = version != b"00" && version != b"ff" && is_hex(version) && value.get(55).is_none_or(|b| *b == b'-');
    let dashes = rest.first() == Some(&b'-') && rest.get(33) == Some(&b'-') && rest.get(50) == Some(&b'-');
    if !(known || later) || !dashes {
        return None;
    }
    let flags = rest.get(51..53).filter(|flags| is_hex(flags))?;
    let trace = id::<32>(rest.get(1..33)?)?;
    let span = id::<16>(rest.get(34..50)?)?;
    Some(TraceContext { trace, span, sampled: nibble(*flags.last()?)? & 1 == 1, w3c: known })
}

/// `b3: <trace>-<span>[-<sampled>[-<parent>]]`
fn b3_single(headers: &HeaderMap) -> Option<TraceContext> {
    let value = headers.get("b3")?.to_str().ok()?;
    let mut parts = value.split('-');
    let (trace, span, state) = (parts.next()?, parts.next()?, parts.next());
    Some(TraceContext { trace: b3_trace(trace)?, span: id(span.as_bytes())?, sampled: matches!(state, Some("1" | "d")), w3c: false })
}

fn b3_many(headers: &HeaderMap) -> Option<TraceContext> {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let sampled = matches!(field("x-b3-sampled"), Some("1" | "true")) || field("x-b3-flags") == Some("1");
    let (trace, span) = (field("x-b3-traceid")?, field("x-b3-spanid")?);
    Some(TraceContext { trace: b3_trace(trace)?, span: id(span.as_bytes())?, sampled, w3c: false })
}

/// B3 knows trace ids of half the length.
fn b3_trace(text: &str) -> Option<[u8; 32]> {
    if text.len() == 16 {
        let mut whole = [b'0'; 32];
        whole[16..].copy_from_slice(&id::<16>(text.as_bytes())?);
        return Some(whole);
    }
    id(text.as_bytes())
}

fn id<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = text.try_into().ok()?;
    (is_hex(&id) && id.iter().any(|b| *b != b'0')).then_some(id)
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn nibble(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}
