//! Calls of functions, and their predicates.

use super::Parser;
use crate::expression::error::{Fault, Span};
use crate::expression::functions::{Arguments, Function};
use crate::expression::lexer::Token;
use crate::expression::syntax::{Kind, Node};

impl Parser {
    /// `result | len()`
    pub(super) fn piped(&mut self, first: Node) -> Result<Node, Fault> {
        let Token::Word(name) = self.words.token().clone() else {
            return Err(self.words.unexpected("a function"));
        };
        let span = self.words.span();
        self.words.advance();
        let called = self.call(&name, span, Some(first))?;
        self.postfix(called)
    }

    /// A function's arguments; its name has been read.
    pub(super) fn call(&mut self, name: &str, span: Span, first: Option<Node>) -> Result<Node, Fault> {
        let Some(function) = Function::of(name) else {
            return Err(Fault::new(
                span,
                format!("there is no {name} here: expected result, a name given by let, or a function"),
            ));
        };
        if !self.words.take("(") {
            return Err(Fault::new(
                span,
                format!("{name} is a function: expected {name}(…)"),
            ));
        }
        let piped = usize::from(first.is_some());
        let mut arguments: Vec<Node> = first.into_iter().collect();
        let (least, most, predicate) = match function.arguments() {
            Arguments::Values(least, most) => (least, most, None),
            Arguments::Predicate(least, most) => (least, most, Some(1)),
        };
        while !self.words.take(")") {
            if arguments.len() > piped {
                self.words.expect(",")?;
            }
            arguments.push(if predicate == Some(arguments.len()) {
                self.predicate(function == Function::Reduce)?
            } else {
                self.expression(0)?
            });
        }
        let span = Span::new(
            arguments
                .first()
                .filter(|_| piped > 0)
                .map_or(span, |a| a.span)
                .start,
            self.words.last_span().end,
        );
        if !(least..=most).contains(&arguments.len()) {
            let expected = match (least, most) {
                (_, usize::MAX) => format!("at least {least}"),
                _ if least == most => least.to_string(),
                _ => format!("{least} to {most}"),
            };
            let message = format!("{name} has {} arguments: expected {expected}", arguments.len());
            return Err(Fault::new(span, message));
        }
        Ok(Node::new(span, Kind::Call(function, arguments)))
    }

    /// `# > 1` or `{# > 1}`
    fn predicate(&mut self, reduces: bool) -> Result<Node, Fault> {
        self.predicates.push(reduces);
        let braces = self.words.take("{");
        let body = if braces {
            self.sequence()?
        } else {
            self.expression(0)?
        };
        if braces {
            self.words.expect("}")?;
        }
        self.predicates.pop();
        Ok(body)
    }
}
