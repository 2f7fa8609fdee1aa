//! A span that is over.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::trace::{SpanContext, SpanId};

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// A request that was served.
    Server,
    /// A request that was sent.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A text that others have too.
    Shared(Arc<str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Number(_) => None,
        }
    }
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Its ids.
    pub context: SpanContext,
    /// The span it is a part of.
    pub parent: Option<SpanId>,
    /// What it is of.
    pub kind: SpanKind,
    /// What happened, in a few words that many spans share.
    pub name: Cow<'static, str>,
    /// The service it belongs to.
    pub service: Arc<str>,
    /// Since when.
    pub start: SystemTime,
    /// Until when.
    pub end: SystemTime,
    /// Whether it failed, by the conventions of OpenTelemetry: what served with 5xx, what was asked for with 4xx or 5xx.
    pub failed: bool,
    /// What is known of it, by the names of OpenTelemetry's conventions.
    pub attributes: Vec<(&'static str, Value)>,
}

impl Span {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }
}
