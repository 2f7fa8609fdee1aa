//! Durations as people write them: with a unit, or a bare number in the unit of the key.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::{EXPECTED, MAX, display, parse};
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

struct Written {
    a_number_is: Duration,
}

impl Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{EXPECTED}; a bare number counts {}",
            display(self.a_number_is)
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Duration, E> {
        let duration = Duration::try_from_secs_f64(number * self.a_number_is.as_secs_f64());
        match duration {
            Ok(duration) if duration <= MAX => Ok(duration),
            _ => Err(E::custom(format!(
                "{number} is not a duration: expected {EXPECTED}"
            ))),
        }
    }
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Written {
        a_number_is: Duration::from_secs(1),
    })
}

pub(super) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let a_number_is = Duration::from_millis(1);
    deserializer.deserialize_any(Written { a_number_is }).map(Some)
}

pub(super) fn write<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&display(*duration))
}

pub(super) fn write_some<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => write(duration, serializer),
        None => serializer.serialize_none(),
    }
}
