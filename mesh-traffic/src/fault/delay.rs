//! How long a request waits.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use mesh_core::duration::display;

/// How long a request waits: always as long, or by chance.
///
/// | made by | a wait is |
/// |---|---|
/// | [`fixed`](Self::fixed) | always the same |
/// | [`uniform`](Self::uniform) | anything between two |
/// | [`normal`](Self::normal) | around a mean, as most response times of one machine |
/// | [`pareto`](Self::pareto) | mostly short and sometimes very long, as the tail of a busy service |
///
/// None is longer than [`at_most`](Self::at_most) says, by default [`MAX`](Self::MAX).
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::fault::Delay;
///
/// let second = Duration::from_secs(1);
/// assert_eq!(Delay::fixed(second).sample(7), second);
/// let tail = Delay::pareto(second, 1.5)?.at_most(10 * second);
/// assert!((0..1_000).all(|random| (second..=10 * second).contains(&tail.sample(random))));
/// # Ok::<(), mesh_traffic::fault::DelayError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    kind: Kind,
    at_most: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Fixed(Duration),
    Uniform { least: Duration, most: Duration },
    Normal { mean: Duration, deviation: Duration },
    Pareto { least: Duration, shape: f64 },
}

/// As `1s`, `10ms to 1s`, `1s give or take 100ms`, or `10ms and rarely more`.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Fixed(delay) => display(delay).fmt(f),
            Kind::Uniform { least, most } => write!(f, "{} to {}", display(least), display(most)),
            Kind::Normal { mean, deviation } => {
                write!(f, "{} give or take {}", display(mean), display(deviation))
            }
            Kind::Pareto { least, .. } => write!(f, "{} and rarely more", display(least)),
        }
    }
}

impl Delay {
    /// The longest wait there is: 5 minutes.
    pub const MAX: Duration = Duration::from_secs(5 * 60);

    /// Always as long.
    pub fn fixed(delay: Duration) -> Self {
        Self::of(Kind::Fixed(delay))
    }

    /// Anything from `least` to `most`, all as likely.
    ///
    /// # Errors
    /// `least` is longer than `most`.
    pub fn uniform(least: Duration, most: Duration) -> Result<Self, DelayError> {
        match least <= most {
            true => Ok(Self::of(Kind::Uniform { least, most })),
            false => Err(DelayError::Reversed { least, most }),
        }
    }

    /// A normal distribution. What would be less than nothing is nothing.
    pub fn normal(mean: Duration, deviation: Duration) -> Self {
        Self::of(Kind::Normal { mean, deviation })
    }

    /// A Pareto distribution: never shorter than `least`, and twice as long 2^`shape` times less often. The smaller
    /// the shape, the heavier the tail; up to 1 it has no mean.
    ///
    /// # Errors
    /// `shape` is not a number above 0.
    pub fn pareto(least: Duration, shape: f64) -> Result<Self, DelayError> {
        match shape.is_finite() && shape > 0.0 {
            true => Ok(Self::of(Kind::Pareto { least, shape })),
            false => Err(DelayError::Shape { shape }),
        }
    }

    /// What would be longer is cut to this, and to [`MAX`](Self::MAX) in any case.
    #[must_use]
    pub fn at_most(self, longest: Duration) -> Self {
        Self {
            at_most: longest.min(Self::MAX),
            ..self
        }
    }

    /// A wait, as a random number decides.
    pub fn sample(&self, random: u64) -> Duration {
        self.draw(&mut Rng::with_seed(random))
    }

    pub(super) fn draw(&self, random: &mut Rng) -> Duration {
        let drawn = match self.kind {
            Kind::Fixed(delay) => delay,
            Kind::Uniform { least, most } => {
                let span = (most - least).as_secs_f64() * random.f64();
                least.saturating_add(seconds(span, Self::MAX))
            }
            Kind::Normal { mean, deviation } => {
                let seconds_of_it = deviation
                    .as_secs_f64()
                    .mul_add(normal(random), mean.as_secs_f64());
                seconds(seconds_of_it, Self::MAX)
            }
            Kind::Pareto { least, shape } => {
                // 0 is excluded, 1 is not.
                let share = 1.0 - random.f64();
                seconds(least.as_secs_f64() * share.powf(-1.0 / shape), Self::MAX)
            }
        };
        drawn.min(self.at_most)
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            at_most: Self::MAX,
        }
    }
}

