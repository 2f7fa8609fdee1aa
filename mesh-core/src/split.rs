//! Who decides how a service's traffic is split tells it to who routes: the seam between canaries and routing.

use std::fmt;

use crate::error::BoxError;
use crate::name::{ServiceName, Version};

/// Takes the shares of a service's versions. A rollout writes here; a router reads what was written last.
///
/// ```
/// use std::sync::Mutex;
/// use mesh_core::split::{SplitError, TrafficSplit, Weights};
///
/// #[derive(Default)]
/// struct Recorder(Mutex<Vec<Weights>>);
///
/// impl TrafficSplit for Recorder {
///     fn set_weights(&self, weights: &Weights) -> Result<(), SplitError> {
///         self.0.lock().expect("not poisoned").push(weights.clone());
///         Ok(())
///     }
/// }
///
/// let split = Recorder::default();
/// let weights = Weights::two("orders".parse()?, ("v1".parse()?, "v2".parse()?), 5)?;
/// split.set_weights(&weights)?;
/// assert_eq!(split.0.lock().expect("not poisoned").as_slice(), [weights]);
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
pub trait TrafficSplit: Send + Sync + 'static {
    /// Replaces the shares of the service whole. When it returns, requests that come from now on are split so.
    /// Setting the shares it has already changes nothing.
    ///
    /// # Errors
    /// The shares before stay in force.
    fn set_weights(&self, weights: &Weights) -> Result<(), SplitError>;
}

const _: fn(&dyn TrafficSplit) = |_| {};

/// How a request came to its version: what may be compared with the requests of another version, and what may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// By the shares: it was drawn, or there was nothing to draw.
    #[default]
    Drawn,
    /// By the shares, as all requests of its user, who has this key. The key says nothing about the version: it is no
    /// part of what was drawn by.
    Kept(u64),
    /// It asked for it by a header or a cookie, or a rule sent it there. Such requests are no fair sample.
    Asked,
}

/// The shares of a service's versions, in percent. Each version once, 100 in all.
///
/// ```
/// use mesh_core::split::Weights;
///
/// let weights = Weights::new("orders".parse()?, [("v1".parse()?, 95), ("v2".parse()?, 5)])?;
/// assert_eq!(weights.share(&"v2".parse()?), 5);
/// assert_eq!(weights.share(&"v3".parse()?), 0);
/// assert_eq!(weights.to_string(), "orders: v1 95%, v2 5%");
///
/// let error = Weights::new("orders".parse()?, [("v1".parse()?, 95)]).expect_err("5 are missing");
/// assert_eq!(error.to_string(), "the weights of orders add up to 95: expected 100");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    service: ServiceName,
    shares: Vec<(Version, u8)>,
}

impl Weights {
    /// These shares, in this order.
    ///
    /// # Errors
    /// A version occurs twice, or the shares do not add up to 100.
    pub fn new(
        service: ServiceName,
        shares: impl IntoIterator<Item = (Version, u8)>,
    ) -> Result<Self, WeightsError> {
        let shares: Vec<(Version, u8)> = shares.into_iter().collect();
        for (n, (version, _)) in shares.iter().enumerate() {
            if shares[..n].iter().any(|(earlier, _)| earlier == version) {
                return Err(WeightsError {
                    service,
                    problem: Problem::Twice(version.clone()),
                });
            }
        }
        match shares.iter().map(|(_, share)| u64::from(*share)).sum() {
            100 => Ok(Self { service, shares }),
            sum => Err(WeightsError {
                service,
                problem: Problem::Sum(sum),
            }),
        }
    }

    /// Everything to one version.
    pub fn all_to(service: ServiceName, version: Version) -> Self {
        Self {
            service,
            shares: vec![(version, 100)],
        }
    }

