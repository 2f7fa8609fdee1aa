//! What is allowed and does not do what it seems to.

use std::fmt;

use super::error::Span;
use super::functions::Function;
use super::syntax::{Binary, Kind, Node};

/// A part of an expression that does not do what it seems to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// `default(…)` and `isNil(…)` ask about the result, whatever they are given; and a query that found no series
    /// has an empty list as its result, which is not nil.
    AboutTheResult(Span),
    /// `all(…)` and `none(…)` hold if there is nothing to ask about: a query that found no series is a success.
    HoldsOfNothing(Span),
    /// One value that is no number makes the whole no number, which is neither above nor below anything.
    Poisoned(Span),
}

impl Warning {
    /// The part that is meant.
    pub fn span(&self) -> Span {
        match self {
            Self::AboutTheResult(span) | Self::HoldsOfNothing(span) | Self::Poisoned(span) => *span,
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
        })
    }
}

pub(super) fn look_at(root: &Node) -> Vec<Warning> {
    let mut look = Look {
        asks_for_length: false,
        warnings: Vec::new(),
    };
    look.prepare(root);
    look.visit(root);
    look.warnings
}

struct Look {
    /// Who asks whether there is anything knows that there may be nothing.
    asks_for_length: bool,
    warnings: Vec<Warning>,
}

impl Look {
    fn prepare(&mut self, node: &Node) {
        self.asks_for_length |= matches!(node.kind, Kind::Call(Function::Len, _));
        children(node, &mut |child| self.prepare(child));
    }

    fn visit(&mut self, node: &Node) {
        if let Kind::Call(function, arguments) = &node.kind {
            let span = node.span;
            match function {
                Function::Default | Function::IsNil if !self.asks_for_length => {
                    self.warnings.push(Warning::AboutTheResult(span));
                }
                Function::Default | Function::IsNil
                    if !arguments
                        .first()
                        .is_some_and(|first| matches!(first.kind, Kind::Result)) =>
                {
                    self.warnings.push(Warning::AboutTheResult(span));
                }
                Function::All | Function::None if !self.asks_for_length => {
                    self.warnings.push(Warning::HoldsOfNothing(span));
                }
                Function::Max | Function::Min | Function::Median if !arguments.iter().any(is_filtered) => {
                    self.warnings.push(Warning::Poisoned(span));
                }
                _ => {}
            }
        }
        children(node, &mut |child| self.visit(child));
    }
}

/// Whether NaN has been sorted out, as in `filter(result, not isNaN(#))` or `filter(result, # == #)`.
fn is_filtered(node: &Node) -> bool {
    let Kind::Call(Function::Filter, arguments) = &node.kind else {
        return false;
    };
    arguments.get(1).is_some_and(asks_for_nan)
}

fn asks_for_nan(node: &Node) -> bool {
    let mut found = match &node.kind {
        Kind::Call(function, _) => *function == Function::IsNaN,
        Kind::Chain(..) => true,
        Kind::Binary(operator, _) => *operator == Binary::Equal,
        _ => false,
    };
    children(node, &mut |child| found |= asks_for_nan(child));
    found
}

fn children(node: &Node, visit: &mut dyn FnMut(&Node)) {
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
