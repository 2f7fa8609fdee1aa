//! Conditions, compiled: what a request is asked without an allocation.

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::RequestHead;
use mesh_core::cookie::cookies;
use regex::bytes::{Regex, RegexBuilder};

use super::condition::{ConditionError, ConditionPart};
use super::host::RequestHost;
use super::operator::Operator;
use super::query::{decoded, parameters};
use super::subject::Subject;

/// How much memory one compiled regular expression may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;
/// How deep its groups may be nested.
const REGEX_NESTING: u32 = 50;

/// What conditions see of a request.
pub(crate) struct View<'r> {
    pub(crate) head: RequestHead<'r>,
    pub(crate) host: RequestHost<'r>,
    pub(crate) source: &'r str,
}

impl<'r> View<'r> {
    pub(crate) fn new(head: &RequestHead<'r>, source: &'r str) -> Self {
        Self {
            head: *head,
            host: RequestHost::of(head),
            source,
        }
    }
}

/// A condition, compiled: it holds if the predicate holds for any candidate, or, negated, for none.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    subject: Subject,
    predicate: Predicate,
    negated: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Predicate {
    Present,
    Equals(Box<[u8]>),
    /// Sorted.
    OneOf(Box<[Box<[u8]>]>),
    Prefix(Box<[u8]>),
    /// Without a trailing `/`.
    PathPrefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    Regex(Regex),
}

impl Matcher {
    pub(crate) fn compile(
        subject: &Subject,
        operator: Operator,
        values: &[Box<str>],
    ) -> Result<Self, ConditionError> {
        let value = values.first().map_or("", |value| &**value);
        let bytes = || Box::from(value.as_bytes());
        let predicate = match operator {
            Operator::Exists | Operator::NotExists => Predicate::Present,
            Operator::Equals | Operator::NotEquals => Predicate::Equals(bytes()),
            Operator::Prefix if *subject == Subject::Path => {
                Predicate::PathPrefix(value.strip_suffix('/').unwrap_or(value).as_bytes().into())
            }
            Operator::Prefix => Predicate::Prefix(bytes()),
            Operator::Suffix => Predicate::Suffix(bytes()),
            Operator::Contains => Predicate::Contains(bytes()),
            Operator::Regex => Predicate::Regex(whole_regex(value, *subject == Subject::Host)?),
            Operator::In => {
                let mut values: Vec<Box<[u8]>> = values.iter().map(|value| value.as_bytes().into()).collect();
                values.sort_unstable();
                values.dedup();
                Predicate::OneOf(values.into())
            }
        };
        let negated = matches!(operator, Operator::NotEquals | Operator::NotExists);
        Ok(Self {
            subject: subject.clone(),
            predicate,
            negated,
        })
    }

    /// Whether the condition holds.
    pub(crate) fn holds(&self, view: &View<'_>) -> bool {
        self.holds_for_any(view) != self.negated
    }

    /// What the request must have for this condition to hold, if that can be said.
    pub(crate) fn required(&self) -> Option<(&Subject, &Predicate)> {
        (!self.negated).then_some((&self.subject, &self.predicate))
    }

    /// What the request has where this condition looks: the first few values, long ones cut off.
    pub(crate) fn found(&self, view: &View<'_>) -> Vec<String> {
        const MOST: usize = 8;
        let head = &view.head;
        match &self.subject {
            Subject::Path => vec![shown(head.path().as_bytes())],
            Subject::Method => vec![shown(head.method.as_str().as_bytes())],
            Subject::Host => view.host.as_bytes().map(shown).into_iter().collect(),
            Subject::SourceService => vec![shown(view.source.as_bytes())],
            Subject::Header(name) => {
                let fields = head.headers.get_all(name).iter();
                fields.take(MOST).map(|field| shown(field.as_bytes())).collect()
            }
            Subject::Cookie(name) => {
                let own = cookies(head.headers).filter(|(found, _)| *found == name.as_bytes());
                own.take(MOST).map(|(_, value)| shown(value)).collect()
            }
            Subject::Query(name) => {
                let is_own = |(found, _): &(&[u8], &[u8])| decoded(found, |found| found == name.as_bytes());
                let own = parameters(head.query()).filter(is_own);
                own.take(MOST).map(|(_, value)| decoded(value, shown)).collect()
            }
        }
    }

