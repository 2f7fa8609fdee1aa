//! Moments, as RFC 3339 writes them: `2026-12-31T00:00:00Z`.

use std::time::{Duration, SystemTime};

use super::context::Wrong;

pub(super) const EXPECTED: &str =
    "a date and time of RFC 3339, as 2026-12-31T00:00:00Z or 2026-12-31T01:00:00+01:00";

/// Reads a moment from 1970 on. Fractions of a second are dropped.
pub(super) fn parse(text: &str) -> Result<SystemTime, Wrong> {
    seconds(text)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or_else(|| Wrong::expected(EXPECTED))
}

/// Seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let clock = match clock.split_once('.') {
        None => clock,
        Some((clock, fraction)) => {
            let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
            digits.then_some(clock)?
        }
    };
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    // A leap second is the first of the next minute to clocks that know none.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
            let east = if zone.starts_with('-') { -1 } else { 1 };
            (hours <= 23 && minutes <= 59).then_some(east * (hours * 3600 + minutes * 60))?
        }
    };
    let of_day = hour * 3600 + minute * 60 + second;
    Some(days_since_1970(year, month, day) * 86_400 + of_day - offset)
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let valid = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = valid.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Counted in years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days_before_month = (153 * month + 2) / 5;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        let moment = parse(text).ok()?;
        moment
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs())
    }

    #[test]
    fn a_moment_is_counted_from_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("2000-02-29T12:00:00z", 951_825_600),
            ("2026-12-31T00:00:00Z", 1_798_675_200),
            ("2026-12-31 00:00:00.999-00:30", 1_798_677_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(unix(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-12-31",
            "2026-12-31T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-12-31T24:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-12-31T00:00:00.Z",
            "2026-12-31T00:00:00+1",
            "1969-12-31T23:59:59Z",
            "é026-12-31T00:00:00Z",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }
}
