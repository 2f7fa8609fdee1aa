//! Words become a tree.

use super::error::{Fault, Span};
use super::functions::Function;
use super::lexer::Token;
use super::syntax::{Binary, Kind, Node};
use super::value::Value;

mod call;
mod cursor;

use cursor::Cursor;

/// No condition needs more; what is longer or deeper is refused before it costs anything.
const LONGEST: usize = 4096;
const DEEPEST: usize = 64;

/// `not` and `!` bind less than arithmetic, a sign more than all but powers.
const NOT: u16 = 50;
const SIGN: u16 = 90;

pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    if text.len() > LONGEST {
        let span = Span::new(0, 0);
        return Err(Fault::new(
            span,
            format!("longer than {LONGEST} bytes: no condition needs that"),
        ));
    }
    let mut parser = Parser {
        words: Cursor::new(text)?,
        names: Vec::new(),
        predicates: Vec::new(),
        depth: 0,
    };
    let root = parser.sequence()?;
    match parser.words.token() {
        Token::End => Ok(root),
        _ => Err(parser.words.unexpected("an operator or the end")),
    }
}

struct Parser {
    words: Cursor,
    /// What `let` named, the innermost last.
    names: Vec<String>,
    /// For each predicate around: whether it is `reduce`'s.
    predicates: Vec<bool>,
    depth: usize,
}

impl Parser {
    /// `let x = 1; x + 1`
    fn sequence(&mut self) -> Result<Node, Fault> {
        let start = self.words.span();
        if !self.words.take_word("let") {
            return self.expression(0);
        }
        self.deeper()?;
        let Token::Word(name) = self.words.token().clone() else {
            return Err(self.words.unexpected("a name"));
        };
        if is_known(&name) {
            return Err(Fault::new(
                self.words.span(),
                format!("{name} means something already: take another name"),
            ));
        }
        self.words.advance();
        self.words.expect("=")?;
        let value = self.expression(0)?;
        self.words.expect(";")?;
        self.names.push(name);
        let body = self.sequence();
        self.names.pop();
        self.depth -= 1;
        let body = body?;
        let kind = Kind::Let {
            value: Box::new(value),
            body: Box::new(body),
        };
        Ok(Node::new(start.to(self.words.last_span()), kind))
    }

