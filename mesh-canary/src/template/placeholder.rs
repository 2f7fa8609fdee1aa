//! Texts with placeholders: `{{.Service}}`, `{{.Version}}` and `{{args.x}}`.

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    Service,
    Version,
    Argument(String),
}

/// What is known of the values.
pub(super) type Values<'a> = &'a dyn Fn(&Hole) -> Option<String>;

/// What a value becomes part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A PromQL query.
    Query,
    /// A condition.
    Condition,
    /// A number, a duration, an address: read as a whole afterwards.
    Whole,
}

/// What is wrong within a text: the character, counted from 1, what was found and what was expected.
pub(super) type Wrong = (usize, String, &'static str);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Plain(String),
    Hole(Hole, usize),
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text(Vec<Part>);

impl Text {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find("{{") {
            let column = text[..text.len() - rest.len() + begin].chars().count() + 1;
            let Some(length) = rest[begin..].find("}}") else {
                return Err((column, "a placeholder without an end".to_owned(), "}}"));
            };
            let name = rest[begin + 2..begin + length].trim();
            let hole = match name {
                ".Service" => Hole::Service,
                ".Version" => Hole::Version,
                _ => match name.strip_prefix("args.").filter(|name| !name.is_empty()) {
                    Some(name) => Hole::Argument(name.to_owned()),
                    None => {
                        let expected = "{{.Service}}, {{.Version}} or {{args.NAME}}";
                        return Err((column, format!("{{{{{name}}}}}"), expected));
                    }
                },
            };
            parts.push(Part::Plain(rest[..begin].to_owned()));
            parts.push(Part::Hole(hole, column));
            rest = &rest[begin + length + 2..];
        }
        parts.push(Part::Plain(rest.to_owned()));
        Ok(Self(parts))
    }

    pub(super) fn holes(&self) -> impl Iterator<Item = (&Hole, usize)> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole, column) => Some((hole, *column)),
            Part::Plain(_) => None,
        })
    }

    /// The text with the values in it. Nothing where a value is not known.
    pub(super) fn fill(&self, place: Place, values: Option<Values<'_>>) -> Option<Result<String, Wrong>> {
        let mut filled = String::new();
        let mut quotes = Quotes::default();
        for part in &self.0 {
            match part {
                Part::Plain(text) => {
                    if place != Place::Whole {
                        text.chars().for_each(|c| quotes.read(c));
                    }
                    filled.push_str(text);
                }
                Part::Hole(hole, column) => {
                    let value = values?(hole)?;
                    match quotes.fit(&value, place) {
                        Ok(value) => filled.push_str(&value),
                        Err(expected) => return Some(Err((*column, format!("{value:?}"), expected))),
                    }
                }
            }
        }
        Some(Ok(filled))
    }
}

/// Where in a query or a condition one is.
#[derive(Default)]
struct Quotes {
    /// The quote that began the text one is in.
    open: Option<char>,
    /// The next character is escaped.
    escaped: bool,
    /// The text one is in is a pattern.
    pattern: bool,
    /// The last two characters outside of texts that are no space.
    before: (char, char),
}

impl Quotes {
    fn read(&mut self, c: char) {
        match self.open {
            Some(_) if self.escaped => self.escaped = false,
            Some(quote) if c == quote => self.open = None,
            Some(quote) => self.escaped = c == '\\' && quote != '`',
            None if matches!(c, '"' | '\'' | '`') => {
                self.open = Some(c);
                self.pattern = matches!(self.before, ('=' | '!', '~'));
            }
            None if !c.is_whitespace() => self.before = (self.before.1, c),
            None => {}
        }
    }

    /// A value as it may stand here.
    fn fit(&self, value: &str, place: Place) -> Result<String, &'static str> {
        if place == Place::Whole {
            return Ok(value.to_owned());
        }
        if self.escaped {
            return Err("no placeholder behind a backslash");
        }
        let value = if self.pattern && self.open.is_some() && place == Place::Query {
            regex::escape(value)
        } else {
            value.to_owned()
        };
        match (self.open, place) {
            (Some('`'), _) if value.contains('`') => {
                Err("a value without a backtick, as it stands between two")
            }
            (Some('`'), _) => Ok(value),
            (Some(quote), _) => Ok(escaped(&value, quote)),
            (None, Place::Condition) if value.parse::<f64>().is_ok() => Ok(value),
            (None, Place::Condition) => Err("a number: other values of a condition stand between quotes"),
            (None, _) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
                if !value.is_empty() && value.chars().all(plain) {
                    Ok(value)
                } else {
                    Err("a number, a name or a duration: other values of a query stand between quotes")
                }
            }
        }
    }
}

fn escaped(value: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ => {
                if c == '\\' || c == quote {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}
