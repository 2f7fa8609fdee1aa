//! A tree becomes a value.

use regex::{Regex, RegexBuilder};

use super::error::{Fault, Span};
use super::functions::{self, Function};
use super::syntax::{Binary, Kind, Node};
use super::value::Value;

/// How much an evaluation may do: far more than a condition over a thousand series needs.
const STEPS: u32 = 1_000_000;

/// The longest list and text that an expression may make.
const LONGEST: usize = 10_000;

/// The most memory that a pattern may take.
const PATTERN: usize = 1 << 20;

pub(super) fn run(root: &Node, result: &Value) -> Result<Value, Fault> {
    let mut run = Run {
        result,
        names: Vec::new(),
        elements: Vec::new(),
        steps: 0,
    };
    run.value(root)
}

pub(super) fn pattern(text: &str, span: Span) -> Result<Regex, Fault> {
    let pattern = RegexBuilder::new(text).size_limit(PATTERN).build();
    pattern.map_err(|error| Fault::new(span, format!("this is no pattern: {error}")))
}

/// What a predicate is asked about.
struct Asked {
    element: Value,
    index: usize,
    accumulator: Value,
}

struct Run<'a> {
    result: &'a Value,
    names: Vec<Value>,
    elements: Vec<Asked>,
    steps: u32,
}