    /// Everything that binds at least so tightly.
    fn expression(&mut self, least: u16) -> Result<Node, Fault> {
        self.deeper()?;
        let mut left = self.operand()?;
        let mut after_else = false;
        while let Some((operator, negated)) = self.operator() {
            if least == 0 && operator.is_none() {
                self.words.advance();
                left = self.piped(left)?;
                continue;
            }
            let Some(operator) = operator.filter(|operator| operator.precedence() >= least) else {
                break;
            };
            if after_else && operator != Binary::Else {
                return Err(self.words.unexpected("parentheses around what stands beside ??"));
            }
            after_else = operator == Binary::Else;
            (0..=usize::from(negated)).for_each(|_| self.words.advance());
            left = if operator.chains() {
                self.chain(left, operator)?
            } else {
                // Powers are the only ones that bind to the right.
                let next = operator.precedence() + u16::from(operator != Binary::Power);
                let right = self.expression(next)?;
                let span = left.span.to(right.span);
                check_pattern(operator, &right)?;
                let node = Node::new(span, Kind::Binary(operator, Box::new([left, right])));
                if negated {
                    Node::new(span, Kind::Not(Box::new(node)))
                } else {
                    node
                }
            };
        }
        if least == 0 {
            left = self.choice(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn chain(&mut self, left: Node, operator: Binary) -> Result<Node, Fault> {
        let next = operator.precedence() + 1;
        let (mut nodes, mut operators) = (vec![left], vec![operator]);
        nodes.push(self.expression(next)?);
        while let Some((Some(operator), false)) =
            self.operator().filter(|(o, _)| o.is_some_and(Binary::chains))
        {
            self.words.advance();
            operators.push(operator);
            nodes.push(self.expression(next)?);
        }
        let span = nodes[0].span.to(self.words.last_span());
        Ok(Node::new(span, Kind::Chain(nodes, operators)))
    }

    /// The operator that comes next, and whether `not` stands before it. No operator is a pipe.
    fn operator(&self) -> Option<(Option<Binary>, bool)> {
        let of = |token: &Token| match token {
            Token::Sign(text) => Binary::of(text),
            Token::Word(text) => Binary::of(text),
            _ => None,
        };
        match self.words.token() {
            Token::Sign("|") => Some((None, false)),
            Token::Word(word) if word == "not" => {
                let next = self.words.second().and_then(of);
                next.filter(|next| next.may_be_negated())
                    .map(|next| (Some(next), true))
            }
            token => of(token).map(|operator| (Some(operator), false)),
        }
    }

    /// `a ? b : c`
    fn choice(&mut self, condition: Node) -> Result<Node, Fault> {
        if !self.words.take("?") {
            return Ok(condition);
        }
        let yes = self.expression(0)?;
        self.words.expect(":")?;
        let no = self.expression(0)?;
        let span = condition.span.to(no.span);
        Ok(Node::new(span, Kind::Choice(Box::new([condition, yes, no]))))
    }

    fn operand(&mut self) -> Result<Node, Fault> {
        let start = self.words.span();
        let token = self.words.token().clone();
        let prefix = match &token {
            Token::Sign(sign @ ("!" | "-" | "+")) => *sign,
            Token::Word(word) if word == "not" => "!",
            _ => {
                let primary = self.primary(token)?;
                return self.postfix(primary);
            }
        };
        self.words.advance();
        let operand = self.expression(if prefix == "!" { NOT } else { SIGN })?;
        let span = start.to(operand.span);
        Ok(match prefix {
            "!" => Node::new(span, Kind::Not(Box::new(operand))),
            "-" => Node::new(span, Kind::Negative(Box::new(operand))),
            _ => operand,
        })
    }

    fn primary(&mut self, token: Token) -> Result<Node, Fault> {
        let span = self.words.span();
        let literal = |value| Ok(Node::new(span, Kind::Literal(value)));
        match token {
            Token::Sign(".") if !self.predicates.is_empty() => {
                // `.name` is `#.name`; the point is read again as what follows an element.
                return Ok(Node::new(Span::new(span.start, span.start), Kind::Element));
            }
            Token::Sign("(") => {
                self.words.advance();
                let inner = self.sequence()?;
                self.words.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => {
                self.words.advance();
                let items = self.list("]")?;
                return Ok(Node::new(span.to(self.words.last_span()), Kind::List(items)));
            }
            Token::Int(_) | Token::Float(_) | Token::Text(_) | Token::Word(_) => self.words.advance(),
            Token::Sign(_) | Token::End => return Err(self.words.unexpected("a value")),
        }
        match token {
            Token::Int(int) => literal(Value::Int(int)),
            Token::Float(float) => literal(Value::Float(float)),
            Token::Text(text) => literal(Value::from(&*text)),
            Token::Word(word) => self.word(&word, span),
            Token::Sign(_) | Token::End => Err(self.words.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &str, span: Span) -> Result<Node, Fault> {
        let kind = match word {
            "true" | "false" => Kind::Literal(Value::Bool(word == "true")),
            "nil" => Kind::Literal(Value::Nil),
            "result" => Kind::Result,
            "#" | "#index" if !self.predicates.is_empty() => {
                if word == "#" {
                    Kind::Element
                } else {
                    Kind::Index
                }
            }
            "#acc" if self.predicates.last() == Some(&true) => Kind::Accumulator,
            _ if word.starts_with('#') => {
                return Err(Fault::new(
                    span,
                    format!("{word} has a meaning only within a predicate, as all(result, # > 1)"),
                ));
            }
            _ => match self.names.iter().rposition(|name| name == word) {
                Some(n) => Kind::Name(n),
                None => return self.call(word, span, None),
            },
        };
        Ok(Node::new(span, kind))
    }

    /// `.name`, `[index]`, `[from:until]`
    fn postfix(&mut self, mut of: Node) -> Result<Node, Fault> {
        let mut links = 0;
        loop {
            let start = of.span;
            let optional = self.words.take("?.");
            let kind = if self.words.take("[") {
                self.bracket(of, optional)?
            } else if optional || self.words.take(".") {
                let Token::Word(name) = self.words.token().clone() else {
                    return Err(self.words.unexpected("the name of a field"));
                };
                self.words.advance();
                Kind::Member {
                    of: Box::new(of),
                    name,
                    optional,
                }
            } else {
                return Ok(of);
            };
            // They are evaluated one within the other.
            links += 1;
            if links + self.depth > DEEPEST {
                return Err(self.too_deep());
            }
            of = Node::new(start.to(self.words.last_span()), kind);
        }
    }

    fn bracket(&mut self, of: Node, optional: bool) -> Result<Kind, Fault> {
        let of = Box::new(of);
        let mut from = None;
        if !self.words.take(":") {
            let index = Box::new(self.expression(0)?);
            if self.words.take("]") {
                return Ok(Kind::At { of, index, optional });
            }
            self.words.expect(":")?;
            from = Some(index);
        }
        let until = if self.words.take("]") {
            None
        } else {
            Some(Box::new(self.expression(0)?))
        };
        if until.is_some() {
            self.words.expect("]")?;
        }
        Ok(Kind::Slice { of, from, until })
    }

    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        while !self.words.take(end) {
            if !items.is_empty() {
                self.words.expect(",")?;
            }
            items.push(self.expression(0)?);
        }
        Ok(items)
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            Err(self.too_deep())
        } else {
            Ok(())
        }
    }

    fn too_deep(&self) -> Fault {
        Fault::new(
            self.words.span(),
            format!("more than {DEEPEST} levels deep: no condition needs that"),
        )
    }
}

fn is_known(name: &str) -> bool {
    matches!(name, "result" | "true" | "false" | "nil" | "not" | "let")
        || name.starts_with('#')
        || Binary::of(name).is_some()
        || Function::of(name).is_some()
}

/// A pattern that is written out is looked at now and not when it is too late.
fn check_pattern(operator: Binary, right: &Node) -> Result<(), Fault> {
    if let (Binary::Matches, Kind::Literal(Value::Text(pattern))) = (operator, &right.kind) {
        super::evaluate::pattern(pattern, right.span)?;
    }
    Ok(())
}
