//! Everything that is wrong with a configuration, to be read by a person.

use std::fmt;

/// Everything that is wrong with a configuration. [`Display`](fmt::Display) prints the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    file: String,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: u32,
    column: u32,
    path: String,
    found: String,
    expected: String,
    hint: Option<String>,
}

impl Report {
    pub(super) fn unreadable(file: &str, why: &str) -> Self {
        let found = why.to_owned();
        let problem = Problem {
            line: 1,
            column: 1,
            path: String::new(),
            found,
            expected: "a readable file".to_owned(),
            hint: None,
        };
        Self {
            file: file.to_owned(),
            problems: vec![problem],
        }
    }

    /// The problems, by line; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// The line, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column, from 1, in characters.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The key's path; empty if the text as a whole is meant.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was found.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What was probably meant, or what to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(
                f,
                "{}:{}:{}: {}: found {}, expected {}",
                self.file, problem.line, problem.column, problem.path, problem.found, problem.expected
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
