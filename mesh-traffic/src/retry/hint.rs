//! What an answer says about when to come again: `Retry-After`, and gRPC's push-back.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// When to try again, as the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It says nothing.
    None,
    /// Not before so long.
    NotBefore(Duration),
    /// After exactly so long.
    Exactly(Duration),
    /// Not at all.
    Never,
}

impl Hint {
    /// What these fields say. The time of day is only asked for a date.
    pub(super) fn in_fields(fields: &HeaderMap, today: impl FnOnce() -> SystemTime) -> Self {
        if let Some(pushback) = fields.get(PUSHBACK) {
            // Negative or no number of 32 bits: not at all (gRFC A6).
            let millis = pushback.to_str().ok().and_then(|text| text.parse::<i32>().ok());
            return match millis.and_then(|millis| u64::try_from(millis).ok()) {
                Some(millis) => Self::Exactly(Duration::from_millis(millis)),
                None => Self::Never,
            };
        }
        let Some(text) = fields.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else {
            return Self::None;
        };
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // What is no number of 64 bits is later than anybody waits.
            return Self::NotBefore(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        match httpdate::parse_http_date(text) {
            Ok(date) => Self::NotBefore(date.duration_since(today()).unwrap_or_default()),
            // Not what HTTP allows there: as if it were not there.
            Err(_) => Self::None,
        }
    }

    /// The later of two hints: of the head and of the trailers.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::None => other,
            said => said,
        }
    }

    /// How long to wait, if the back-off asks for so long. `None`: not at all, or longer than `most`.
    pub(super) fn wait(
        self,
        most: Duration,
        random: &mut fastrand::Rng,
        backoff: impl FnOnce(&mut fastrand::Rng) -> Duration,
    ) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::None => Some(backoff(random)),
            Self::Exactly(after) => (after <= most).then_some(after),
            // All that were told the same must not come back at once.
            Self::NotBefore(after) => {
                (after <= most).then(|| after + (after / 2).mul_f64(random.f64()).max(backoff(random)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(fields: &[(&'static str, &str)]) -> Hint {
        let fields: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        // Sun, 06 Nov 1994 08:49:00 GMT
        Hint::in_fields(&fields, || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_740)
        })
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("0", Hint::NotBefore(seconds(0))),
            ("120", Hint::NotBefore(seconds(120))),
            (" 5 ", Hint::NotBefore(seconds(5))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Hint::NotBefore(seconds(37))),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Hint::NotBefore(seconds(0))),
            ("99999999999999999999999", Hint::NotBefore(seconds(u64::MAX))),
            ("-1", Hint::None),
            ("soon", Hint::None),
            ("", Hint::None),
        ] {
            assert_eq!(hint(&[("retry-after", text)]), expected, "{text:?}");
        }
        assert_eq!(hint(&[]), Hint::None);
    }

    #[test]
    fn push_back_is_exact_and_anything_odd_in_it_means_no() {
        let millis = Duration::from_millis;
        for (text, expected) in [
            ("0", Hint::Exactly(millis(0))),
            ("1500", Hint::Exactly(millis(1500))),
            ("-1", Hint::Never),
            ("4294967296", Hint::Never),
            ("", Hint::Never),
            ("1.5", Hint::Never),
        ] {
            assert_eq!(
                hint(&[(PUSHBACK, text), ("retry-after", "9")]),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_asks_for_too_long_is_not_waited_for() {
        let mut random = fastrand::Rng::with_seed(1);
        let most = Duration::from_secs(10);
        let (short, long) = (Duration::from_secs(10), Duration::from_secs(11));
        let backoff = |_: &mut fastrand::Rng| Duration::from_millis(7);
        assert_eq!(
            Hint::None.wait(most, &mut random, backoff),
            Some(Duration::from_millis(7))
        );
        assert_eq!(Hint::Exactly(short).wait(most, &mut random, backoff), Some(short));
        for not in [Hint::Exactly(long), Hint::NotBefore(long), Hint::Never] {
            assert_eq!(not.wait(most, &mut random, backoff), None);
        }
        for _ in 0..100 {
            let wait = Hint::NotBefore(short)
                .wait(most, &mut random, backoff)
                .expect("not too long");
            assert!(wait > short && wait <= short * 3 / 2, "{wait:?}");
        }
    }
}
