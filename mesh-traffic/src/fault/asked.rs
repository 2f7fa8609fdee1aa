//! Trouble that a request asks for.

use std::num::NonZeroU64;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use mesh_core::{GrpcCode, duration, size};

use super::abort::Abort;
use super::delay::Delay;
use super::faults::Fault;

const DELAY: HeaderName = HeaderName::from_static("x-mesh-fault-delay");
const ABORT: HeaderName = HeaderName::from_static("x-mesh-fault-abort");
const GRPC: HeaderName = HeaderName::from_static("x-mesh-fault-grpc");
const RESET: HeaderName = HeaderName::from_static("x-mesh-fault-reset");
const THROTTLE: HeaderName = HeaderName::from_static("x-mesh-fault-throttle");

/// Trouble that a request asks for, in its fields:
///
/// | field | |
/// |---|---|
/// | `x-mesh-fault-delay: 250ms` | it waits, at most [`Delay::MAX`] |
/// | `x-mesh-fault-abort: 503` | it is ended with this status ([`Abort::new`]) |
/// | `x-mesh-fault-grpc: 10` | it is ended; a gRPC call with this code, any other with 503 unless it says otherwise |
/// | `x-mesh-fault-reset: 1KiB` | its response breaks off after so many bytes |
/// | `x-mesh-fault-throttle: 64KiB` | its response comes with so many bytes a second |
///
/// Who may write a field of the mesh may do anything with it. So only a caller who has proved who it is is heard: the
/// [`FaultLayer`](super::FaultLayer) listens to those with an identity alone, and the edge of a mesh takes these
/// fields, as all of its own, from everybody else. What cannot be read is not asked for.
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::fault::Asked;
///
/// let request = http::Request::get("/").header("x-mesh-fault-delay", "250ms").body(())?;
/// let asked = Asked::of(request.headers()).expect("it asks");
/// assert_eq!(asked.fault().delay, Some(Duration::from_millis(250)));
/// assert!(asked.fault().abort.is_none());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(Fault);

impl Asked {
    /// What these fields ask for.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).map(HeaderValue::to_str)?.ok();
        let delay = text(DELAY).and_then(|text| duration::parse(text).ok());
        let code = text(GRPC).and_then(|text| GrpcCode::new(text.parse().ok()?));
        let status = text(ABORT).and_then(|text| Abort::new(text.parse().ok()?));
        let abort = match code {
            Some(code) => status
                .or_else(|| Abort::new(503))
                .map(|abort| abort.with_grpc_code(code)),
            None => status,
        };
        let fault = Fault {
            delay: delay.map(|delay| delay.min(Delay::MAX)),
            abort,
            reset: text(RESET).and_then(|text| size::parse(text).ok()),
            throttle: text(THROTTLE).and_then(|text| NonZeroU64::new(size::parse(text).ok()?)),
        };
        (fault != Fault::default()).then_some(Self(fault))
    }

    /// Takes these fields out, so that trouble is not made twice.
    pub fn strip(headers: &mut HeaderMap) {
        for name in [DELAY, ABORT, GRPC, RESET, THROTTLE] {
            headers.remove(name);
        }
    }

    /// What is asked for.
    pub fn fault(&self) -> Fault {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(fields: &[(&'static str, &'static str)]) -> Option<Fault> {
        let headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Asked::of(&HeaderMap::from_iter(headers)).map(|asked| asked.fault())
    }

    #[test]
    fn every_kind_can_be_asked_for() {
        let fault = asked(&[
            ("x-mesh-fault-delay", "2s"),
            ("x-mesh-fault-abort", "418"),
            ("x-mesh-fault-grpc", "10"),
            ("x-mesh-fault-reset", "10B"),
            ("x-mesh-fault-throttle", "1KiB"),
        ])
        .expect("it asks");
        assert_eq!(fault.delay, Some(Duration::from_secs(2)));
        assert_eq!(
            fault.abort.map(|abort| abort.error().http_status().as_u16()),
            Some(418)
        );
        assert_eq!(
            fault.abort.map(|abort| abort.error().grpc_code()),
            Some(GrpcCode::ABORTED)
        );
        assert_eq!(
            (fault.reset, fault.throttle.map(NonZeroU64::get)),
            (Some(10), Some(1024))
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_asked_for() {
        for (name, value) in [
            ("x-mesh-fault-delay", "soon"),
            ("x-mesh-fault-delay", "-1s"),
            ("x-mesh-fault-abort", "101"),
            ("x-mesh-fault-abort", "99999999999"),
            ("x-mesh-fault-grpc", "17"),
            ("x-mesh-fault-reset", "all"),
            ("x-mesh-fault-throttle", "0B"),
            ("x-mesh-error", "timeout"),
        ] {
            assert_eq!(asked(&[(name, value)]), None, "{name}: {value}");
        }
        let fault = asked(&[("x-mesh-fault-delay", "9h")]).expect("it asks");
        assert_eq!(fault.delay, Some(Delay::MAX));
    }
}
