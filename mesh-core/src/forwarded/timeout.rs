//! How much time a request says there is for it.

use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::X_MESH_DEADLINE_MS;
use super::believed::number;

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The shorter of what these fields say in the two ways there are.
pub(crate) fn allowed(headers: &HeaderMap) -> Option<Duration> {
    let told = [of_mesh(headers), of_grpc(headers)];
    told.into_iter().flatten().min()
}

pub(super) fn of_mesh(headers: &HeaderMap) -> Option<Duration> {
    let millis = number(headers, &X_MESH_DEADLINE_MS)?;
    Some(Duration::from_millis(u64::from(millis)))
}

/// At most eight digits and a unit, as gRPC over HTTP/2 writes it.
pub(super) fn of_grpc(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?;
    let (digits, unit) = value
        .to_str()
        .ok()?
        .split_at_checked(value.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The finest of the units from a microsecond on of which eight digits are enough. Never none at all, which is no
/// timeout, and never longer than is left, but for what is shorter than a microsecond.
pub(crate) fn grpc_timeout(left: Duration) -> HeaderValue {
    const LARGEST: u128 = 99_999_999;
    let seconds = u128::from(left.as_secs());
    let units = [
        (left.as_micros().max(1), 'u'),
        (left.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
        (seconds / 3600, 'H'),
    ];
    let fits = units.into_iter().find(|(amount, _)| *amount <= LARGEST);
    let (amount, unit) = fits.unwrap_or((LARGEST, 'H'));
    // Digits and a letter are always a value.
    HeaderValue::try_from(format!("{amount}{unit}")).unwrap_or_else(|_| HeaderValue::from_static("1u"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timeout_is_told_in_the_finest_unit_that_has_room() {
        for (left, told) in [
            (Duration::from_nanos(1), "1u"),
            (Duration::from_micros(1500), "1500u"),
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_micros(100_000_999), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(grpc_timeout(left), told);
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_again_and_is_never_more(secs in 0..u64::MAX, nanos in 1000..1_000_000_000_u32) {
            let left = Duration::new(secs, nanos);
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, grpc_timeout(left));
            let read = of_grpc(&headers).expect("read again");
            prop_assert!(!read.is_zero() && read <= left, "{read:?} of {left:?}");
        }
    }
}
