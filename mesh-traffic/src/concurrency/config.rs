//! How much at once, and how many may wait.

use std::fmt;
use std::time::Duration;

use super::priority::Priority;

/// How many requests are under way at once.
///
/// ```
/// use mesh_traffic::concurrency::{AdaptiveConfig, ConcurrencyLimit};
///
/// let fixed = ConcurrencyLimit::fixed(64)?;
/// let adaptive = ConcurrencyLimit::adaptive(AdaptiveConfig::default())?;
/// assert!(ConcurrencyLimit::fixed(0).is_err());
/// # Ok::<(), mesh_traffic::concurrency::ConcurrencyConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcurrencyLimit(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Fixed(u32),
    Adaptive(AdaptiveConfig),
}

impl ConcurrencyLimit {
    /// So many, whatever happens: 1 to a million.
    ///
    /// # Errors
    /// With 0 nothing would ever pass.
    pub fn fixed(limit: u32) -> Result<Self, ConcurrencyConfigError> {
        check("limit", limit, 1, MOST)?;
        Ok(Self(Kind::Fixed(limit)))
    }

    /// As many as are answered without waiting for each other.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn adaptive(config: AdaptiveConfig) -> Result<Self, ConcurrencyConfigError> {
        let AdaptiveConfig {
            min,
            max,
            initial,
            buffer,
            interval,
            rest_every,
            rest_samples,
        } = config;
        check("min", min, 1, MOST)?;
        check("max", max, min, MOST)?;
        check("initial", initial, min, max)?;
        check("restSamples", rest_samples, 1, 500)?;
        let refuse = |key, found: String, expected: &str| {
            let expected = expected.to_owned();
            Err(ConcurrencyConfigError { key, found, expected })
        };
        if !(0.0..=10.0).contains(&buffer) {
            return refuse(
                "buffer",
                buffer.to_string(),
                "a ratio from 0 to 10, as 0.25 for a quarter",
            );
        }
        let span = |time| mesh_core::duration::display(time).to_string();
        let minute = Duration::from_secs(60);
        if !(Duration::from_millis(10)..=minute).contains(&interval) {
            return refuse("interval", span(interval), "10ms to 1m");
        }
        if !(interval..=60 * minute).contains(&rest_every) {
            return refuse(
                "restEvery",
                span(rest_every),
                "at least the interval and at most 1h",
            );
        }
        Ok(Self(Kind::Adaptive(config)))
    }
}

/// The most that makes sense to be under way or to wait in one process.
const MOST: u32 = 1_000_000;

fn check(key: &'static str, found: u32, least: u32, most: u32) -> Result<(), ConcurrencyConfigError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(ConcurrencyConfigError {
        key,
        found: found.to_string(),
        expected: format!("{least} to {most}"),
    })
}

/// The settings of a limit that follows the latency.
///
/// From time to time only a few requests are let through, and the median of how long these take is how long the service
/// takes at rest. Afterwards the limit changes once an interval, by how the median of that interval compares: it grows
/// while answers are as fast as at rest, to the double at most, and shrinks while they are slower, to the half at most. A
/// limit that nobody comes near does not grow.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveConfig {
    /// It never becomes lower, and is this low while the latency at rest is measured. Default 3.
    pub min: u32,
    /// It never becomes higher. Default 1000.
    pub max: u32,
    /// What it is at first. Default 20.
    pub initial: u32,
    /// So much slower than at rest is not slow: a ratio. Default 0.25.
    pub buffer: f64,
    /// How often it changes. Default 100 ms.
    pub interval: Duration,
    /// How often the latency at rest is measured again, give or take 15 %. Default 30 s.
    pub rest_every: Duration,
    /// By how many requests. Default 50.
    pub rest_samples: u32,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self {
            min: 3,
            max: 1000,
            initial: 20,
            buffer: 0.25,
            interval: Duration::from_millis(100),
            rest_every: Duration::from_secs(30),
            rest_samples: 50,
        }
    }
}

/// Who may wait, and for how long.
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::concurrency::{Priority, Waiting};
///
/// let waiting = Waiting::new(100)?.share(Priority::Low, 0.2)?.at_most(Duration::from_secs(1))?;
/// assert_eq!(waiting.places(Priority::Low), 20);
/// assert_eq!(Waiting::default().places(Priority::Low), 50);
/// # Ok::<(), mesh_traffic::concurrency::ConcurrencyConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    length: u32,
    places: [u32; 3],
    at_most: Duration,
}

impl Waiting {
    /// How long a request waits unless told otherwise: 3 s.
    pub const AT_MOST: Duration = Duration::from_secs(3);

    /// So many may wait, half of them with low priority. With 0 nobody waits: what is too much is refused at once.
    ///
    /// # Errors
    /// More than a million.
    pub fn new(length: u32) -> Result<Self, ConcurrencyConfigError> {
        check("queue", length, 0, MOST)?;
        Ok(Self {
            length,
            places: [length / 2, length, length],
            at_most: Self::AT_MOST,
        })
    }

    /// Requests of this priority take so much of the line at most, a ratio from 0 to 1; at least one place, unless it
    /// is 0. Default 0.5 for low, 1 for the others.
    ///
    /// # Errors
    /// Not a ratio.
    pub fn share(mut self, priority: Priority, share: f64) -> Result<Self, ConcurrencyConfigError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(ConcurrencyConfigError {
                key: "share",
                found: share.to_string(),
                expected: "a ratio from 0 to 1".into(),
            });
        }
        let places = (f64::from(self.length) * share).round() as u32;
        let least = u32::from(share > 0.0).min(self.length);
        self.places[priority as usize] = places.max(least);
        Ok(self)
    }

    /// Nobody waits longer than this, nor beyond the request's own deadline.
    ///
    /// # Errors
    /// More than an hour.
    pub fn at_most(self, at_most: Duration) -> Result<Self, ConcurrencyConfigError> {
        if at_most > Duration::from_secs(3600) {
            return Err(ConcurrencyConfigError {
                key: "maxWait",
                found: mesh_core::duration::display(at_most).to_string(),
                expected: "at most 1h".into(),
            });
        }
        Ok(Self { at_most, ..self })
    }

    /// How many may wait in all.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// How many of this priority may wait.
    pub fn places(&self, priority: Priority) -> u32 {
        self.places[priority as usize]
    }

    /// How long one may wait.
    pub fn longest(&self) -> Duration {
        self.at_most
    }
}

/// A hundred may wait.
impl Default for Waiting {
    fn default() -> Self {
        Self {
            length: 100,
            places: [50, 100, 100],
            at_most: Self::AT_MOST,
        }
    }
}

/// A setting of a concurrency limit that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrencyConfigError {
    key: &'static str,
    found: String,
    expected: String,
}

impl ConcurrencyConfigError {
    /// The key, as a configuration would name it.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for ConcurrencyConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.key, self.found, self.expected)
    }
}

impl std::error::Error for ConcurrencyConfigError {}
