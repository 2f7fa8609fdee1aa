//! The JSON Schema (draft 2020-12), for editors and other tools.

use serde_json::{Map, Value, json};

use super::{Field, Schema, notes};

/// The JSON Schema of a configuration file: what editors complete and check while it is written.
///
/// It knows types, ranges and words. What depends on several keys, as weights that add up to 100, only
/// [`parse`](crate::config::parse) checks.
pub fn json_schema() -> Value {
    let mut schema = value(&crate::config::describe(), "");
    if let Value::Object(root) = &mut schema {
        let mut whole = Map::new();
        whole.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        whole.insert("title".into(), "Configuration of mesh-proxy".into());
        whole.append(root);
        return Value::Object(whole);
    }
    schema
}

fn value(schema: &Schema, path: &str) -> Value {
    match schema {
        Schema::Boolean => json!({ "type": "boolean" }),
        Schema::Word(words) => json!({ "enum": words }),
        Schema::Integer { least, most } => {
            let number = |number: i128| i64::try_from(number).unwrap_or(i64::MAX);
            json!({ "type": "integer", "minimum": number(*least), "maximum": number(*most) })
        }
        Schema::Number { most } => json!({ "type": "number", "minimum": 0, "maximum": whole(*most) }),
        Schema::Duration { bare, least, .. } => {
            let text = json!({ "type": "string", "pattern": r"^(0|([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us))+)$" });
            match bare {
                Some(_) if least.is_zero() => json!({ "anyOf": [text, { "type": "number", "minimum": 0 }] }),
                Some(_) => json!({ "anyOf": [text, { "type": "number", "exclusiveMinimum": 0 }] }),
                None if least.is_zero() => json!({ "anyOf": [text, { "const": 0 }] }),
                None => text,
            }
        }
        Schema::Size { least, .. } => json!({ "anyOf": [
            { "type": "integer", "minimum": least },
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(|B|[kKMGT]B|[KMGT]iB)$" },
        ] }),
        Schema::Text { any: false, .. } => json!({ "type": "string", "minLength": 1 }),
        Schema::Text { any: true, .. } => json!({ "type": ["string", "number", "boolean"] }),
        Schema::List { item, fewest } => {
            let items = value(item, &format!("{path}[]"));
            match fewest {
                0 => json!({ "type": "array", "items": items }),
                _ => json!({ "type": "array", "items": items, "minItems": fewest }),
            }
        }
        Schema::Map(of) => {
            json!({ "type": "object", "additionalProperties": value(of, &format!("{path}.*")) })
        }
        Schema::OneOf(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(|shape| value(shape, path)).collect();
            json!({ "anyOf": shapes })
        }
        Schema::Object(fields) => object(fields, path),
    }
}

fn object(fields: &[Field], path: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let path = super::below(path, field.key);
        let mut property = value(&field.schema, &path);
        if let Value::Object(property) = &mut property {
            if let Some(note) = notes::of(&path) {
                property.insert("description".into(), note.into());
            }
            if let Some(default) = &field.default {
                property.insert("default".into(), default.clone());
            }
        }
        properties.insert(field.key.into(), property);
        if field.required {
            required.push(field.key);
        }
    }
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.insert("properties".into(), properties.into());
    Value::Object(object)
}

fn whole(number: f64) -> Value {
    if number.fract() == 0.0 {
        json!(number as i64)
    } else {
        json!(number)
    }
}
