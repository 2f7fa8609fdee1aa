//! Texts.

use std::path::PathBuf;

use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::schema::Schema;
use crate::config::yaml::Node;

/// A text that is not empty.
pub(in super::super) fn text(what: &'static str) -> Text {
    Text { what, any: false }
}

/// A text that is taken as it was written, also if it looks like a number or a truth: versions, values of headers.
pub(in super::super) fn written(what: &'static str) -> Text {
    Text { what, any: true }
}

/// See [`text`] and [`written`].
pub(in super::super) struct Text {
    what: &'static str,
    any: bool,
}

impl Shape for Text {
    type Value = Box<str>;

    fn read(&self, node: &Node, context: &mut Context) -> Option<Box<str>> {
        let found = match self.any {
            true => node.scalar().map(|scalar| &*scalar.text),
            false => text_of(node, self.what, context).filter(|text| !text.is_empty()),
        };
        match found {
            Some(text) => Some(text.into()),
            None => {
                // A scalar of another kind has been refused already.
                if self.any || node.text().is_some() || node.scalar().is_none() {
                    context.refuse(node.place, node.described(), Wrong::expected(self.what));
                }
                None
            }
        }
    }

    fn schema(&self) -> Schema {
        Schema::Text {
            what: self.what,
            any: self.any,
        }
    }
}

impl Shown for Text {
    fn shown(&self, value: &Box<str>) -> serde_json::Value {
        value.to_string().into()
    }
}

/// The text of a node. A number or truth is refused here, and has to be put in quotes.
pub(super) fn text_of<'n>(node: &'n Node, what: &str, context: &mut Context) -> Option<&'n str> {
    let scalar = node.scalar()?;
    if scalar.is_text() {
        return Some(&scalar.text);
    }
    let wrong = Wrong::expected(what).hint(format!("put it in quotes: \"{}\"", scalar.text));
    context.refuse(node.place, node.described(), wrong);
    None
}

/// The path of a file or directory.
pub(in super::super) fn path(what: &'static str) -> FilePath {
    FilePath(text(what))
}

/// See [`path`].
pub(in super::super) struct FilePath(Text);

impl Shape for FilePath {
    type Value = PathBuf;

    fn read(&self, node: &Node, context: &mut Context) -> Option<PathBuf> {
        self.0.read(node, context).map(|text| PathBuf::from(&*text))
    }

    fn schema(&self) -> Schema {
        self.0.schema()
    }
}

impl Shown for FilePath {
    fn shown(&self, value: &PathBuf) -> serde_json::Value {
        value.to_string_lossy().into_owned().into()
    }
}
