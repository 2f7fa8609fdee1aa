//! Conditions, tried with answers around each number that stands in them.

use super::traps::asks_for_length;
use super::{Answers, Shape, Side, Warning, any, constants};
use crate::expression::error::ExpressionError;
use crate::expression::functions::Function;
use crate::expression::syntax::{Binary, Kind, Node};
use crate::expression::value::Value;
use crate::expression::{Conditions, Expression, Outcome};

/// Conditions that are longer, with more numbers or about longer lists are not tried: it would take long.
const LONGEST: usize = 500;
const MOST_NUMBERS: usize = 8;
const LONGEST_LIST: usize = 16;

pub(super) fn try_out(conditions: &Conditions, answers: Answers, warnings: &mut Vec<(Side, Warning)>) {
    let sides = [
        (Side::Success, &conditions.success),
        (Side::Failure, &conditions.failure),
    ];
    let sides = || {
        sides
            .into_iter()
            .filter_map(|(side, condition)| Some((side, condition.as_ref()?)))
    };
    if sides().any(|(_, condition)| condition.as_str().len() > LONGEST) {
        return;
    }
    let mut numbers = Vec::new();
    for (_, condition) in sides() {
        constants::numbers(&condition.root, &mut numbers);
    }
    let Some(tried) = Tried::around(numbers, answers.shape) else {
        return;
    };
    let before = warnings.len();
    for (side, condition) in sides() {
        // What is told of already need not be told twice.
        let told = warnings
            .iter()
            .any(|(of, warning)| *of == side && warning.is_of_a_kind());
        if !told {
            warnings.extend(tried.look_at(condition).map(|warning| (side, warning)));
        }
    }
    if warnings.len() == before {
        warnings.extend(tried.both(conditions).map(|warning| (Side::Failure, warning)));
    }
    let Some((side, blamed)) = sides().next_back() else {
        return;
    };
    let span = blamed.root.span;
    let succeeds = |answer: &Value| conditions.outcome(answer) == Ok(Outcome::Successful);
    let asks = |what: &dyn Fn(&Node) -> bool| sides().any(|(_, condition)| any(&condition.root, what));
    let told = |about: fn(&Warning) -> bool| warnings.iter().any(|(_, warning)| about(warning));
    let constant = told(|warning| matches!(warning, Warning::Constant(..)));
    let nothing = told(|warning| matches!(warning, Warning::AboutTheResult(_) | Warning::HoldsOfNothing(_)));
    let mut more = Vec::new();
    if answers.shape == Shape::List
        && !nothing
        && !constant
        && !asks(&asks_for_length)
        && succeeds(&Value::from([]))
    {
        more.push((side, Warning::NoSeriesSucceeds(span)));
    }
    let nan = answers.shape.of(f64::NAN);
    if answers.divides && !constant && !asks(&asks_for_nan) && succeeds(&nan) {
        more.push((side, Warning::NanSucceeds(span)));
    }
    warnings.extend(more);
}

fn asks_for_nan(node: &Node) -> bool {
    matches!(node.kind, Kind::Call(Function::IsNaN, _))
}

impl Shape {
    /// An answer of one number.
    fn of(self, number: f64) -> Value {
        match self {
            Self::One => Value::Float(number),
            Self::List | Self::Unknown => Value::from([number]),
        }
    }
}

/// Answers to try.
struct Tried {
    shape: Shape,
    /// Below, between, on and above the numbers of the conditions.
    points: Vec<f64>,
    /// How long lists are tried.
    lengths: Vec<usize>,
}

impl Tried {
    fn around(mut numbers: Vec<f64>, shape: Shape) -> Option<Self> {
        numbers.retain(|number| number.is_finite());
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        if numbers.len() > MOST_NUMBERS {
            return None;
        }
        let mut points: Vec<f64> = numbers
            .windows(2)
            .map(|pair| f64::midpoint(pair[0], pair[1]))
            .collect();
        let (least, most) = (numbers.first().copied(), numbers.last().copied());
        points.extend([least.unwrap_or_default() - 1.0, most.unwrap_or_default() + 1.0]);
        points.extend(&numbers);
        points.sort_by(f64::total_cmp);
        let mut lengths = vec![1, 2];
        for number in &numbers {
            // An index, or a length that is compared.
            let whole = number.abs().round();
            if whole <= LONGEST_LIST as f64 {
                let length = whole as usize;
                lengths.extend([
                    length.saturating_sub(1).max(1),
                    length.max(1),
                    length.saturating_add(1),
                ]);
            }
        }
        lengths.sort_unstable();
        lengths.dedup();
        Some(Self {
            shape,
            points,
            lengths,
        })
    }

