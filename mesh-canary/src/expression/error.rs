//! What is wrong with an expression, and where.

use std::fmt;
use std::sync::Arc;

/// A part of an expression, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The one after its last.
    pub end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(super) fn to(self, other: Self) -> Self {
        Self::new(self.start, other.end)
    }
}

/// An error that does not know its expression yet.
#[derive(Debug)]
pub(super) struct Fault {
    span: Span,
    message: String,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
        }
    }
}

/// An expression that cannot be read, or not be evaluated with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    text: Arc<str>,
    span: Span,
    message: String,
}

impl ExpressionError {
    pub(super) fn new(text: &str, fault: Fault) -> Self {
        Self {
            text: text.into(),
            span: fault.span,
            message: fault.message,
        }
    }

    /// The part of the expression that is wrong.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where that begins, in characters, counted from 1.
    pub fn column(&self) -> usize {
        let before = self.text.get(..self.span.start).unwrap_or(&self.text);
        before.chars().count() + 1
    }

    /// What is wrong, without where.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted with escapes, so that a condition of many lines stays one line of a log.
        write!(f, "{:?}, column {}: {}", self.text, self.column(), self.message)
    }
}

impl std::error::Error for ExpressionError {}
