//! Who waits in front of whom.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use mesh_core::RequestHead;

/// How important a request is, while there is not room for all.
///
/// ```
/// use mesh_traffic::concurrency::Priority;
///
/// assert_eq!("low".parse(), Ok(Priority::Low));
/// assert!(Priority::Low < Priority::High);
/// assert!("urgent".parse::<Priority>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Given up first: batches, prefetching.
    Low,
    /// What nothing is known of.
    #[default]
    Normal,
    /// Served first: health checks, what somebody waits for.
    High,
}

impl Priority {
    /// All of them, the least important first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// `low`, `normal` or `high`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of `low`, `normal` and `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPriority;

impl fmt::Display for NoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a priority: expected \"low\", \"normal\" or \"high\"")
    }
}

impl std::error::Error for NoPriority {}

impl FromStr for Priority {
    type Err = NoPriority;

    fn from_str(text: &str) -> Result<Self, NoPriority> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.as_str().eq_ignore_ascii_case(text))
            .ok_or(NoPriority)
    }
}

/// Where the priority of a request stands.
///
/// One that a layer outside left among the request's extensions comes first. A field of the request is read only where
/// that was asked for: whoever may set it goes in front of all others.
///
/// ```
/// use http::Request;
/// use mesh_core::RequestHead;
/// use mesh_traffic::concurrency::{Priority, PriorityBy};
///
/// let by = PriorityBy::header("x-priority".parse()?);
/// let batch = Request::get("/").header("x-priority", "low").body(())?;
/// assert_eq!(by.of(&RequestHead::of(&batch)), Priority::Low);
/// assert_eq!(PriorityBy::extension().of(&RequestHead::of(&batch)), Priority::Normal);
///
/// let mut probe = Request::get("/healthz").body(())?;
/// probe.extensions_mut().insert(Priority::High);
/// assert_eq!(by.of(&RequestHead::of(&probe)), Priority::High);
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PriorityBy {
    header: Option<HeaderName>,
}

impl PriorityBy {
    /// Among the extensions only.
    pub fn extension() -> Self {
        Self::default()
    }

    /// In this field too. One that cannot be read counts as [`Priority::Normal`].
    pub fn header(name: HeaderName) -> Self {
        Self { header: Some(name) }
    }

    /// The priority of this request.
    pub fn of(&self, head: &RequestHead<'_>) -> Priority {
        let told = || {
            let value = head.headers.get(self.header.as_ref()?)?;
            value.to_str().ok()?.trim().parse().ok()
        };
        let left = head.extensions.get::<Priority>().copied();
        left.or_else(told).unwrap_or_default()
    }
}
