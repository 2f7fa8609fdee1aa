//! What a scalar is, by YAML 1.2's core schema: `off`, `on`, `yes` and `no` are plain words.

use super::{Node, Scalar, Value};

impl Scalar {
    pub(in super::super) fn is_null(&self) -> bool {
        self.plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    pub(in super::super) fn boolean(&self) -> Option<bool> {
        match &*self.text {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// A whole number: decimal, `0o17` or `0xff`.
    pub(in super::super) fn integer(&self) -> Option<i128> {
        if !self.plain {
            return None;
        }
        let digits = |text: &str, radix| {
            // from_str_radix takes a sign, which is none of these notations'.
            let valid = text.chars().all(|c| c.is_digit(radix));
            valid.then(|| i128::from_str_radix(text, radix).ok()).flatten()
        };
        if let Some(octal) = self.text.strip_prefix("0o") {
            return digits(octal, 8);
        }
        if let Some(hex) = self.text.strip_prefix("0x") {
            return digits(hex, 16);
        }
        match self.text.strip_prefix('-') {
            Some(rest) => digits(rest, 10).map(|number| -number),
            None => digits(self.text.strip_prefix('+').unwrap_or(&self.text), 10),
        }
    }

    /// A number, whole or not; never infinite.
    pub(in super::super) fn number(&self) -> Option<f64> {
        if let Some(integer) = self.integer() {
            return Some(integer as f64);
        }
        let unsigned = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let begins = unsigned.strip_prefix('.').unwrap_or(unsigned);
        let looks_like_one = self.plain && begins.starts_with(|c: char| c.is_ascii_digit());
        looks_like_one
            .then(|| self.text.parse::<f64>().ok())
            .flatten()
            .filter(|number| number.is_finite())
    }

    /// Whether it is a text and nothing else.
    pub(in super::super) fn is_text(&self) -> bool {
        !(self.is_null() || self.boolean().is_some() || self.looks_like_number())
    }

    /// Also of a number that is too large to be one.
    fn looks_like_number(&self) -> bool {
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        self.plain && (all_digits || self.number().is_some())
    }
}

impl Node {
    /// Whether there is no value: `key:` with nothing behind it, `~`, `null`.
    pub(in super::super) fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The scalar, unless it is a list, a mapping, or nothing.
    pub(in super::super) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => None,
        }
    }

    /// The scalar if it is a text.
    pub(in super::super) fn text(&self) -> Option<&str> {
        self.scalar()
            .filter(|scalar| scalar.is_text())
            .map(|scalar| &*scalar.text)
    }

    /// What it is, for messages.
    pub(in super::super) fn described(&self) -> String {
        match &self.value {
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(entries) if entries.is_empty() => "an empty mapping".to_owned(),
            Value::Map(entries) => {
                let shown: Vec<&str> = entries.iter().take(3).map(|entry| &*entry.key).collect();
                let more = if entries.len() > shown.len() { ", …" } else { "" };
                format!("a mapping ({}{more})", quoted(&shown.join(", ")))
            }
            Value::Scalar(_) if self.is_nothing() => "nothing".to_owned(),
            Value::Scalar(scalar) if scalar.is_text() => format!("the text {:?}", quoted(&scalar.text)),
            Value::Scalar(scalar) if scalar.boolean().is_some() => scalar.text.to_string(),
            Value::Scalar(scalar) => format!("the number {}", quoted(&scalar.text)),
        }
    }
}

/// As much of a text as a message shows.
pub(in super::super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
