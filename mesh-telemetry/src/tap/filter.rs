//! Which requests are shown.

use std::fmt;

use super::Seen;

/// Which requests are shown; [`Default`] shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    service: Option<Box<str>>,
    status: Option<Status>,
    path: Option<Box<str>>,
    method: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Exactly(Box<str>),
    /// The first digit.
    Class(u8),
}

/// The text is neither a status nor a class of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(Box<str>);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no status: expected one as 503, or a class as 5xx",
            self.0
        )
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Only those that go to this service.
    #[must_use]
    pub fn service(self, name: &str) -> Self {
        Self {
            service: Some(name.into()),
            ..self
        }
    }

    /// Only those that are answered with this status, or one of this class.
    ///
    /// # Errors
    /// It is neither `100` to `599` nor `1xx` to `5xx`.
    pub fn status(self, status: &str) -> Result<Self, FilterError> {
        let wanted = match status.as_bytes() {
            [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Status::Class(*class),
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => Status::Exactly(status.into()),
            _ => return Err(FilterError(status.chars().take(100).collect())),
        };
        Ok(Self {
            status: Some(wanted),
            ..self
        })
    }

    /// Only those of this path, in which `*` stands for anything: `/pay*`.
    #[must_use]
    pub fn path(self, pattern: &str) -> Self {
        Self {
            path: Some(pattern.into()),
            ..self
        }
    }

    /// Only those of this method, in capitals or not.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self {
            method: Some(method.into()),
            ..self
        }
    }

    /// Whether a request is shown.
    pub fn passes(&self, seen: &Seen) -> bool {
        let same = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|it| it == found);
        let status = match &self.status {
            None => true,
            Some(Status::Exactly(status)) => *status == seen.status,
            Some(Status::Class(class)) => seen.status.as_bytes().first() == Some(class),
        };
        let method = self.method.as_deref();
        status
            && same(&self.service, &seen.target)
            && method.is_none_or(|method| method.eq_ignore_ascii_case(seen.method))
            && self
                .path
                .as_deref()
                .is_none_or(|pattern| matches(pattern, &seen.path))
    }
}

/// Whether a text is of a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // Taking each part where it first stands leaves the most for those behind it.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, by trying everything.
    fn tried(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|at| tried(rest, &text[at..])),
            [first, rest @ ..] => text.first() == Some(first) && tried(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_trying_everything_matches(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            prop_assert_eq!(matches(&pattern, &text), tried(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_status_is_refused_with_what_is_expected() {
        for status in ["", "6xx", "0xx", "5x", "20", "2000", "ok", "99"] {
            let error = Filter::default().status(status).expect_err("no status");
            assert!(error.to_string().contains("5xx"), "{error}");
        }
    }
}
