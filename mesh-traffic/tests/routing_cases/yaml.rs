//! YAML as values that serde takes.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

/// The one document of a text.
pub(crate) fn yaml(text: &str) -> Value {
    let mut open: Vec<(Vec<Value>, bool)> = vec![(Vec::new(), false)];
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, _) = event.unwrap_or_else(|error| panic!("{error}"));
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => {
                open.push((Vec::new(), false));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Vec::new(), true));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop().expect("it was begun") {
                (items, false) => Value::Array(items),
                (items, true) => items
                    .chunks(2)
                    .map(|pair| (text_of(&pair[0]), pair[1].clone()))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
            },
            _ => continue,
        };
        open.last_mut().expect("the document").0.push(value);
    }
    let mut documents = open.pop().expect("the document").0;
    assert_eq!((open.len(), documents.len()), (0, 1), "one document");
    documents.remove(0)
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        "true" if plain => true.into(),
        "false" if plain => false.into(),
        "null" | "~" | "" if plain => Value::Null,
        text => match text.parse::<i64>() {
            Ok(number) if plain => number.into(),
            _ => text.into(),
        },
    }
}

fn text_of(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}
