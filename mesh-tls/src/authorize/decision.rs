//! What was decided.

use std::fmt;

use mesh_core::{Error, ErrorKind};

use super::question::Question;
use super::rule::Rule;

/// What a policy says to a question. Its `Display` is one line for a log: who, what, and which rule.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Decision<'p, 'r> {
    /// What was asked.
    pub question: Question<'r>,
    /// Why it is allowed or denied.
    pub reason: Reason<'p>,
    /// Whether a denial is enforced.
    pub enforced: bool,
}

/// Why something is allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason<'p> {
    /// It is a probe: allowed.
    Probe,
    /// This rule denies it.
    Denied(&'p Rule),
    /// This rule allows it.
    Allowed(&'p Rule),
    /// No rule allows it: denied.
    NoRule,
}

impl<'p> Decision<'p, '_> {
    /// Whether the rules allow it. If they do not, it may pass nevertheless: [`passes`](Self::passes).
    pub fn is_allowed(&self) -> bool {
        matches!(self.reason, Reason::Probe | Reason::Allowed(_))
    }

    /// Whether it goes on: it is allowed, or the policy only audits.
    pub fn passes(&self) -> bool {
        self.is_allowed() || !self.enforced
    }

    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<&'p Rule> {
        match self.reason {
            Reason::Denied(rule) | Reason::Allowed(rule) => Some(rule),
            Reason::Probe | Reason::NoRule => None,
        }
    }

    /// The refusal, if it is refused: it tells the client who it proved to be and what it can do about that, and
    /// nothing of the rules.
    pub fn error(&self) -> Option<Error> {
        if self.passes() {
            return None;
        }
        let message = match self.question.identity {
            Some(identity) => format!(
                "{identity} may not do this; ask whoever runs this service for a rule that allows it"
            ),
            None => "who proves no identity may not do this; connect by mutual TLS, with a certificate of the mesh"
                .to_owned(),
        };
        Some(Error::new(ErrorKind::Unauthorized, message))
    }
}

impl fmt::Display for Decision<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.question.identity {
            Some(identity) => write!(f, "{identity}")?,
            None => f.write_str("somebody unauthenticated")?,
        }
        match (self.question.method, self.question.path) {
            (Some(method), Some(path)) => write!(f, ", {method} {}", Shown(path))?,
            _ => f.write_str(", a connection")?,
        }
        match self.reason {
            Reason::Probe => f.write_str(": a probe"),
            Reason::Denied(rule) => write!(f, ": rule {:?} denies it", rule.id()),
            Reason::Allowed(rule) => write!(f, ": rule {:?} allows it", rule.id()),
            Reason::NoRule => f.write_str(": no rule allows it"),
        }
    }
}

/// The beginning of a path.
struct Shown<'t>(&'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 200;
        for (place, c) in self.0.chars().enumerate() {
            if place == LONGEST {
                return f.write_str("…");
            }
            fmt::Write::write_char(f, if c.is_control() { '\u{fffd}' } else { c })?;
        }
        Ok(())
    }
}
