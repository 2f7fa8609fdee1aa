//! What should be known about a configuration that can be used.

use std::fmt;

use super::origin::Origin;

/// Something that was written and will not do what it says, or hardly what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    origin: Origin,
    path: String,
    message: String,
    refuses_to_run: bool,
}

impl Warning {
    /// What may be used but is hardly what was meant.
    pub(super) fn advice(origin: Origin, path: String, message: impl Into<String>) -> Self {
        Self {
            origin,
            path,
            message: message.into(),
            refuses_to_run: false,
        }
    }

    /// What must not be served without.
    pub(super) fn refusal(origin: Origin, path: String, message: impl Into<String>) -> Self {
        Self {
            refuses_to_run: true,
            ..Self::advice(origin, path, message)
        }
    }

    /// Where.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key's path, as `serviceMesh.services[0].retry`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is not honoured or unlikely, and what happens instead.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether serving without it would be worse than not serving: less secure than the file says, or to other
    /// places. `check` lists it; `run` refuses to start.
    pub fn refuses_to_run(&self) -> bool {
        self.refuses_to_run
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.path, self.message)
    }
}
