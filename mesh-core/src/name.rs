//! Names of services and versions: parsed once, shared cheaply.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    found: String,
    what: &'static str,
    expected: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a {}: expected {}", self.found, self.what, self.expected)
    }
}

impl std::error::Error for NameError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text if it is a name.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { found: text.to_owned(), what: $what, expected: $expected })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a service: 1 to 63 lower-case letters, digits and `-`, as Kubernetes names a Service.
    ///
    /// ```
    /// use mesh_core::ServiceName;
    ///
    /// assert_eq!("sample-service".parse::<ServiceName>()?.as_str(), "sample-service");
    /// assert!(ServiceName::new("Sample Service").is_err());
    /// # Ok::<(), mesh_core::name::NameError>(())
    /// ```
    ServiceName, "service name",
    "1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
    |t| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !t.is_empty() && t.len() <= 63 && t.bytes().all(inner) && !t.starts_with('-') && !t.ends_with('-')
    }
}

name! {
    /// A version of a service: 1 to 63 letters, digits, `-`, `_` and `.`, as a Kubernetes label value.
    ///
    /// ```
    /// use mesh_core::Version;
    ///
    /// assert_eq!("v2.0.0".parse::<Version>()?.as_str(), "v2.0.0");
    /// # Ok::<(), mesh_core::name::NameError>(())
    /// ```
    Version, "version",
    "1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    |t| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        t.len() <= 63 && t.bytes().all(inner) && edge(t.as_bytes().first()) && edge(t.as_bytes().last())
    }
}
