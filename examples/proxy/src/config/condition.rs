//! `rules[].conditions`: what a rule asks of a request.

use mesh_traffic::Condition;
use mesh_traffic::router::{ConditionError, ConditionPart, Operator, Subject};

use super::context::Wrong;
use super::shape::{Fields, Shape, either_list, list, text, then, word, written};

const KINDS: &[(&str, &str)] = &[
    ("header", "header"),
    ("path", "path"),
    ("method", "method"),
    ("cookie", "cookie"),
    ("query", "query"),
    ("host", "host"),
    ("source_service", "source_service"),
];

const OPERATORS: &[(&str, Operator)] = &[
    (Operator::Equals.as_str(), Operator::Equals),
    (Operator::NotEquals.as_str(), Operator::NotEquals),
    (Operator::Prefix.as_str(), Operator::Prefix),
    (Operator::Suffix.as_str(), Operator::Suffix),
    (Operator::Contains.as_str(), Operator::Contains),
    (Operator::Regex.as_str(), Operator::Regex),
    (Operator::Exists.as_str(), Operator::Exists),
    (Operator::NotExists.as_str(), Operator::NotExists),
    (Operator::In.as_str(), Operator::In),
];

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Condition> {
    let kind = fields.required("type", word(KINDS));
    let field = fields.optional("field", text("the name of a header, cookie or parameter"));
    let operator = fields.required("operator", word(OPERATORS));
    let values = fields.optional("value", values());
    let (kind, operator) = (kind?, operator?);
    if fields.has("value") && values.is_none() {
        return None;
    }
    if matches!(operator, Operator::Exists | Operator::NotExists) {
        if fields.has("value") {
            let wrong = Wrong::expected(format!("no value with the operator {operator}"));
            fields.refuse("value", "a value", wrong);
            return None;
        }
    } else if !fields.has("value") {
        fields.missing(
            "value",
            Wrong::expected(format!("a value to compare with by {operator}")),
        );
        return None;
    }
    let subject = Subject::parse(kind, field.as_deref());
    let subject = match subject {
        Ok(subject) => subject,
        Err(error) => {
            refuse(fields, &error);
            return None;
        }
    };
    match Condition::new(subject, operator, values.unwrap_or_default()) {
        Ok(condition) => Some(condition),
        Err(error) => {
            refuse(fields, &error);
            None
        }
    }
}

/// One value, or a list of them. A number or a truth is the text that was written.
fn values() -> impl Shape<Value = Vec<Box<str>>> {
    let one = then(written("a text"), |value, _| vec![value]);
    either_list(one, list(written("a text")).not_empty())
}

fn refuse(fields: &mut Fields<'_>, error: &ConditionError) {
    let (key, expected) = match error.part() {
        ConditionPart::Type => ("type", "a type that goes with the operator"),
        ConditionPart::Field => (
            "field",
            "the name of a header, cookie or parameter, with these types only",
        ),
        ConditionPart::Operator => ("operator", "an operator that goes with the type"),
        _ => ("value", "a value that goes with type and operator"),
    };
    let message = one_line(&error.to_string());
    let (why, expected) = message.rsplit_once("; expected ").unwrap_or((&message, expected));
    let Some(node) = fields.node(key) else {
        fields.missing(key, Wrong::expected(expected).because(why));
        return;
    };
    let value = node.scalar().map(|scalar| format!("{:?} is ", scalar.text));
    let why = match value.and_then(|value| why.strip_prefix(&value)) {
        Some(rest) => format!("it is {rest}"),
        None => why.to_owned(),
    };
    fields.refuse(key, node.described(), Wrong::expected(expected).because(why));
}

/// The reason of a bad regular expression is drawn over several lines, of which the last says it in words.
fn one_line(message: &str) -> String {
    match (
        message.split_once("regex parse error"),
        message.rsplit_once("error: "),
    ) {
        (Some((before, _)), Some((_, reason))) => format!("{before}{}", reason.trim()),
        _ => message.replace('\n', " "),
    }
}