impl Run<'_> {
    fn value(&mut self, node: &Node) -> Result<Value, Fault> {
        self.step(node.span, 1)?;
        let asked = self.elements.last();
        Ok(match &node.kind {
            Kind::Literal(value) => value.clone(),
            Kind::List(items) => items
                .iter()
                .map(|item| self.value(item))
                .collect::<Result<_, _>>()?,
            Kind::Result => self.result.clone(),
            Kind::Name(n) => self.names.get(*n).cloned().unwrap_or(Value::Nil),
            Kind::Element => asked.map_or(Value::Nil, |asked| asked.element.clone()),
            Kind::Accumulator => asked.map_or(Value::Nil, |asked| asked.accumulator.clone()),
            Kind::Index => asked.map_or(Value::Nil, |asked| Value::Int(asked.index as i64)),
            Kind::Not(operand) => Value::Bool(!self.truth(operand)?),
            Kind::Negative(operand) => match self.value(operand)? {
                Value::Int(int) => Value::Int(int.checked_neg().ok_or_else(|| too_large(node.span))?),
                Value::Float(float) => Value::Float(-float),
                other => return Err(Fault::new(node.span, format!("{} has no opposite", other.kind()))),
            },
            Kind::Binary(operator, sides) => self.binary(*operator, sides, node.span)?,
            Kind::Chain(nodes, operators) => self.chain(nodes, operators)?,
            Kind::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                let taken = if self.truth(condition)? { yes } else { no };
                self.value(taken)?
            }
            Kind::Member { of, name, optional } => {
                let of = self.value(of)?;
                member(&of, name, *optional, node.span)?
            }
            Kind::At { of, index, optional } => {
                let of = self.value(of)?;
                let key = self.value(index)?;
                if of == Value::Nil && *optional {
                    Value::Nil
                } else {
                    at(&of, &key, node.span)?
                }
            }
            Kind::Slice { of, from, until } => {
                self.slice(of, from.as_deref(), until.as_deref(), node.span)?
            }
            Kind::Call(function, arguments) => self.call(*function, arguments, node.span)?,
            Kind::Let { value, body } => {
                let value = self.value(value)?;
                self.names.push(value);
                let body = self.value(body);
                self.names.pop();
                body?
            }
        })
    }

    fn step(&mut self, span: Span, steps: usize) -> Result<(), Fault> {
        self.steps = self
            .steps
            .saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        if self.steps > STEPS {
            return Err(Fault::new(span, format!("it takes more than {STEPS} steps")));
        }
        Ok(())
    }

    fn truth(&mut self, node: &Node) -> Result<bool, Fault> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            other => Err(Fault::new(
                node.span,
                format!("expected true or false, found {}", other.kind()),
            )),
        }
    }

    fn binary(&mut self, operator: Binary, sides: &[Node; 2], span: Span) -> Result<Value, Fault> {
        let [left, right] = sides;
        match operator {
            Binary::And => return Ok(Value::Bool(self.truth(left)? && self.truth(right)?)),
            Binary::Or => return Ok(Value::Bool(self.truth(left)? || self.truth(right)?)),
            Binary::Else => {
                let value = self.value(left)?;
                return if value == Value::Nil {
                    self.value(right)
                } else {
                    Ok(value)
                };
            }
            _ => {}
        }
        let (a, b) = (self.value(left)?, self.value(right)?);
        if let (Value::List(items), Binary::In | Binary::Equal | Binary::NotEqual) = (&b, operator) {
            self.step(span, items.len())?;
        }
        apply(operator, &a, &b, span)
    }

    fn chain(&mut self, nodes: &[Node], operators: &[Binary]) -> Result<Value, Fault> {
        let Some((first, rest)) = nodes.split_first() else {
            return Ok(Value::Bool(true));
        };
        let (mut left, mut span) = (self.value(first)?, first.span);
        for (node, operator) in rest.iter().zip(operators) {
            let right = self.value(node)?;
            span = span.to(node.span);
            if apply(*operator, &left, &right, span)? != Value::Bool(true) {
                return Ok(Value::Bool(false));
            }
            (left, span) = (right, node.span);
        }
        Ok(Value::Bool(true))
    }

    fn slice(
        &mut self,
        of: &Node,
        from: Option<&Node>,
        until: Option<&Node>,
        span: Span,
    ) -> Result<Value, Fault> {
        let of = self.value(of)?;
        let length = match &of {
            Value::List(values) => values.len(),
            Value::Text(text) => text.chars().count(),
            _ => return Err(Fault::new(span, format!("{} has no parts", of.kind()))),
        };
        let mut edge =
            |node: Option<&Node>, default: usize| match node.map(|node| self.value(node)).transpose()? {
                None => Ok(default),
                Some(Value::Int(int)) => Ok(place(int, length).unwrap_or(0).min(length)),
                Some(other) => Err(Fault::new(
                    span,
                    format!("expected a whole number, found {}", other.kind()),
                )),
            };
        let (from, until) = (edge(from, 0)?, edge(until, length)?);
        let count = until.saturating_sub(from);
        Ok(match &of {
            Value::List(values) => values.iter().skip(from).take(count).cloned().collect(),
            Value::Text(text) => Value::from(&*text.chars().skip(from).take(count).collect::<String>()),
            _ => Value::Nil,
        })
    }

    fn call(&mut self, function: Function, arguments: &[Node], span: Span) -> Result<Value, Fault> {
        if matches!(function.arguments(), functions::Arguments::Predicate(..)) {
            return self.over(function, arguments, span);
        }
        let values = arguments
            .iter()
            .map(|argument| self.value(argument))
            .collect::<Result<Vec<_>, _>>()?;
        for value in &values {
            if let Value::List(list) = value {
                self.step(span, list.len())?;
            }
        }
        let value =
            functions::call(function, &values, self.result).map_err(|message| Fault::new(span, message))?;
        bounded(value, span)
    }

    /// A function with a predicate over a list.
    fn over(&mut self, function: Function, arguments: &[Node], span: Span) -> Result<Value, Fault> {
        let [list, rest @ ..] = arguments else {
            return Ok(Value::Nil);
        };
        let items = match self.value(list)? {
            Value::List(items) => items,
            other => {
                return Err(Fault::new(
                    list.span,
                    format!("expected a list, found {}", other.kind()),
                ));
            }
        };
        if function == Function::Reduce {
            return self.reduce(&items, rest, span);
        }
        let mut hits = Vec::new();
        let mut mapped = Vec::new();
        for (index, element) in items.iter().enumerate() {
            let Some(predicate) = rest.first() else {
                // `count(list)` counts what is true.
                if element.equals(&Value::Bool(true)) {
                    hits.push(index);
                }
                continue;
            };
            let value = self.ask(predicate, element, index, Value::Nil)?;
            match (function, value) {
                (Function::Map, value) => mapped.push(value),
                (_, Value::Bool(true)) => {
                    hits.push(index);
                    if matches!(
                        function,
                        Function::Any | Function::None | Function::Find | Function::FindIndex
                    ) {
                        break;
                    }
                }
                (_, Value::Bool(false)) => {
                    if function == Function::All {
                        return Ok(Value::Bool(false));
                    }
                }
                (_, other) => {
                    let message = format!("expected true or false of the predicate, found {}", other.kind());
                    return Err(Fault::new(predicate.span, message));
                }
            }
        }
        let whole = |index: usize| Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
        let element = |index: &usize| items.get(*index).cloned();
        Ok(match function {
            Function::All => Value::Bool(hits.len() == items.len()),
            Function::Any => Value::Bool(!hits.is_empty()),
            Function::None => Value::Bool(hits.is_empty()),
            Function::One => Value::Bool(hits.len() == 1),
            Function::Filter => hits.iter().filter_map(element).collect(),
            Function::Map => mapped.into_iter().collect(),
            Function::Count => whole(hits.len()),
            Function::Find => hits.first().and_then(element).unwrap_or(Value::Nil),
            _ => hits.first().map_or(Value::Int(-1), |index| whole(*index)),
        })
    }

    fn reduce(&mut self, items: &[Value], rest: &[Node], span: Span) -> Result<Value, Fault> {
        let [predicate, start @ ..] = rest else {
            return Ok(Value::Nil);
        };
        let mut items = items.iter().enumerate();
        let mut accumulator = match start.first() {
            Some(start) => self.value(start)?,
            None => match items.next() {
                Some((_, first)) => first.clone(),
                None => {
                    return Err(Fault::new(
                        span,
                        "an empty list without a start cannot be reduced",
                    ));
                }
            },
        };
        for (index, element) in items {
            accumulator = self.ask(predicate, element, index, accumulator)?;
        }
        Ok(accumulator)
    }

    fn ask(
        &mut self,
        predicate: &Node,
        element: &Value,
        index: usize,
        accumulator: Value,
    ) -> Result<Value, Fault> {
        self.elements.push(Asked {
            element: element.clone(),
            index,
            accumulator,
        });
        let value = self.value(predicate);
        self.elements.pop();
        value
    }
}

