//! A tree becomes a value.

use super::error::{Fault, Span};
use super::functions::{self, Function};
use super::syntax::{Binary, Kind, Node};
use super::value::Value;

mod operators;

pub(super) use operators::pattern;
use operators::{apply, at, bounded, member, place, too_large};

/// How much an evaluation may do: far more than a condition over a thousand series needs.
const STEPS: u32 = 1_000_000;

pub(super) fn run(root: &Node, result: &Value) -> Result<Value, Fault> {
    let mut run = Run {
        result,
        names: Vec::new(),
        elements: Vec::new(),
        steps: 0,
    };
    run.value(root)
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
