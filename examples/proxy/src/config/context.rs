//! What a reading of the tree carries along: where it is, and what it found.

use std::fmt::Write;
use std::sync::Arc;

use super::origin::Origin;
use super::report::Problem;
use super::warning::Warning;
use super::yaml::{Place, quoted};

/// Where a reading is, and what it found so far.
pub(super) struct Context {
    file: Arc<str>,
    path: Vec<Step>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    overflowed: bool,
}

/// So many problems are told. A file with more is no configuration, and telling each takes time.
pub(super) const MOST_PROBLEMS: usize = 1000;

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(Box<str>),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Reads what [`path_of`] writes of plain keys.
pub(super) fn steps_of(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut indices = part.split('[');
        if let Some(key) = indices.next().filter(|key| !key.is_empty()) {
            steps.push(key.into());
        }
        let index = |text: &str| text.trim_end_matches(']').parse::<usize>().ok();
        steps.extend(indices.filter_map(index).map(Step::from));
    }
    steps
}

/// Writes steps as `serviceMesh.services[0].port`.
pub(super) fn path_of<'s>(steps: impl IntoIterator<Item = &'s Step>) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&quoted(key));
            }
            Step::Index(index) => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            }
        }
    }
    path
}

impl Context {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            path: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            overflowed: false,
        }
    }

    /// Reads something one step further down.
    pub(super) fn within<T>(&mut self, step: impl Into<Step>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step.into());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Does something several steps further down.
    pub(super) fn below<T>(&mut self, steps: Vec<Step>, then: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.path.len();
        self.path.extend(steps);
        let value = then(self);
        self.path.truncate(depth);
        value
    }

    /// Does something at a path from the top.
    pub(super) fn at<T>(&mut self, steps: &[Step], then: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.path, steps.to_vec());
        let value = then(self);
        self.path = before;
        value
    }

    /// The path of what is being read.
    pub(super) fn path(&self) -> String {
        path_of(&self.path)
    }

    pub(super) fn origin(&self, place: Place) -> Origin {
        Origin::new(Arc::clone(&self.file), place.line, place.column)
    }

    pub(super) fn refuse(&mut self, place: Place, found: impl Into<String>, wrong: Wrong) {
        let found = match wrong.why {
            None => found.into(),
            Some(why) => format!("{}: {why}", found.into()),
        };
        let problem = Problem::new(place, self.path(), found, wrong.expected).with_hint_if(wrong.hint);
        self.problem(problem);
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        match self.problems.len() < MOST_PROBLEMS {
            true => self.problems.push(problem),
            false => self.overflowed = true,
        }
    }

    /// Whether looking on is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.overflowed
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Tells what may be used but is hardly what was meant.
    pub(super) fn advise(&mut self, place: Place, message: impl Into<String>) {
        let warning = Warning::advice(self.origin(place), self.path(), message);
        self.warnings.push(warning);
    }

    pub(super) fn warning(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    /// Problems, whether these are all, and warnings.
    pub(super) fn finish(self) -> (Vec<Problem>, bool, Vec<Warning>) {
        (self.problems, !self.overflowed, self.warnings)
    }
}

/// Why a value does not fit, besides what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    why: Option<String>,
    expected: String,
    hint: Option<String>,
}

impl Wrong {
    pub(super) fn expected(expected: impl Into<String>) -> Self {
        Self {
            why: None,
            expected: expected.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(super) fn meant(mut self, word: Option<&str>) -> Self {
        if let Some(word) = word {
            self.hint = Some(format!("did you mean {word}?"));
        }
        self
    }
}
