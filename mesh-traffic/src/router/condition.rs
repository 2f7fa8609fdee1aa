//! What a rule asks of a request.

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, Method};

use super::host::HostName;
use super::matcher::Matcher;

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
                if crate::limit::is_token(name) {
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

    fn kind(&self) -> &'static str {
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

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operator {
    /// Is this value.
    Equals,
    /// Is not this value. Holds too if there is nothing to compare; of several members none may be it.
    NotEquals,
    /// Begins so. A path does by whole segments: `/deny` is a prefix of `/deny/x`, not of `/denyx`, and
    /// `/deny/` is the same as `/deny`.
    Prefix,
    /// Ends so.
    Suffix,
    /// Has it somewhere.
    Contains,
    /// The whole value matches this regular expression, in time linear in the value. A host matches in
    /// either case.
    Regex,
    /// Is there.
    Exists,
    /// Is not there.
    NotExists,
    /// Is one of these values.
    In,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Equals,
        Self::NotEquals,
        Self::Prefix,
        Self::Suffix,
        Self::Contains,
        Self::Regex,
        Self::Exists,
        Self::NotExists,
        Self::In,
    ];

    /// The word configuration has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "not_equals",
            Self::Prefix => "prefix",
            Self::Suffix => "suffix",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::Exists => "exists",
            Self::NotExists => "not_exists",
            Self::In => "in",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operator {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                ConditionError::new(
                    ConditionPart::Operator,
                    format!("{text:?} is not an operator; expected one of {known}"),
                )
            })
    }
}

/// Which part of a condition is wrong, so that a report can point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionPart {
    /// `type`
    Type,
    /// `field`
    Field,
    /// `operator`
    Operator,
    /// `value`
    Value,
}

/// Why a condition cannot be: what was found, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    part: ConditionPart,
    message: String,
}

impl ConditionError {
    pub(crate) fn new(part: ConditionPart, message: impl Into<String>) -> Self {
        Self {
            part,
            message: message.into(),
        }
    }

    /// The part that is wrong.
    pub fn part(&self) -> ConditionPart {
        self.part
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConditionError {}

/// One thing a rule asks of a request. Compiled when it is made, so that whatever is wrong shows then.
///
/// ```
/// use mesh_traffic::Condition;
/// use mesh_traffic::router::{Operator, Subject};
///
/// let condition = Condition::new(Subject::Path, Operator::Prefix, ["/api"])?;
/// assert_eq!(condition.to_string(), "path prefix \"/api\"");
/// assert!(Condition::new(Subject::Path, Operator::Prefix, ["api"]).is_err(), "no path begins so");
/// # Ok::<(), mesh_traffic::router::ConditionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Condition {
    subject: Subject,
    operator: Operator,
    values: Box<[Box<str>]>,
    matcher: Matcher,
}

impl Condition {
    /// The longest value, in bytes.
    pub const LONGEST_VALUE: usize = 4096;

    /// A condition. `exists` and `not_exists` take no value, `in` one or more, the others one.
    ///
    /// A condition that would hold for every request or for none is refused, since it was meant differently.
    pub fn new(
        subject: Subject,
        operator: Operator,
        values: impl IntoIterator<Item = impl Into<Box<str>>>,
    ) -> Result<Self, ConditionError> {
        let values: Box<[Box<str>]> = values.into_iter().map(Into::into).collect();
        check_count(operator, values.len())?;
        if matches!(operator, Operator::Exists | Operator::NotExists)
            && matches!(subject, Subject::Path | Subject::Method)
        {
            return Err(ConditionError::new(
                ConditionPart::Operator,
                format!("every request has a {subject}, so {operator} decides nothing; remove the condition"),
            ));
        }
        let values = values
            .iter()
            .map(|value| checked_value(&subject, operator, value))
            .collect::<Result<Box<[_]>, _>>()?;
        let matcher = Matcher::compile(&subject, operator, &values)?;
        Ok(Self {
            subject,
            operator,
            values,
            matcher,
        })
    }

    /// What it looks at.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it compares with; hosts in canonical form.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| &**value)
    }

    pub(crate) fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

/// As `header api-version equals "v2"`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.operator)?;
        match (&*self.values, self.operator) {
            ([], _) => Ok(()),
            ([value], operator) if operator != Operator::In => write!(f, " {value:?}"),
            (values, _) => write!(f, " {values:?}"),
        }
    }
}

fn check_count(operator: Operator, count: usize) -> Result<(), ConditionError> {
    let wrong = |expected: &str| {
        let message = format!("{operator} takes {expected}; found {count}");
        Err(ConditionError::new(ConditionPart::Value, message))
    };
    match operator {
        Operator::Exists | Operator::NotExists if count != 0 => wrong("no value"),
        Operator::In if count == 0 => wrong("at least one value"),
        Operator::Exists | Operator::NotExists | Operator::In => Ok(()),
        _ if count != 1 => wrong("exactly one value"),
        _ => Ok(()),
    }
}

/// Refuses what no value of the subject can be, and brings hosts into canonical form.
fn checked_value(subject: &Subject, operator: Operator, value: &str) -> Result<Box<str>, ConditionError> {
    let refuse = |message: String| Err(ConditionError::new(ConditionPart::Value, message));
    if value.len() > Condition::LONGEST_VALUE {
        return refuse(format!(
            "a value has at most {} bytes; found {}",
            Condition::LONGEST_VALUE,
            value.len()
        ));
    }
    match operator {
        Operator::Regex => return Ok(value.into()),
        Operator::Prefix | Operator::Suffix | Operator::Contains if value.is_empty() => {
            return refuse(format!(
                "every {} has an empty {operator}; to ask whether it is there, use exists",
                subject.kind()
            ));
        }
        _ => {}
    }
    let whole = matches!(operator, Operator::Equals | Operator::NotEquals | Operator::In);
    match subject {
        Subject::Path => {
            if let Some(why) = no_path(value, whole || operator == Operator::Prefix) {
                return refuse(format!("{value:?} is in no path: {why}"));
            }
        }
        Subject::Method if whole && Method::from_bytes(value.as_bytes()).is_err() => {
            return refuse(format!("{value:?} is not a method"));
        }
        Subject::Host if whole => {
            return match value.parse::<HostName>() {
                Ok(host) => Ok(host.as_str().into()),
                Err(error) => refuse(error.to_string()),
            };
        }
        Subject::Host => {
            if value.contains('/') || (value.contains(':') && !value.contains(['[', ']'])) {
                return refuse(format!(
                    "{value:?} is in no host: hosts are compared without scheme, port and path"
                ));
            }
            return Ok(value.to_ascii_lowercase().into());
        }
        Subject::Header(name) if value.trim_matches([' ', '\t']) != value => {
            return refuse(format!(
                "{value:?} begins or ends with a blank, which members of header {name} never do"
            ));
        }
        Subject::SourceService if value.is_empty() => {
            return refuse(
                "the source service is never empty; without an identity it is \"unknown\"".to_owned(),
            );
        }
        _ => {}
    }
    Ok(value.into())
}

/// Why a canonical path cannot hold this, if so.
fn no_path(value: &str, from_start: bool) -> Option<&'static str> {
    if value.contains(['?', '#']) {
        return Some("'?' and '#' end it; for the query there is the type query");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("blanks, control characters and other than ASCII stand there as %XX");
    }
    if from_start && !value.starts_with('/') && value != "*" {
        return Some("it begins with '/'");
    }
    if from_start && value.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("the segments '.' and '..' are resolved before rules are tried");
    }
    None
}

#[cfg(test)]
mod tests;
