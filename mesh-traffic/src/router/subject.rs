//! What of a request a condition looks at.

use std::fmt;

use http::HeaderName;
use mesh_core::cookie::is_cookie_name;

use super::condition::{ConditionError, ConditionPart};

/// What of a request a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// The members of a header: one that occurs several times, or holds a list with commas, has several, and
    /// a condition holds if it holds for any of them.
    Header(HeaderName),
    /// The path, in canonical form, without the query.
    Path,
    /// The method. Methods are case-sensitive.
    Method,
    /// A cookie, of any `Cookie` field; of several with one name, any.
    Cookie(Box<str>),
    /// A parameter of the query, decoded; of several with one name, any.
    Query(Box<str>),
    /// The host, in canonical form: lower case, no port, no trailing dot.
    Host,
    /// The service the caller proved to be; `unknown` without an identity.
    SourceService,
}

impl Subject {
    /// The words configuration has for them.
    pub const KINDS: [&'static str; 7] = [
        "header",
        "path",
        "method",
        "cookie",
        "query",
        "host",
        "source_service",
    ];

    /// Reads a subject as configuration writes it: a type, and for a header, cookie or parameter of the
    /// query its name in `field`.
    ///
    /// ```
    /// use mesh_traffic::router::Subject;
    ///
    /// assert_eq!(Subject::parse("path", None)?, Subject::Path);
    /// assert!(Subject::parse("header", None).is_err(), "which header?");
    /// # Ok::<(), mesh_traffic::router::ConditionError>(())
    /// ```
    pub fn parse(kind: &str, field: Option<&str>) -> Result<Self, ConditionError> {
        match kind {
            "header" => {
                let name = named(kind, field)?;
                let not_one =
                    |_| ConditionError::new(ConditionPart::Field, format!("{name:?} is not a header name"));
                HeaderName::try_from(name).map(Self::Header).map_err(not_one)
            }
            "cookie" => {
                let name = named(kind, field)?;
                if is_cookie_name(name) {
                    Ok(Self::Cookie(name.into()))
                } else {
                    Err(ConditionError::new(
                        ConditionPart::Field,
                        format!("{name:?} is not a cookie name"),
                    ))
                }
            }
            "query" => named(kind, field).map(|name| Self::Query(name.into())),
            "path" => unnamed(kind, field, Self::Path),
            "method" => unnamed(kind, field, Self::Method),
            "host" => unnamed(kind, field, Self::Host),
            "source_service" => unnamed(kind, field, Self::SourceService),
            _ => Err(ConditionError::new(
                ConditionPart::Type,
                format!(
                    "{kind:?} is not a type of condition; expected one of {}",
                    Self::KINDS.join(", ")
                ),
            )),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Path => "path",
            Self::Method => "method",
            Self::Cookie(_) => "cookie",
            Self::Query(_) => "query",
            Self::Host => "host",
            Self::SourceService => "source_service",
        }
    }
}

fn named<'f>(kind: &str, field: Option<&'f str>) -> Result<&'f str, ConditionError> {
    field.filter(|name| !name.is_empty()).ok_or_else(|| {
        ConditionError::new(
            ConditionPart::Field,
            format!("a condition on a {kind} names it in \"field\""),
        )
    })
}

fn unnamed(kind: &str, field: Option<&str>, subject: Subject) -> Result<Subject, ConditionError> {
    match field {
        None => Ok(subject),
        Some(_) => Err(ConditionError::new(
            ConditionPart::Field,
            format!("a condition on the {kind} has no \"field\"; leave it out"),
        )),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Header(name) => write!(f, " {name}"),
            Self::Cookie(name) | Self::Query(name) => write!(f, " {name}"),
            Self::Path | Self::Method | Self::Host | Self::SourceService => Ok(()),
        }
    }
}