    fn holds_for_any(&self, view: &View<'_>) -> bool {
        let holds = |candidate: &[u8]| self.predicate.holds(candidate);
        let head = &view.head;
        match &self.subject {
            Subject::Path => holds(head.path().as_bytes()),
            Subject::Method => holds(head.method.as_str().as_bytes()),
            Subject::Host => view.host.as_bytes().is_some_and(holds),
            Subject::SourceService => match self.predicate {
                Predicate::Present => view.source != "unknown",
                _ => holds(view.source.as_bytes()),
            },
            Subject::Header(name) => {
                let mut fields = head.headers.get_all(name).iter();
                match &self.predicate {
                    Predicate::Present => fields.next().is_some(),
                    predicate => fields.any(|field| {
                        predicate.holds_for_lists(field.as_bytes()) || members(field).any(holds)
                    }),
                }
            }
            Subject::Cookie(name) => {
                cookies(head.headers).any(|(found, value)| found == name.as_bytes() && holds(value))
            }
            Subject::Query(name) => parameters(head.query()).any(|(found, value)| {
                decoded(found, |found| found == name.as_bytes()) && decoded(value, holds)
            }),
        }
    }
}

impl Predicate {
    fn holds(&self, candidate: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Equals(value) => candidate == &**value,
            Self::OneOf(values) => values.binary_search_by(|value| (**value).cmp(candidate)).is_ok(),
            Self::Prefix(value) => candidate.starts_with(value),
            Self::PathPrefix(value) => {
                let rest = candidate.strip_prefix(&**value);
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            }
            Self::Suffix(value) => candidate.ends_with(value),
            Self::Contains(value) => candidate.windows(value.len()).any(|window| window == &**value),
            Self::Regex(regex) => regex.is_match(candidate),
        }
    }

    /// A value that has a comma itself cannot be a member of a list: it is compared with whole fields, as
    /// dates and user agents need it.
    fn holds_for_lists(&self, field: &[u8]) -> bool {
        let comma = |value: &[u8]| value.contains(&b',');
        let compared = match self {
            Self::Equals(value) | Self::Prefix(value) | Self::Suffix(value) | Self::Contains(value) => {
                comma(value)
            }
            Self::OneOf(values) => values.iter().any(|value| comma(value)),
            Self::Present | Self::PathPrefix(_) | Self::Regex(_) => false,
        };
        compared && field.contains(&b',') && self.holds(field.trim_ascii())
    }
}

/// The members of a field: parts between commas, trimmed, empty ones left out; an empty field is one empty
/// member.
pub(crate) fn members(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let whole = field.as_bytes().trim_ascii();
    let parts = whole.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    parts.filter(move |part| !part.is_empty() || whole.is_empty())
}

/// All that equality can be asked of in a header: the members of its fields, and fields that are lists whole.
pub(crate) fn comparable<'r>(headers: &'r HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
    headers.get_all(name).iter().flat_map(|field| {
        let whole = field.as_bytes().trim_ascii();
        whole
            .contains(&b',')
            .then_some(whole)
            .into_iter()
            .chain(members(field))
    })
}

/// The beginning of a value, as text.
fn shown(value: &[u8]) -> String {
    const LONGEST: usize = 100;
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// A regular expression that has to match all of a value.
fn whole_regex(pattern: &str, either_case: bool) -> Result<Regex, ConditionError> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .case_insensitive(either_case)
            .size_limit(REGEX_SIZE)
            .nest_limit(REGEX_NESTING)
            .build()
    };
    let refuse = |error: regex::Error| {
        ConditionError::new(
            ConditionPart::Value,
            match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("the regular expression takes more than {REGEX_SIZE} bytes; use smaller counts")
                }
                error => format!("{pattern:?} is not a regular expression that can be used here: {error}"),
            },
        )
    };
    // First alone: wrapped, `a)|(b` would become another expression than the one that was written.
    build(pattern).map_err(refuse)?;
    build(&format!(r"\A(?:{pattern})\z")).map_err(refuse)
}

#[cfg(test)]
mod tests;
