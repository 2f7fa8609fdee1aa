//! Where in a text a part of it stands.

use std::fmt;

/// A line and a column, both from 1. Columns count bytes, as in the messages of serde_json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    line: usize,
    column: usize,
}

impl Position {
    /// Where `part`, a slice of `whole`, begins.
    pub(super) fn of(part: &str, whole: &str) -> Self {
        let offset = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        let before = whole.as_bytes().get(..offset).unwrap_or_default();
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        Self {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        }
    }

    /// Where serde_json found this error, reading what begins here.
    pub(super) fn at(self, error: &serde_json::Error) -> Self {
        match error.line() {
            0 => self,
            1 => Self {
                line: self.line,
                column: self.column + error.column().saturating_sub(1),
            },
            line => Self {
                line: self.line + line - 1,
                column: error.column().max(1),
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_in_its_line_and_column() {
        let whole = "ab\ncde\n\nf";
        for (part, line, column) in [
            (0..1, 1, 1),
            (1..2, 1, 2),
            (4..6, 2, 2),
            (8..9, 4, 1),
            (9..9, 4, 2),
        ] {
            assert_eq!(Position::of(&whole[part], whole), Position { line, column });
        }
    }

    #[test]
    fn an_error_within_a_part_is_placed_in_the_whole() {
        let whole = "{\n \"a\": [1,\nx]}";
        let part = &whole[8..];
        let error = serde_json::from_str::<Vec<u8>>(part).expect_err("not a number");
        assert_eq!((error.line(), error.column()), (2, 1));
        assert_eq!(
            Position::of(part, whole).at(&error),
            Position { line: 3, column: 1 }
        );
        let error = serde_json::from_str::<u8>("true").expect_err("not a number");
        let at = Position { line: 7, column: 10 }.at(&error);
        assert_eq!(at, Position { line: 7, column: 13 });
    }
}
