//! A place among the words of an expression.

use crate::expression::error::{Fault, Span};
use crate::expression::lexer::{Token, split};

/// The words, and which of them comes next.
pub(super) struct Cursor {
    words: Vec<(Token, Span)>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(text: &str) -> Result<Self, Fault> {
        Ok(Self {
            words: split(text)?,
            at: 0,
        })
    }

    pub(super) fn token(&self) -> &Token {
        self.words.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn span(&self) -> Span {
        self.words.get(self.at).map(|(_, span)| *span).unwrap_or_default()
    }

    pub(super) fn last_span(&self) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.words.get(at));
        last.map(|(_, span)| *span).unwrap_or_default()
    }

    pub(super) fn advance(&mut self) {
        // The end stays the end.
        self.at = (self.at + 1).min(self.words.len().saturating_sub(1));
    }

    pub(super) fn take(&mut self, sign: &'static str) -> bool {
        let found = *self.token() == Token::Sign(sign);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.token(), Token::Word(found) if found == word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, sign: &'static str) -> Result<(), Fault> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("{sign:?}")))
        }
    }

    pub(super) fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.token() {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => format!("{sign:?}"),
            Token::Word(word) => format!("{word:?}"),
            Token::Text(_) => "a text".to_owned(),
            Token::Int(_) | Token::Float(_) => "a number".to_owned(),
        };
        Fault::new(self.span(), format!("found {found}, expected {expected}"))
    }

    /// The word behind the next one.
    pub(super) fn second(&self) -> Option<&Token> {
        self.words.get(self.at + 1).map(|(token, _)| token)
    }
}
