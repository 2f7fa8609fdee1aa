//! What can be seen of a condition without trying it.

use super::{Warning, children};
use crate::expression::functions::Function;
use crate::expression::syntax::{Binary, Kind, Node};
use crate::expression::value::Value;

pub(in crate::expression) fn look_at(root: &Node) -> Vec<Warning> {
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
        self.asks_for_length |= asks_for_length(node);
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
        for (one, other) in compared(node) {
            self.warnings.extend(quoted_number(one, other));
            self.warnings.extend(quoted_number(other, one));
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

/// `len(result)`
pub(super) fn asks_for_length(node: &Node) -> bool {
    match &node.kind {
        Kind::Call(Function::Len, arguments) => arguments.first().is_some_and(is_result),
        _ => false,
    }
}

pub(super) fn is_result(node: &Node) -> bool {
    matches!(node.kind, Kind::Result)
}

/// The pairs of neighbours that a node compares.
pub(super) fn compared(node: &Node) -> impl Iterator<Item = (&Node, &Node)> {
    let (chain, pair): (&[Node], &[Node]) = match &node.kind {
        Kind::Chain(nodes, _) => (nodes, &[]),
        Kind::Binary(Binary::Equal | Binary::NotEqual, sides) => (&[], &**sides),
        _ => (&[], &[]),
    };
    let neighbours = chain.windows(2).chain(pair.windows(2));
    neighbours.filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
}

/// Queries answer with numbers, and no number is a text.
fn quoted_number(node: &Node, beside: &Node) -> Option<Warning> {
    let Kind::Literal(Value::Text(text)) = &node.kind else {
        return None;
    };
    let number = text.parse::<f64>().is_ok() && !matches!(beside.kind, Kind::Call(Function::String, _));
    number.then(|| Warning::QuotedNumber(node.span, text.to_string()))
}

/// An element of what is one number.
pub(super) fn look_at_numbers(root: &Node, warnings: &mut Vec<Warning>) {
    if let Kind::At { of, .. } = &root.kind
        && is_result(of)
    {
        warnings.push(Warning::NoList(root.span));
    }
    children(root, &mut |child| look_at_numbers(child, warnings));
}

/// Comparisons of a whole list with something that is none.
pub(super) fn look_at_lists(root: &Node, warnings: &mut Vec<Warning>) {
    let is_list = |node: &Node| matches!(node.kind, Kind::List(_) | Kind::Slice { .. } | Kind::Name(_));
    for (one, other) in compared(root) {
        for (whole, beside) in [(one, other), (other, one)] {
            if is_result(whole) && !is_result(beside) && !is_list(beside) {
                warnings.push(Warning::WholeList(whole.span));
            }
        }
    }
    children(root, &mut |child| look_at_lists(child, warnings));
}
