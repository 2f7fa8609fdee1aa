//! The names of traces and spans, and which traces are kept.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// The id of a trace. Never zero, which is no id.
///
/// ```
/// use mesh_core::trace::TraceId;
///
/// let id = TraceId::new(0x4bf92f3577b34da6a3ce929d0e0e4736).expect("not zero");
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(TraceId::new(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// The id of this number.
    pub const fn new(number: u128) -> Option<Self> {
        match NonZeroU128::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// A new one.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        // One bit keeps it from being zero.
        Self(NonZeroU128::MIN | (u128::from(random.u64(..)) << 64 | u128::from(random.u64(..)) << 1))
    }

    /// The number.
    pub const fn get(self) -> u128 {
        self.0.get()
    }
}

/// The id of a span. Never zero, which is no id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// The id of this number.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// A new one.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        Self(NonZeroU64::MIN | (random.u64(..) << 1))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

/// A span, as those who are called for it know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace it belongs to.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the trace is kept.
    pub sampled: bool,
}

impl SpanContext {
    /// Another span of the same trace.
    #[must_use]
    pub const fn with_span(self, span: SpanId) -> Self {
        Self { span, ..self }
    }
}

/// The share of traces that are kept. The same trace is chosen by everyone with the same ratio, and by everyone with a
/// greater one.
///
/// ```
/// use mesh_core::trace::{SampleRatio, TraceId};
///
/// let trace = TraceId::new(0x4bf92f3577b34da6_23ce929d0e0e4736).expect("not zero");
/// assert!(SampleRatio::ALWAYS.chooses(trace) && !SampleRatio::NEVER.chooses(trace));
/// assert!(SampleRatio::new(0.2).chooses(trace) && !SampleRatio::new(0.1).chooses(trace));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRatio(u64);

impl SampleRatio {
    /// Every trace.
    pub const ALWAYS: Self = Self(u64::MAX);
    /// No trace.
    pub const NEVER: Self = Self(0);

    /// A ratio, 0 to 1. Beyond, it is the nearer of both; 0 for what is no number.
    pub fn new(ratio: f64) -> Self {
        // The cast saturates, and makes 0 of what is no number.
        Self((ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64)
    }

    /// Whether a trace is one of them: by the half of its id that is random in every format.
    pub const fn chooses(self, trace: TraceId) -> bool {
        self.draws(trace.get() as u64)
    }

    /// The same for what has no trace, by a random number.
    pub const fn draws(self, random: u64) -> bool {
        self.0 == u64::MAX || random < self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_many_traces_are_chosen_as_the_ratio_says() {
        let mut random = fastrand::Rng::with_seed(7);
        for (ratio, least, most) in [
            (0.0, 0, 0),
            (0.1, 850, 1150),
            (0.5, 4800, 5200),
            (1.0, 10_000, 10_000),
            (f64::NAN, 0, 0),
            (-1.0, 0, 0),
            (7.0, 10_000, 10_000),
        ] {
            let ratio = SampleRatio::new(ratio);
            let chosen = (0..10_000)
                .filter(|_| ratio.chooses(TraceId::random(&mut random)))
                .count();
            assert!((least..=most).contains(&chosen), "{chosen} of {ratio:?}");
        }
    }

    proptest! {
        #[test]
        fn a_greater_ratio_chooses_what_a_smaller_one_does(trace: u128, a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let trace = TraceId::new(trace | 1).expect("not zero");
            let (less, more) = (SampleRatio::new(a.min(b)), SampleRatio::new(a.max(b)));
            prop_assert!(!less.chooses(trace) || more.chooses(trace));
        }

        #[test]
        fn new_ids_are_never_zero_and_hardly_ever_the_same(seed: u64) {
            let mut random = fastrand::Rng::with_seed(seed);
            let traces = [(); 2].map(|()| TraceId::random(&mut random));
            let spans = [(); 2].map(|()| SpanId::random(&mut random));
            prop_assert!(traces[0] != traces[1] && spans[0] != spans[1]);
        }
    }
}
