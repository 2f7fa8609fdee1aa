//! The tables of the documentation.

use std::fmt::Write;

use serde_json::Value;

use super::{Field, Schema, below, notes};
use crate::config::honoured;

/// The reference part of `docs/configuration.md`: every key with type, default, whether this version honours it, and
/// what it does. One table for each mapping.
pub fn reference() -> String {
    let mut text = String::new();
    tables(&crate::config::describe(), "", &mut text);
    text
}

/// Every key's path, as `serviceMesh.services[].port`.
pub fn paths() -> Vec<String> {
    fn collect(schema: &Schema, path: &str, paths: &mut Vec<String>) {
        for_each_field(schema, path, &mut |path, field| {
            paths.push(path.to_owned());
            collect(&field.schema, path, paths);
        });
    }
    let mut paths = Vec::new();
    collect(&crate::config::describe(), "", &mut paths);
    paths
}

/// Keys without a description, and descriptions of no key. Both are empty unless something was forgotten.
pub fn undescribed() -> (Vec<String>, Vec<String>) {
    let paths = paths();
    let without = paths
        .iter()
        .filter(|path| notes::of(path).is_none())
        .cloned()
        .collect();
    let used: Vec<&str> = paths.iter().filter_map(|path| notes::of(path)).collect();
    let unused = notes::NOTES.iter().filter(|(_, note)| !used.contains(note));
    (without, unused.map(|(key, _)| (*key).to_owned()).collect())
}

/// The keys of the mappings that a shape is, or holds.
fn for_each_field(schema: &Schema, path: &str, visit: &mut dyn FnMut(&str, &Field)) {
    match schema {
        Schema::Object(fields) => {
            for field in fields {
                visit(&below(path, field.key), field);
            }
        }
        Schema::List { item, .. } => for_each_field(item, &format!("{path}[]"), visit),
        Schema::Map(of) => for_each_field(of, &format!("{path}.*"), visit),
        Schema::OneOf(shapes) => shapes.iter().for_each(|shape| for_each_field(shape, path, visit)),
        Schema::Boolean
        | Schema::Word(_)
        | Schema::Integer { .. }
        | Schema::Number { .. }
        | Schema::Duration { .. }
        | Schema::Size { .. }
        | Schema::Text { .. } => {}
    }
}

fn tables(schema: &Schema, path: &str, text: &mut String) {
    let mut rows = String::new();
    let mut inner = Vec::new();
    for_each_field(schema, path, &mut |path, field| {
        row(path, field, &mut rows);
        inner.push((path.to_owned(), field.schema.clone()));
    });
    if rows.is_empty() {
        return;
    }
    let title = match path {
        "" => "The file".to_owned(),
        path => format!("`{path}`"),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "### {title}\n\n| key | type | default | honoured | what it does |\n|---|---|---|---|---|\n{rows}\n"
    );
    for (path, schema) in inner {
        tables(&schema, &path, text);
    }
}

fn row(path: &str, field: &Field, rows: &mut String) {
    let kind = match &field.schema {
        Schema::Object(_) => "mapping".to_owned(),
        schema => schema.to_string(),
    };
    let default = match (&field.default, field.required) {
        (_, true) => "required".to_owned(),
        (Some(Value::String(text)), false) => format!("`{text}`"),
        (Some(default), false) => format!("`{default}`"),
        (None, false) => String::new(),
    };
    let note = notes::of(path).unwrap_or_default();
    let honoured = honoured::summary(path);
    let cells = [
        format!("`{path}`"),
        kind,
        default,
        honoured.to_owned(),
        note.to_owned(),
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(rows, "| {} |", cells.join(" | "));
}
