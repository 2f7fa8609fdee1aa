//! What of an expression is the same for every answer.

use super::{any, children};
use crate::expression::evaluate;
use crate::expression::syntax::{Kind, Node};
use crate::expression::value::Value;

/// The number that a part is worth, if that is the same for every answer.
pub(super) fn number(node: &Node) -> Option<f64> {
    let depends = |node: &Node| {
        matches!(
            node.kind,
            Kind::Result | Kind::Name(_) | Kind::Element | Kind::Accumulator | Kind::Index | Kind::Let { .. }
        ) || matches!(node.kind, Kind::Call(function, _) if function.is_about_the_result())
    };
    if any(node, &depends) {
        return None;
    }
    evaluate::run(node, &Value::Nil).ok()?.number()
}

/// All numbers with which answers may be compared: the largest parts that are the same for every answer.
pub(super) fn numbers(node: &Node, found: &mut Vec<f64>) {
    match number(node) {
        Some(number) => found.push(number),
        None => children(node, &mut |child| numbers(child, found)),
    }
}