    /// Every answer that is tried, the plainest first.
    fn answers(&self, all: bool) -> Vec<Value> {
        let plain = self.points.iter().map(|point| self.shape.of(*point));
        let mut answers: Vec<Value> = plain.collect();
        if self.shape != Shape::List || !all {
            return answers;
        }
        for one in &self.points {
            for other in &self.points {
                for length in &self.lengths {
                    let alike = std::iter::repeat_n(Value::Float(*one), *length);
                    answers.push(alike.chain([Value::Float(*other)]).collect());
                }
            }
        }
        answers
    }

    /// What it makes of all these answers.
    fn look_at(&self, condition: &Expression) -> Option<Warning> {
        let longest = self.lengths.last().copied().unwrap_or(1);
        let is_beyond = |node: &Node| match &node.kind {
            Kind::At { index, .. } => {
                constants::number(index).is_none_or(|index| index.abs() >= longest as f64)
            }
            _ => false,
        };
        if any(&condition.root, &is_beyond) {
            return None;
        }
        for point in self.points.iter().rev() {
            let answer = match self.shape {
                Shape::One => Value::Float(*point),
                _ => std::iter::repeat_n(Value::Float(*point), longest).collect(),
            };
            if let Err(error) = condition.holds(&answer) {
                return Some(never(&error, &self.shape.of(*point)));
            }
        }
        if !is_plain(&condition.root) {
            return None;
        }
        let mut seen = self
            .answers(true)
            .into_iter()
            // Who asks for it tells numbers from what is none; to all others it is no number that a query answers with.
            .chain(any(&condition.root, &asks_for_nan).then(|| self.shape.of(f64::NAN)))
            .chain((self.shape == Shape::List).then(|| Value::from([])))
            .filter_map(|answer| condition.holds(&answer).ok());
        let first = seen.next()?;
        seen.all(|holds| holds == first)
            .then(|| Warning::Constant(condition.root.span, first))
    }

    /// An answer with which both hold.
    fn both(&self, conditions: &Conditions) -> Option<Warning> {
        let (success, failure) = (conditions.success.as_ref()?, conditions.failure.as_ref()?);
        let signed = self.points.iter().skip(1).any(|point| *point < 0.0);
        let mut answers = self.answers(false).into_iter().zip(&self.points);
        let both = answers.find(|(answer, point)| {
            // Few metrics are negative: who writes no negative number has none.
            (signed || **point >= 0.0)
                && success.holds(answer) == Ok(true)
                && failure.holds(answer) == Ok(true)
        });
        both.map(|(answer, _)| Warning::BothHold(failure.root.span, answer.to_string()))
    }
}

fn never(error: &ExpressionError, answer: &Value) -> Warning {
    Warning::NeverEvaluated(error.span(), answer.to_string(), error.message().to_owned())
}

/// Whether it only compares elements of the answer, one predicate over a list at most, with numbers that stand in it:
/// what it makes of the answers around these numbers, it makes of all others.
fn is_plain(root: &Node) -> bool {
    let mut predicates = 0_usize;
    let mut plain = true;
    let mut nodes = vec![root];
    while let Some(node) = nodes.pop() {
        if constants::number(node).is_some() {
            plain &= constants::number(node).is_some_and(f64::is_finite);
            continue;
        }
        plain &= match &node.kind {
            Kind::Literal(Value::Bool(_))
            | Kind::Result
            | Kind::Element
            | Kind::Not(_)
            | Kind::At { .. }
            | Kind::Chain(..) => true,
            Kind::Binary(operator, _) => {
                matches!(
                    operator,
                    Binary::And | Binary::Or | Binary::Equal | Binary::NotEqual
                )
            }
            Kind::Call(function, _) => match function {
                Function::All
                | Function::Any
                | Function::None
                | Function::One
                | Function::Count
                | Function::Filter => {
                    predicates = predicates.saturating_add(1);
                    *function != Function::Count || counts_are_short(root)
                }
                Function::Len => counts_are_short(root),
                Function::IsNaN | Function::First | Function::Last | Function::Max | Function::Min => true,
                _ => false,
            },
            _ => false,
        };
        super::children(node, &mut |child| nodes.push(child));
    }
    plain && predicates <= 1
}

/// Whether all numbers that a length may be compared with are those of lists that are tried.
fn counts_are_short(root: &Node) -> bool {
    let mut numbers = Vec::new();
    constants::numbers(root, &mut numbers);
    numbers.iter().all(|number| number.abs() <= LONGEST_LIST as f64)
}