fn too_large(span: Span) -> Fault {
    Fault::new(span, "the number is too large")
}

fn bounded(value: Value, span: Span) -> Result<Value, Fault> {
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        _ => 0,
    };
    if length > LONGEST {
        return Err(Fault::new(
            span,
            format!("it would be {length} long: at most {LONGEST} are allowed"),
        ));
    }
    Ok(value)
}

/// Where an index leads, from the end if it is negative; `None` before the beginning.
fn place(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        return Some(usize::try_from(index).unwrap_or(usize::MAX));
    }
    length.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
}

fn member(of: &Value, name: &str, optional: bool, span: Span) -> Result<Value, Fault> {
    match of {
        Value::Map(values) => Ok(values.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Nil if optional => Ok(Value::Nil),
        _ => Err(Fault::new(span, format!("{} has no field {name}", of.kind()))),
    }
}

fn at(of: &Value, key: &Value, span: Span) -> Result<Value, Fault> {
    match (of, key) {
        (Value::Map(_), Value::Text(name)) => member(of, name, false, span),
        (Value::List(values), Value::Int(index)) => {
            let value = place(*index, values.len()).and_then(|place| values.get(place));
            value.cloned().ok_or_else(|| {
                let count = values.len();
                Fault::new(span, format!("there is no element {index}: the list has {count}"))
            })
        }
        (Value::List(_), _) => Err(Fault::new(
            span,
            format!("expected a whole number as index, found {}", key.kind()),
        )),
        _ => Err(Fault::new(span, format!("{} has no elements", of.kind()))),
    }
}

fn apply(operator: Binary, a: &Value, b: &Value, span: Span) -> Result<Value, Fault> {
    let bool = |value| Ok(Value::Bool(value));
    let numbers = a.number().zip(b.number());
    let whole = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some((*a, *b)),
        _ => None,
    };
    let texts = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some((&**a, &**b)),
        _ => None,
    };
    match (operator, numbers, texts) {
        (Binary::Equal, ..) => bool(a.equals(b)),
        (Binary::NotEqual, ..) => bool(!a.equals(b)),
        (Binary::Less, Some((a, b)), _) => bool(a < b),
        (Binary::AtMost, Some((a, b)), _) => bool(a <= b),
        (Binary::Greater, Some((a, b)), _) => bool(a > b),
        (Binary::AtLeast, Some((a, b)), _) => bool(a >= b),
        (Binary::Less, _, Some((a, b))) => bool(a < b),
        (Binary::AtMost, _, Some((a, b))) => bool(a <= b),
        (Binary::Greater, _, Some((a, b))) => bool(a > b),
        (Binary::AtLeast, _, Some((a, b))) => bool(a >= b),
        (Binary::Contains, _, Some((a, b))) => bool(a.contains(b)),
        (Binary::StartsWith, _, Some((a, b))) => bool(a.starts_with(b)),
        (Binary::EndsWith, _, Some((a, b))) => bool(a.ends_with(b)),
        (Binary::Matches, _, Some((a, b))) => bool(pattern(b, span)?.is_match(a)),
        (Binary::Plus, _, Some((a, b))) => bounded(Value::from(&*format!("{a}{b}")), span),
        (Binary::Plus, Some((x, y)), _) => arithmetic(whole, i64::checked_add, x + y, span),
        (Binary::Minus, Some((x, y)), _) => arithmetic(whole, i64::checked_sub, x - y, span),
        (Binary::Times, Some((x, y)), _) => arithmetic(whole, i64::checked_mul, x * y, span),
        (Binary::Over, Some((x, y)), _) => Ok(Value::Float(x / y)),
        (Binary::Power, Some((x, y)), _) => Ok(Value::Float(x.powf(y))),
        (Binary::Remainder, ..) if whole.is_some() => {
            let rest = whole.and_then(|(a, b)| a.checked_rem(b));
            rest.map(Value::Int)
                .ok_or_else(|| Fault::new(span, "a division by zero has no rest"))
        }
        (Binary::Range, ..) if whole.is_some() => range(whole.unwrap_or_default(), span),
        (Binary::In, ..) => match b {
            Value::List(values) => bool(values.iter().any(|value| value.equals(a))),
            Value::Map(values) => bool(matches!(a, Value::Text(name) if values.contains_key(&**name))),
            _ => Err(Fault::new(
                span,
                format!("expected a list or a map behind in, found {}", b.kind()),
            )),
        },
        _ => {
            let hint = match (a, b) {
                (Value::List(_), _) | (_, Value::List(_)) => ": write [0] for the first element of a list",
                _ => "",
            };
            let message = format!("{} and {} do not go together here{hint}", a.kind(), b.kind());
            Err(Fault::new(span, message))
        }
    }
}

fn arithmetic(
    whole: Option<(i64, i64)>,
    exact: fn(i64, i64) -> Option<i64>,
    float: f64,
    span: Span,
) -> Result<Value, Fault> {
    match whole {
        Some((a, b)) => exact(a, b).map(Value::Int).ok_or_else(|| too_large(span)),
        None => Ok(Value::Float(float)),
    }
}

fn range((from, until): (i64, i64), span: Span) -> Result<Value, Fault> {
    let length = usize::try_from(until.saturating_sub(from)).map_or(0, |length| length.saturating_add(1));
    if length > LONGEST {
        return Err(Fault::new(
            span,
            format!("the range has more than {LONGEST} numbers"),
        ));
    }
    Ok((from..=until).map(Value::Int).collect())
}
