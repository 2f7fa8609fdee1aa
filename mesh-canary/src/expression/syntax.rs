//! An expression as a tree.

use super::error::Span;
use super::functions::Function;
use super::value::Value;

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

impl Node {
    pub(super) fn new(span: Span, kind: Kind) -> Self {
        Self { span, kind }
    }
}

/// What a part is.
#[derive(Debug)]
pub(super) enum Kind {
    Literal(Value),
    List(Vec<Node>),
    /// `result`.
    Result,
    /// A name given by `let`: the so-many-eth of those that hold here.
    Name(usize),
    /// `#`: the element that a predicate is asked about.
    Element,
    /// `#acc`: what `reduce` has so far.
    Accumulator,
    /// `#index`.
    Index,
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    /// `1 < x < 5`: each operator between two neighbours.
    Chain(Vec<Node>, Vec<Binary>),
    /// Condition, if so, if not.
    Choice(Box<[Node; 3]>),
    Member {
        of: Box<Node>,
        name: String,
        /// `?.`: nothing of nothing is nothing.
        optional: bool,
    },
    At {
        of: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    Slice {
        of: Box<Node>,
        from: Option<Box<Node>>,
        until: Option<Box<Node>>,
    },
    Call(Function, Vec<Node>),
    Let {
        value: Box<Node>,
        body: Box<Node>,
    },
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Plus,
    Minus,
    Times,
    Over,
    Remainder,
    Power,
    Else,
}

impl Binary {
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "||" | "or" => Self::Or,
            "&&" | "and" => Self::And,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            "in" => Self::In,
            "matches" => Self::Matches,
            "contains" => Self::Contains,
            "startsWith" => Self::StartsWith,
            "endsWith" => Self::EndsWith,
            ".." => Self::Range,
            "+" => Self::Plus,
            "-" => Self::Minus,
            "*" => Self::Times,
            "/" => Self::Over,
            "%" => Self::Remainder,
            "**" | "^" => Self::Power,
            "??" => Self::Else,
            _ => return None,
        })
    }

    /// How tightly it binds.
    pub(super) fn precedence(self) -> u16 {
        match self {
            Self::Or => 10,
            Self::And => 15,
            Self::Range => 25,
            Self::Plus | Self::Minus => 30,
            Self::Times | Self::Over | Self::Remainder => 60,
            Self::Power => 100,
            Self::Else => 500,
            _ => 20,
        }
    }

    /// Whether `a < b < c` asks about both pairs.
    pub(super) fn chains(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast)
    }

    /// Whether `not` may stand before it.
    pub(super) fn may_be_negated(self) -> bool {
        matches!(
            self,
            Self::In | Self::Matches | Self::Contains | Self::StartsWith | Self::EndsWith
        )
    }
}
