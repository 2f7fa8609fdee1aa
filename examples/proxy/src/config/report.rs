//! Everything that is wrong with a configuration, to be read by a person, or read out to one.

mod mask;
mod text;

use std::fmt;

use super::yaml::Place;

/// Everything that is wrong with a configuration.
///
/// [`Display`](fmt::Display) prints the whole text, without colours. Each problem begins with `file:line:column:`
/// and the key's path, then says on lines of their own what was found, what was expected, and what was probably
/// meant; below stands the line of the file.
///
/// ```
/// let report = mesh_proxy::config::parse("mesh.yaml", "serviceMesh:\n  enabled: off\n").expect_err("off is a word");
/// assert_eq!(
///     report.to_string(),
///     "mesh.yaml: 1 problem\n\
///      \n\
///      mesh.yaml:2:12: serviceMesh.enabled\n\
///      \x20   found: the text \"off\"\n\
///      \x20   expected: true or false\n\
///      \x20   hint: did you mean false?\n\
///      \x20   2 |   enabled: off\n\
///      \x20     |            ^^^\n"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    file: String,
    problems: Vec<Problem>,
    /// The lines that problems point at, in the order of the problems.
    lines: Vec<String>,
    /// Whether these are all.
    is_whole: bool,
    /// What is wrong with other files.
    others: Vec<Self>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    path: String,
    found: String,
    expected: String,
    hint: Option<String>,
}

impl Problem {
    pub(super) fn new(
        place: Place,
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            place,
            path: path.into(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(super) fn with_hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The line, from 1.
    pub fn line(&self) -> u32 {
        self.place.line
    }

    /// The column, from 1, in characters.
    pub fn column(&self) -> u32 {
        self.place.column
    }

    /// The key's path, as `serviceMesh.services[0].port`; empty if the text as a whole is meant.
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

impl Report {
    /// `text` is what the problems were found in.
    pub(super) fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
        let mut all = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let (mut current, mut number) = (all.next(), 1);
        let lines = problems
            .iter()
            .map(|problem| {
                while number < problem.place.line && current.is_some() {
                    current = all.next();
                    number += 1;
                }
                current.unwrap_or_default().to_owned()
            })
            .collect();
        Self {
            file: file.to_owned(),
            problems,
            lines,
            is_whole: true,
            others: Vec::new(),
        }
    }

    /// Everything that is wrong with one of several files: the first takes the others with it. Nothing wrong with none
    /// is fine.
    pub(super) fn of_all(reports: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut reports = reports.into_iter();
        let Some(mut first) = reports.next() else {
            return Ok(());
        };
        for mut report in reports {
            let others = std::mem::take(&mut report.others);
            first.others.push(report);
            first.others.extend(others);
        }
        Err(first)
    }

    /// What was found wrong with a file, if anything was; `is_whole` says whether that is all.
    pub(super) fn of(file: &str, text: &str, problems: Vec<Problem>, is_whole: bool) -> Option<Self> {
        let report = (!problems.is_empty()).then(|| Self::new(file, text, problems));
        report.map(|report| if is_whole { report } else { report.in_part() })
    }

    /// The same, of a file with more problems than are told.
    #[must_use]
    pub(super) fn in_part(mut self) -> Self {
        self.is_whole = false;
        self
    }

    /// Of a file that could not be read at all.
    pub(super) fn unreadable(file: &str, found: impl Into<String>, expected: &str) -> Self {
        Self::new(file, "", vec![Problem::new(Place::START, "", found, expected)])
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems of that file, by line; at least one, and at most the first 1000.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong with other files that the configuration names, each with a report of its own.
    pub fn others(&self) -> &[Self] {
        &self.others
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(f, &self.file, &self.problems, &self.lines, self.is_whole)?;
        self.others.iter().try_for_each(|other| write!(f, "\n{other}"))
    }
}

impl std::error::Error for Report {}