/// Around 0, with a deviation of 1: the polar way of Box and Muller's.
fn normal(random: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

/// What is less than nothing is nothing; what no duration holds is the longest.
fn seconds(seconds: f64, longest: Duration) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(longest)
}

/// Why there is no such [`Delay`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DelayError {
    /// The shortest wait is longer than the longest.
    Reversed {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// There is no Pareto distribution of this shape.
    Shape {
        /// The shape.
        shape: f64,
    },
}

impl fmt::Display for DelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reversed { least, most } => write!(
                f,
                "a delay of at least {} and at most {}: expected the shorter one first",
                mesh_core::duration::display(*least),
                mesh_core::duration::display(*most)
            ),
            Self::Shape { shape } => {
                write!(
                    f,
                    "a Pareto distribution of shape {shape}: expected a number above 0, as 1.5"
                )
            }
        }
    }
}

impl std::error::Error for DelayError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds_of(delay: Delay) -> Vec<f64> {
        let mut random = Rng::with_seed(5);
        let mut drawn: Vec<f64> = (0..20_000)
            .map(|_| delay.draw(&mut random).as_secs_f64())
            .collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    fn mean(drawn: &[f64]) -> f64 {
        drawn.iter().sum::<f64>() / drawn.len() as f64
    }

    #[test]
    fn uniform_waits_fill_their_span_evenly() {
        let drawn = seconds_of(Delay::uniform(SECOND, 3 * SECOND).expect("in order"));
        assert!(drawn[0] >= 1.0 && drawn[19_999] <= 3.0);
        assert!((mean(&drawn) - 2.0).abs() < 0.02, "{}", mean(&drawn));
        assert!((drawn[5_000] - 1.5).abs() < 0.03, "{}", drawn[5_000]);
    }

    #[test]
    fn normal_waits_have_their_mean_and_deviation() {
        let drawn = seconds_of(Delay::normal(10 * SECOND, 2 * SECOND));
        let mean = mean(&drawn);
        let deviation = (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        assert!(
            (mean - 10.0).abs() < 0.06 && (deviation - 2.0).abs() < 0.06,
            "{mean} {deviation}"
        );
        // Most of these would be less than nothing.
        let drawn = seconds_of(Delay::normal(Duration::ZERO, SECOND));
        assert_eq!(drawn[9_000], 0.0);
    }

    #[test]
    fn pareto_waits_have_their_tail() {
        let drawn = seconds_of(Delay::pareto(SECOND, 2.0).expect("a shape"));
        assert!(drawn[0] >= 1.0);
        // The median is the least times the shape's root of two, and a hundredth is ten times as long.
        assert!((drawn[10_000] - 2_f64.sqrt()).abs() < 0.03, "{}", drawn[10_000]);
        assert!((drawn[19_800] - 10.0).abs() < 1.0, "{}", drawn[19_800]);
    }

    #[test]
    fn nothing_waits_longer_than_the_longest() {
        let heavy = Delay::pareto(SECOND, 0.01).expect("a shape");
        assert!((0..1_000).all(|random| heavy.sample(random) <= Delay::MAX));
        let wide = Delay::uniform(Duration::ZERO, Duration::MAX).expect("in order");
        assert!((0..1_000).all(|random| wide.sample(random) <= Delay::MAX));
        assert_eq!(Delay::fixed(Duration::MAX).sample(1), Delay::MAX);
        assert_eq!(Delay::fixed(SECOND).at_most(SECOND / 2).sample(1), SECOND / 2);
        assert_eq!(
            Delay::fixed(Duration::MAX).at_most(Duration::MAX).sample(1),
            Delay::MAX
        );
    }

    #[test]
    fn what_is_no_distribution_is_refused_with_what_was_expected() {
        let reversed = Delay::uniform(2 * SECOND, SECOND).expect_err("reversed");
        assert_eq!(
            reversed.to_string(),
            "a delay of at least 2s and at most 1s: expected the shorter one first"
        );
        for shape in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Delay::pareto(SECOND, shape).expect_err("no shape").to_string();
            assert!(error.ends_with("expected a number above 0, as 1.5"), "{error}");
        }
    }
}
