//! The language of `successCondition` and `failureCondition`.
//!
//! It is the one that Argo Rollouts uses, as far as conditions need it: numbers, texts, lists and maps, comparisons (also
//! chained), arithmetic, `in`, `matches`, slices, `let`, pipes, predicates over lists (`all(result, # > 1)`), and
//! its helpers `isNaN`, `isInf`, `isNil`, `asInt`, `asFloat` and `default`. A condition that Argo calls an error is one
//! here.
//!
//! An expression is parsed once. Evaluating it is bounded in steps, in depth and in the length of lists, whatever
//! stands in it.

mod error;
mod evaluate;
mod functions;
mod lexer;
mod lint;
mod parser;
mod syntax;
mod value;

use std::fmt;
use std::sync::Arc;

pub use error::{ExpressionError, Span};
pub use lint::Warning;
pub(crate) use lint::{Answers, Scale, Shape, Side};
use syntax::Node;
pub use value::Value;

/// An expression about the `result` of a query.
///
/// ```
/// use mesh_canary::expression::{Expression, Value};
///
/// let condition: Expression = "len(result) > 0 && result[0] >= 99".parse()?;
/// assert_eq!(condition.evaluate(&Value::from([99.5]))?, Value::Bool(true));
/// assert_eq!(condition.evaluate(&Value::from([]))?, Value::Bool(false));
///
/// let error = "result[0] >= 99 &".parse::<Expression>().expect_err("half an operator");
/// assert_eq!(error.column(), 17);
/// # Ok::<(), mesh_canary::expression::ExpressionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    root: Arc<Node>,
}

impl Expression {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it makes of a result.
    ///
    /// # Errors
    /// A function or an operator gets a value it does not take, an index lies outside of its list, or it takes
    /// too long. The error tells where.
    pub fn evaluate(&self, result: &Value) -> Result<Value, ExpressionError> {
        evaluate::run(&self.root, result).map_err(|fault| ExpressionError::new(&self.text, fault))
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); also if it is neither true nor false.
    pub fn holds(&self, result: &Value) -> Result<bool, ExpressionError> {
        match self.evaluate(result)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(ExpressionError::new(
                &self.text,
                error::Fault::new(
                    self.root.span,
                    format!("a condition is true or false, and this is {}", other.kind()),
                ),
            )),
        }
    }

    /// What is allowed and does not do what it seems to.
    pub fn warnings(&self) -> Vec<Warning> {
        lint::look_at(&self.root)
    }
}

impl std::str::FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let root = parser::parse(text).map_err(|fault| ExpressionError::new(text, fault))?;
        Ok(Self {
            text: text.into(),
            root: Arc::new(root),
        })
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is a success.
    Successful,
    /// It is a failure.
    Failed,
    /// It is neither.
    Inconclusive,
}

/// A `successCondition` and a `failureCondition`, either of which may be missing.
///
/// ```
/// use mesh_canary::expression::{Conditions, Outcome, Value};
///
/// let conditions = Conditions {
///     success: Some("result[0] >= 99".parse()?),
///     failure: Some("result[0] < 95".parse()?),
/// };
/// assert_eq!(conditions.outcome(&Value::from([99.5]))?, Outcome::Successful);
/// assert_eq!(conditions.outcome(&Value::from([97.0]))?, Outcome::Inconclusive);
/// assert_eq!(conditions.outcome(&Value::from([94.9]))?, Outcome::Failed);
/// assert!(conditions.outcome(&Value::from([])).is_err()); // no series is no success
/// # Ok::<(), mesh_canary::expression::ExpressionError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Without it, a success is what is no failure.
    pub success: Option<Expression>,
    /// Without it, a failure is what is no success.
    pub failure: Option<Expression>,
}

impl Conditions {
    /// What a result means. Without conditions, any result is a success; one that is both is a failure.
    ///
    /// # Errors
    /// One of them cannot be evaluated with this result.
    pub fn outcome(&self, result: &Value) -> Result<Outcome, ExpressionError> {
        // Both are evaluated: an error in one is not hidden by the other.
        let success = self.success.as_ref().map(|c| c.holds(result)).transpose()?;
        let failure = self.failure.as_ref().map(|c| c.holds(result)).transpose()?;
        Ok(match (success, failure) {
            (_, Some(true)) | (Some(false), None) => Outcome::Failed,
            (Some(true), _) | (None, _) => Outcome::Successful,
            (Some(false), Some(false)) => Outcome::Inconclusive,
        })
    }
}

#[cfg(test)]
mod tests;