    /// `percent` to the second version, the rest to the first.
    ///
    /// # Errors
    /// Both are the same version, or `percent` is above 100.
    pub fn two(
        service: ServiceName,
        (stable, canary): (Version, Version),
        percent: u8,
    ) -> Result<Self, WeightsError> {
        Self::new(
            service,
            [(stable, 100_u8.saturating_sub(percent)), (canary, percent)],
        )
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Every version with its share; a share may be 0.
    pub fn shares(&self) -> &[(Version, u8)] {
        &self.shares
    }

    /// The share of a version; 0 if it is not among them.
    pub fn share(&self, version: &Version) -> u8 {
        self.shares
            .iter()
            .find(|(v, _)| v == version)
            .map_or(0, |(_, share)| *share)
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.service)?;
        for (n, (version, share)) in self.shares.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma} {version} {share}%")?;
        }
        Ok(())
    }
}

/// Why shares are not the shares of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsError {
    service: ServiceName,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Twice(Version),
    Sum(u64),
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Twice(version) => {
                write!(
                    f,
                    "version {version} of {} has two weights: expected each version once",
                    self.service
                )
            }
            Problem::Sum(sum) => write!(f, "the weights of {} add up to {sum}: expected 100", self.service),
        }
    }
}

impl std::error::Error for WeightsError {}

/// Why a split was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SplitErrorKind {
    /// There is no such service.
    UnknownService,
    /// The service has no such version.
    UnknownVersion,
    /// A version with a share has no endpoint that takes requests.
    NotReady,
    /// Somebody else decides now: this writer is no longer the one in charge.
    Superseded,
    /// It could not be done now; the same may succeed later.
    Unavailable,
}

/// A split was not set; the one before stays in force.
#[derive(Debug)]
pub struct SplitError {
    kind: SplitErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl SplitError {
    /// Why, and a sentence that says what to do.
    pub fn new(kind: SplitErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why.
    pub fn kind(&self) -> SplitErrorKind {
        self.kind
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SplitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service() -> ServiceName {
        "orders".parse().expect("a name")
    }

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn a_version_that_occurs_twice_is_refused_by_name() {
        let error = Weights::new(service(), [(version("v1"), 50), (version("v1"), 50)]).expect_err("twice");
        assert_eq!(
            error.to_string(),
            "version v1 of orders has two weights: expected each version once"
        );
    }

    #[test]
    fn no_version_at_all_is_refused() {
        let error = Weights::new(service(), []).expect_err("none");
        assert_eq!(
            error.to_string(),
            "the weights of orders add up to 0: expected 100"
        );
    }

    #[test]
    fn more_than_all_is_refused() {
        assert!(Weights::two(service(), (version("v1"), version("v2")), 101).is_err());
        let error = Weights::new(service(), [(version("v1"), 255), (version("v2"), 255)]).expect_err("510");
        assert!(error.to_string().contains("510"), "{error}");
    }

    #[test]
    fn all_to_one_is_a_hundred_percent() {
        let weights = Weights::all_to(service(), version("v2"));
        assert_eq!(weights.shares(), [(version("v2"), 100)]);
        assert_eq!(weights.share(&version("v1")), 0);
    }

    #[test]
    fn an_error_keeps_its_kind_and_its_cause() {
        let error = SplitError::new(SplitErrorKind::NotReady, "v2 of orders has no ready endpoint")
            .with_source(std::io::Error::other("none of 3"));
        assert_eq!(error.kind(), SplitErrorKind::NotReady);
        assert_eq!(
            std::error::Error::source(&error).expect("a cause").to_string(),
            "none of 3"
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_adds_up_to_a_hundred(shares in proptest::collection::vec(0..=100_u8, 0..6)) {
            let named = shares.iter().enumerate().map(|(n, share)| (version(&format!("v{n}")), *share));
            let sum: u32 = shares.iter().map(|s| u32::from(*s)).sum();
            match Weights::new(service(), named) {
                Ok(weights) => {
                    prop_assert_eq!(sum, 100);
                    prop_assert_eq!(weights.shares().len(), shares.len());
                }
                Err(_) => prop_assert_ne!(sum, 100),
            }
        }

        #[test]
        fn two_versions_share_all(percent in 0..=100_u8) {
            let weights = Weights::two(service(), (version("v1"), version("v2")), percent).expect("valid");
            prop_assert_eq!(weights.share(&version("v1")) + weights.share(&version("v2")), 100);
            prop_assert_eq!(weights.share(&version("v2")), percent);
        }
    }
}
