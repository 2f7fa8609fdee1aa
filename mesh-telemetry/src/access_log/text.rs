//! A line as text. Whatever was sent, it is one line.

use std::fmt::Write;

use super::line::{Line, Value};

/// Enough for most lines.
const LENGTH: usize = 640;

/// A JSON object and a line feed.
pub(super) fn json(line: &Line<'_>) -> String {
    let mut out = String::with_capacity(LENGTH);
    for (place, (name, value)) in line.iter().enumerate() {
        out.push(if place == 0 { '{' } else { ',' });
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        match value {
            Value::None => out.push_str("null"),
            Value::Text(text) => quoted(&mut out, text),
            number => self::number(&mut out, number),
        }
    }
    out.push_str("}\n");
    out
}

/// `name=value` and a line feed. What is not known is left out; values with spaces, quotes or nothing in them are quoted.
pub(super) fn plain(line: &Line<'_>) -> String {
    let mut out = String::with_capacity(LENGTH);
    for (name, value) in line {
        if matches!(value, Value::None) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        // A line begins with its time, as people expect.
        if *name != "time" {
            out.push_str(name);
            out.push('=');
        }
        match value {
            Value::Text(text) if is_plain(text) => out.push_str(text),
            Value::Text(text) => quoted(&mut out, text),
            number => self::number(&mut out, number),
        }
    }
    out.push('\n');
    out
}

fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    !text.is_empty() && text.bytes().all(plain)
}

fn number(out: &mut String, value: &Value<'_>) {
    // Into a string, nothing fails.
    let _ = match value {
        Value::Number(number) => write!(out, "{number}"),
        Value::Millis(time) => write!(out, "{}.{:03}", time.as_millis(), time.subsec_micros() % 1000),
        Value::None | Value::Text(_) => Ok(()),
    };
}

/// A JSON string. What ends a line somewhere, or moves a terminal's cursor, is escaped.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Ends lines, or turns the text around that comes after it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn line(text: &str) -> Line<'_> {
        std::array::from_fn(|place| match place {
            0 => ("time", Value::Text("2026-11-30T00:00:00.000Z".into())),
            1 => ("path", Value::Text(text.into())),
            2 => ("status", Value::Number(200)),
            3 => ("duration_ms", Value::Millis(Duration::from_micros(12_034))),
            _ => ("nothing", Value::None),
        })
    }

    #[test]
    fn a_plain_line_leaves_out_what_is_not_known() {
        assert_eq!(
            plain(&line("/a b")),
            "2026-11-30T00:00:00.000Z path=\"/a b\" status=200 duration_ms=12.034\n"
        );
        assert!(plain(&line("/a")).contains(" path=/a "));
        assert!(plain(&line("")).contains(" path=\"\" "));
    }

    proptest! {
        #[test]
        fn whatever_was_sent_is_one_line_and_reads_the_same(text in any::<String>()) {
            let (json, plain) = (json(&line(&text)), plain(&line(&text)));
            for line in [&json, &plain] {
                let (line, after) = line.split_at(line.len() - 1);
                prop_assert_eq!(after, "\n");
                prop_assert!(!line.chars().any(|c| c.is_control() || is_invisible(c)), "{:?}", line);
            }
            let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(read["path"].as_str(), Some(text.as_str()));
            prop_assert_eq!(read["duration_ms"].as_f64(), Some(12.034));
        }
    }
}
