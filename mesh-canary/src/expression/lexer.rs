//! An expression as words.

use super::error::{Fault, Span};

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    Text(String),
    /// A name, a keyword, or a `#name`.
    Word(String),
    Sign(&'static str),
    End,
}

/// Signs, the longer before those they begin with.
const SIGNS: [&str; 34] = [
    "?.", "??", "||", "&&", "==", "!=", "<=", ">=", "..", "**", "<", ">", "+", "-", "*", "/", "%", "^", "!",
    "?", ":", ".", ",", ";", "(", ")", "[", "]", "{", "}", "|", "=", "&", "\\",
];

/// Splits a text into words and where they stand; the last is its end.
pub(super) fn split(text: &str) -> Result<Vec<(Token, Span)>, Fault> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first.is_ascii_digit() || is_fraction(rest) {
            number(rest, at)?
        } else if first == '"' || first == '\'' {
            quoted(rest, first, at)?
        } else if first == '_' || first == '#' || first.is_ascii_alphabetic() {
            let more = rest.char_indices().skip(1);
            let end = more
                .clone()
                .find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_'));
            let length = end.map_or(rest.len(), |(at, _)| at);
            (Token::Word(rest[..length].to_owned()), length)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            let span = Span::new(at, at + first.len_utf8());
            return Err(Fault::new(span, format!("{first:?} means nothing here")));
        };
        words.push((token, Span::new(at, at + length)));
        at += length;
    }
    words.push((Token::End, Span::new(text.len(), text.len())));
    Ok(words)
}

fn is_fraction(rest: &str) -> bool {
    rest.strip_prefix('.')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `1`, `1_000`, `0x3E8`, `1.5`, `.5`, `1e3`.
fn number(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let wrong = |length| {
        Fault::new(
            Span::new(at, at + length),
            "this is no number, or too large for one",
        )
    };
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = rest.strip_prefix(prefix) {
            let length = digits
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(digits.len());
            let number = i64::from_str_radix(&digits[..length].replace('_', ""), radix);
            return Ok((Token::Int(number.map_err(|_| wrong(2 + length))?), 2 + length));
        }
    }
    let digits = |from: usize| {
        let part = &rest[from..];
        from + part
            .find(|c: char| !(c.is_ascii_digit() || c == '_'))
            .unwrap_or(part.len())
    };
    let mut end = digits(0);
    let mut whole = true;
    // Two points are a range: `1..5`.
    if rest[end..].starts_with('.') && !rest[end..].starts_with("..") {
        whole = false;
        end = digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            whole = false;
            end = exponent;
        }
    }
    if rest[end..].starts_with(|c: char| c.is_alphanumeric()) {
        return Err(wrong(end + 1));
    }
    let text = rest[..end].replace('_', "");
    let token = if whole {
        text.parse().map(Token::Int).map_err(|_| wrong(end))?
    } else {
        text.parse().map(Token::Float).map_err(|_| wrong(end))?
    };
    Ok((token, end))
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), Fault> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((here, c)) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next().map(|(_, c)| c);
                text.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(c @ ('\\' | '\'' | '"')) => c,
                    _ => {
                        let span = Span::new(at + here, at + here + 1);
                        return Err(Fault::new(span, "expected one of \\n \\t \\r \\\\ \\' \\\""));
                    }
                });
            }
            _ if c == quote => return Ok((Token::Text(text), here + 1)),
            _ => text.push(c),
        }
    }
    Err(Fault::new(
        Span::new(at, at + rest.len()),
        format!("the text has no end: expected another {quote}"),
    ))
}
