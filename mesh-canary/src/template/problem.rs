//! What is wrong with a template.

use std::fmt;

/// One thing that is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: String,
    column: Option<usize>,
    found: String,
    expected: String,
}

impl Problem {
    pub(super) fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            column: None,
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn at(mut self, column: Option<usize>) -> Self {
        self.column = column;
        self
    }

    /// The key, as `spec.metrics[0].successCondition`. Who read the file knows its line.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The character within the key's value that is wrong, counted from 1, if it is not the whole value.
    pub fn column(&self) -> Option<usize> {
        self.column
    }

    /// What was found there.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(column) = self.column {
            write!(f, ", character {column}")?;
        }
        write!(f, ": found {}, expected {}", self.found, self.expected)
    }
}

/// A template that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    template: String,
    problems: Vec<Problem>,
}

impl TemplateError {
    pub(super) fn of(template: &str, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self {
            template: template.to_owned(),
            problems,
        })
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the analysis template {} cannot be used", self.template)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}
