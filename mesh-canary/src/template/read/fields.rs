//! Objects, lists and texts of a document, and what is wrong with them.

use serde_json::{Map, Value as Json};

use crate::template::problem::Problem;

/// The fields of an object, and which of them were asked for.
pub(super) struct Fields<'a> {
    pub(super) path: String,
    pub(super) map: Option<&'a Map<String, Json>>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// A field that is there; `null` is not.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Json> {
        self.known.push(key);
        self.map?.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// Goes through a document and notes what is wrong.
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn object<'a>(&mut self, path: String, value: Option<&'a Json>) -> Fields<'a> {
        let map = value.and_then(Json::as_object);
        if map.is_none() {
            let found = value.map_or("nothing", kind);
            let place = if path.is_empty() {
                "the document".to_owned()
            } else {
                path.clone()
            };
            self.wrong(place, found.to_owned(), "an object");
        }
        Fields {
            path,
            map,
            known: Vec::new(),
        }
    }

    /// The elements of a list that may be missing, each with its path.
    pub(super) fn list<'a>(&mut self, fields: &mut Fields<'a>, key: &'static str) -> Vec<(String, &'a Json)> {
        let path = fields.path(key);
        match fields.get(key) {
            None => Vec::new(),
            Some(Json::Array(values)) => {
                let numbered = values.iter().enumerate();
                numbered
                    .map(|(n, value)| (format!("{path}[{n}]"), value))
                    .collect()
            }
            Some(other) => {
                self.wrong(path, kind(other).to_owned(), "a list");
                Vec::new()
            }
        }
    }

    /// A text that must be there.
    pub(super) fn text<'a>(&mut self, fields: &mut Fields<'a>, key: &'static str) -> Option<&'a str> {
        let value = fields.get(key);
        let text = value
            .and_then(Json::as_str)
            .filter(|text| !text.trim().is_empty());
        // An object that is missing as a whole was told of already.
        if text.is_none() && fields.map.is_some() {
            self.wrong(
                fields.path(key),
                value.map_or("nothing", kind).to_owned(),
                "a text",
            );
        }
        text
    }

    pub(super) fn expect_word(&mut self, path: &str, found: Option<&str>, words: &[&str]) {
        if let Some(found) = found.filter(|found| !words.contains(found)) {
            self.problems.push(Problem::new(path, found, words.join(" or ")));
        }
    }

    pub(super) fn refuse(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        found: &str,
        expected: &'static str,
    ) {
        if fields.get(key).is_some() {
            self.wrong(fields.path(key), found.to_owned(), expected);
        }
    }

    /// No other key may stand in an object.
    pub(super) fn end(&mut self, fields: &Fields<'_>) {
        for key in fields.map.into_iter().flat_map(Map::keys) {
            if !fields.known.contains(&key.as_str()) {
                let expected = format!("one of {}", fields.known.join(", "));
                self.problems.push(Problem::new(
                    fields.path(key),
                    "a key that is not known",
                    expected,
                ));
            }
        }
    }

    pub(super) fn wrong(&mut self, path: String, found: String, expected: &'static str) {
        self.problems.push(Problem::new(path, found, expected));
    }
}

pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(text) if text.trim().is_empty() => "an empty text",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
