//! Percentages where shares are meant, and the other way round.

use super::{Scale, Side, Warning, children, constants};
use crate::expression::syntax::{Binary, Kind, Node};

/// A share that is compared with more than this is compared with a percentage.
const LEAST_PERCENTAGE: f64 = 10.0;

pub(super) fn look_at(node: &Node, side: Side, scale: Scale, warnings: &mut Vec<Warning>) {
    if let Kind::Chain(nodes, operators) = &node.kind {
        for (pair, operator) in nodes.windows(2).zip(operators) {
            let [left, right] = pair else { continue };
            let (limit, node, lower) = match (constants::number(left), constants::number(right)) {
                (None, Some(limit)) => (limit, right, is_lower_limit(*operator)),
                (Some(limit), None) => (limit, left, !is_lower_limit(*operator)),
                _ => continue,
            };
            let number = limit.to_string();
            match scale {
                Scale::Share if limit > LEAST_PERCENTAGE && limit <= 100.0 => {
                    warnings.push(Warning::Percentage(node.span, number));
                }
                // At least a hundredth of what there can be is no success; at most that may be meant, of errors.
                Scale::Percentage if limit > 0.0 && limit < 1.0 && lower == (side == Side::Success) => {
                    warnings.push(Warning::Share(node.span, number));
                }
                _ => {}
            }
        }
    }
    children(node, &mut |child| look_at(child, side, scale, warnings));
}

/// Whether `x operator limit` asks for more than the limit.
fn is_lower_limit(operator: Binary) -> bool {
    matches!(operator, Binary::Greater | Binary::AtLeast)
}
