//! What a rule asks of a request.

use std::fmt;

use http::Method;

use super::host::HostName;
use super::matcher::Matcher;
use super::operator::Operator;
use super::path_change::respelt;
use super::subject::Subject;

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
            if let Some(why) = never_spelt(value, operator) {
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

/// Why no path has this after the edge has brought it into its canonical form, if so.
fn never_spelt(value: &str, operator: Operator) -> Option<String> {
    if value == "*" {
        return None;
    }
    // A part of a path is looked at where it can stand.
    let (before, after) = match operator {
        Operator::Suffix => ("/x", ""),
        Operator::Contains => ("/x", "x"),
        _ => ("", ""),
    };
    match respelt(&format!("{before}{value}{after}")) {
        Ok(None) => None,
        Ok(Some(canonical)) => {
            let canonical = canonical.strip_prefix(before).unwrap_or(&canonical);
            let canonical = canonical.strip_suffix(after).unwrap_or(canonical);
            Some(format!(
                "rules see paths in one spelling only, and never this; expected {canonical:?}"
            ))
        }
        // A part may begin or end within an escape.
        Err(_) if matches!(operator, Operator::Suffix | Operator::Contains) => None,
        Err(why) => Some(why),
    }
}

#[cfg(test)]
mod tests;
