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
        write!(
            f,
            "{:?} is not a {}: expected {}",
            self.found, self.what, self.expected
        )
    }
}

impl std::error::Error for NameError {}

/// As much of a text as an error shows: who sends nonsense does not decide how much memory it takes.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

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
                    Err(NameError { found: shortened(text), what: $what, expected: $expected })
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_service_is_named_as_kubernetes_names_one() {
        for good in ["a", "0", "orders", "sample-service-v2", "9-to-5", &"x".repeat(63)] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Orders",
            "a.b",
            "a_b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_version_is_a_label_value() {
        for good in ["1", "v2", "v2.0.0-rc_1", "2026.01", "A", &"x".repeat(63)] {
            assert!(Version::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".1",
            "1.",
            "-v1",
            "v1_",
            "v 1",
            "v1+build",
            "ü",
            &"x".repeat(64),
        ] {
            assert!(Version::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_message_says_what_was_found_and_what_is_expected() {
        let error = ServiceName::new("Orders").expect_err("upper case");
        assert_eq!(
            error.to_string(),
            "\"Orders\" is not a service name: expected 1 to 63 lower-case letters, digits and '-', beginning and \
             ending with a letter or digit"
        );
        let long = Version::new("!".repeat(1_000_000)).expect_err("long");
        assert!(long.to_string().len() < 400);
    }

    #[test]
    fn a_map_keyed_by_names_is_searched_by_text() {
        let map = HashMap::from([("orders".parse::<ServiceName>().expect("a name"), 1)]);
        assert_eq!(map.get("orders"), Some(&1));
    }

    #[test]
    fn clones_share_the_text() {
        let name = ServiceName::new("orders").expect("a name");
        assert!(std::ptr::eq(name.as_str(), name.clone().as_str()));
        assert!(Arc::ptr_eq(&name.shared(), &name.shared()));
    }

    proptest! {
        #[test]
        fn a_name_prints_as_it_was_written(text in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
            let name = ServiceName::new(&text).expect("valid by construction");
            prop_assert_eq!(name.to_string(), text);
        }

        #[test]
        fn every_service_name_is_a_version_too(text in "\\PC{0,70}|[a-z0-9-]{0,70}") {
            prop_assert!(ServiceName::new(&text).is_err() || Version::new(&text).is_ok());
        }
    }
}
