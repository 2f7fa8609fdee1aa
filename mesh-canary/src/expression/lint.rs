//! What is allowed and does not do what it seems to.

use std::fmt;

use super::Conditions;
use super::error::Span;
use super::syntax::{Kind, Node};

mod constants;
mod scale;
mod traps;
mod trial;

pub(super) use traps::look_at;

/// A part of an expression that does not do what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `default(…)` and `isNil(…)` ask about the result, whatever they are given; and a query that found no series
    /// has an empty list as its result, which is not nil.
    AboutTheResult(Span),
    /// `all(…)` and `none(…)` hold if there is nothing to ask about: a query that found no series is a success.
    HoldsOfNothing(Span),
    /// One value that is no number makes the whole no number, which is neither above nor below anything.
    Poisoned(Span),
    /// A number between quotes is a text, and no answer is one.
    QuotedNumber(Span, String),
    /// A query that answers with a list is compared as if it were a number.
    WholeList(Span),
    /// An element is taken of what a query answers with one number.
    NoList(Span),
    /// It cannot be evaluated with this answer, for this reason.
    NeverEvaluated(Span, String, String),
    /// It holds for every answer, or for none.
    Constant(Span, bool),
    /// With this answer both conditions hold.
    BothHold(Span, String),
    /// A query that finds no series is a success.
    NoSeriesSucceeds(Span),
    /// A query that answers with NaN is a success.
    NanSucceeds(Span),
    /// The query answers with a share, and this is a percentage.
    Percentage(Span, String),
    /// The query answers with a percentage, and this is a share.
    Share(Span, String),
}

impl Warning {
    /// Whether it takes something for what it is not: it cannot be evaluated, or never holds.
    fn is_of_a_kind(&self) -> bool {
        matches!(
            self,
            Self::WholeList(_) | Self::NoList(_) | Self::QuotedNumber(..)
        )
    }

    /// The part that is meant.
    pub fn span(&self) -> Span {
        match self {
            Self::AboutTheResult(span)
            | Self::HoldsOfNothing(span)
            | Self::Poisoned(span)
            | Self::QuotedNumber(span, _)
            | Self::WholeList(span)
            | Self::NoList(span)
            | Self::NeverEvaluated(span, ..)
            | Self::Constant(span, _)
            | Self::BothHold(span, _)
            | Self::NoSeriesSucceeds(span)
            | Self::NanSucceeds(span)
            | Self::Percentage(span, _)
            | Self::Share(span, _) => *span,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboutTheResult(_) => {
                "this is about the result as a whole, whatever it is given, and a query without series has an empty \
                 list as its result, which is not nil: ask len(result) == 0 as well"
            }
            Self::HoldsOfNothing(_) => {
                "this holds if the list is empty, as it is if a query finds no series: add len(result) > 0 &&"
            }
            Self::Poisoned(_) => {
                "a NaN among the values makes this NaN, and an empty list has none: take what is left of \
                 filter(result, not isNaN(#))"
            }
            Self::QuotedNumber(_, number) => {
                return write!(
                    f,
                    "this is a text, which no number is compared with: write {number} without quotes"
                );
            }
            Self::WholeList(_) => {
                "the query answers with a list, one number for each series: write result[0] for the first"
            }
            Self::NoList(_) => "the query answers with one number, which has no elements: write result",
            Self::NeverEvaluated(_, answer, why) => {
                return write!(
                    f,
                    "an answer as {answer} is an error here, and no measurement: {why}"
                );
            }
            Self::Constant(_, true) => "this holds whatever number the query answers with",
            Self::Constant(_, false) => "this never holds, whatever number the query answers with",
            Self::BothHold(_, answer) => {
                return write!(
                    f,
                    "an answer as {answer} is a success and a failure, which counts as a failure: let no answer be both"
                );
            }
            Self::NoSeriesSucceeds(_) => {
                "a query that finds no series is a success by this: have len(result) == 0 fail"
            }
            Self::NanSucceeds(_) => {
                "without requests the query divides by zero and answers NaN, which is a success by this, since it is \
                 neither above nor below anything: have isNaN(result[0]) fail"
            }
            Self::Percentage(_, number) => {
                return write!(
                    f,
                    "the query answers with a share, from 0 to 1, and {number} is a percentage: write * 100 behind the \
                     query, or a number from 0 to 1 here"
                );
            }
            Self::Share(_, number) => {
                return write!(
                    f,
                    "the query answers with a percentage, from 0 to 100, and {number} is a share: leave * 100 out of the \
                     query, or write a percentage here"
                );
            }
        })
    }
}

/// What can be told of a query's answers without asking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) shape: Shape,
    pub(crate) scale: Scale,
    /// Whether it divides: by zero at times.
    pub(crate) divides: bool,
}

/// One number, or a list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    #[default]
    Unknown,
}

/// What a query's numbers are parts of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 to 1.
    Share,
    /// From 0 to 100.
    Percentage,
    #[default]
    Unknown,
}

/// Which of two conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Success,
    Failure,
}

impl Conditions {
    /// What is allowed in them and does not do what it seems to, as conditions of such answers.
    pub(crate) fn warnings(&self, answers: Answers) -> Vec<(Side, Warning)> {
        let mut warnings = Vec::new();
        let sides = [(Side::Success, &self.success), (Side::Failure, &self.failure)];
        for (side, condition) in sides {
            let Some(condition) = condition else { continue };
            let mut of_side = look_at(&condition.root);
            match answers.shape {
                Shape::List => traps::look_at_lists(&condition.root, &mut of_side),
                Shape::One => traps::look_at_numbers(&condition.root, &mut of_side),
                Shape::Unknown => {}
            }
            scale::look_at(&condition.root, side, answers.scale, &mut of_side);
            warnings.extend(of_side.into_iter().map(|warning| (side, warning)));
        }
        if answers.shape != Shape::Unknown {
            trial::try_out(self, answers, &mut warnings);
        }
        warnings
    }
}

fn children<'n>(node: &'n Node, visit: &mut dyn FnMut(&'n Node)) {
    match &node.kind {
        Kind::Literal(_) | Kind::Result | Kind::Name(_) | Kind::Element | Kind::Accumulator | Kind::Index => {
        }
        Kind::List(nodes) | Kind::Chain(nodes, _) | Kind::Call(_, nodes) => nodes.iter().for_each(visit),
        Kind::Not(of) | Kind::Negative(of) | Kind::Member { of, .. } => visit(of),
        Kind::Binary(_, sides) => sides.iter().for_each(visit),
        Kind::Choice(parts) => parts.iter().for_each(visit),
        Kind::At { of, index, .. } => [of, index].into_iter().for_each(|node| visit(node)),
        Kind::Slice { of, from, until } => {
            visit(of);
            from.iter().chain(until).for_each(|node| visit(node));
        }
        Kind::Let { value, body } => [value, body].into_iter().for_each(|node| visit(node)),
    }
}

/// Whether something holds of a node or of one below it.
fn any(node: &Node, holds: &dyn Fn(&Node) -> bool) -> bool {
    let mut found = holds(node);
    children(node, &mut |child| found |= any(child, holds));
    found
}
