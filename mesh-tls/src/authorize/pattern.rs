//! Patterns: segments, of which `*` stands for any one, and `**` at the end for all that follow.

use std::fmt;
use std::str::FromStr;

use mesh_core::SpiffeId;
use mesh_core::edge::{EdgePolicy, canonical_path};

use super::reading::{Reading, Segments};

/// The most segments of a pattern.
const MOST_SEGMENTS: usize = 64;

/// A SPIFFE ID in which `*` stands for one whole segment of the path, and `/**` at the end for any number of them, none
/// included. The trust domain is written out: there is no pattern of several.
///
/// ```
/// use mesh_tls::authorize::IdentityPattern;
///
/// let shop: IdentityPattern = "spiffe://cluster.local/ns/shop/**".parse()?;
/// assert!(shop.matches(&"spiffe://cluster.local/ns/shop/sa/frontend".parse()?));
/// assert!(!shop.matches(&"spiffe://cluster.local/ns/shopping/sa/frontend".parse()?));
/// assert!("spiffe://cluster.local/ns/shop*".parse::<IdentityPattern>().is_err(), "by whole segments only");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdentityPattern {
    text: Box<str>,
    pattern: Pattern,
}

/// A path in which `*` stands for one whole segment that is not empty, and `/**` at the end for any number of them, none
/// included. It is written in the canonical form of [`mesh_core::edge`], which is what requests are compared in.
///
/// ```
/// use mesh_tls::authorize::PathPattern;
///
/// let items: PathPattern = "/orders/*/items/**".parse()?;
/// assert!(items.matches("/orders/7/items") && items.matches("/orders/7/items/1/price"));
/// assert!(!items.matches("/orders/7/8/items"));
///
/// let error = "/orders/../admin".parse::<PathPattern>().expect_err("no request has such a path");
/// assert!(error.to_string().contains("write \"/admin\""), "{error}");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    pattern: Pattern,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    found: String,
    why: String,
    expected: &'static str,
}

/// What patterns are compiled into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    pub(super) parts: Box<[Part]>,
    /// Whether anything may follow.
    pub(super) open: bool,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// `*`.
    Any,
    Literal(Box<[u8]>),
}

impl Pattern {
    /// Of segments that are valid each by itself.
    fn of(segments: &str, open: bool, reading: Reading) -> Self {
        let part = |segment: &[u8]| match segment {
            b"*" => Part::Any,
            literal => Part::Literal(reading.within(literal).into()),
        };
        let parts = reading.literal(segments).into_iter().map(part).collect();
        Self { parts, open }
    }

    pub(super) fn matches(&self, mut segments: Segments<'_>) -> bool {
        for part in &self.parts {
            let Some((segment, rest)) = segments.split() else {
                return false;
            };
            let fits = match part {
                Part::Any => !segment.is_empty(),
                Part::Literal(literal) => **literal == *segment,
            };
            if !fits {
                return false;
            }
            segments = rest;
        }
        self.open || segments.is_over()
    }

    /// Whether it asks for something that can be looked up.
    pub(super) fn has_literal(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Literal(_)))
    }
}

impl IdentityPattern {
    const EXPECTED: &'static str = "a SPIFFE ID, in which \"*\" may stand for one segment of the path, and \"/**\" at the end for the rest";

    /// Whether it means this identity.
    pub fn matches(&self, identity: &SpiffeId) -> bool {
        self.pattern.matches(Segments::of_identity(identity))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl PathPattern {
    const EXPECTED: &'static str =
        "a path, in which \"*\" may stand for one segment, and \"/**\" at the end for the rest";

    /// Whether it means this path, taken by the letter, as an allow rule does.
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with('/') && self.pattern.matches(Segments::of_path(path.as_bytes()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As rules of this reading compare it.
    pub(super) fn pattern(&self, reading: Reading) -> Pattern {
        match reading {
            Reading::ByTheLetter => self.pattern.clone(),
            Reading::Careless => {
                let (fixed, open) = open_end(&self.text);
                Pattern::of(fixed, open, reading)
            }
        }
    }
}

/// Takes the `/**` off.
fn open_end(text: &str) -> (&str, bool) {
    match text.strip_suffix("/**") {
        Some(fixed) => (fixed, true),
        None => (text, false),
    }
}

/// Whether every star stands alone.
fn stars_are_whole(fixed: &str) -> Result<(), String> {
    let broken = |segment: &str| segment.contains('*') && segment != "*";
    match fixed.split('/').find(|segment| broken(segment)) {
        Some("**") => Err("\"**\" stands for the rest, and only at the end".into()),
        Some(_) => Err("\"*\" stands for a whole segment, not for a part of one".into()),
        None if fixed.split('/').count() > MOST_SEGMENTS => {
            Err(format!("it has more than {MOST_SEGMENTS} segments"))
        }
        None => Ok(()),
    }
}

fn error(text: &str, why: impl Into<String>, expected: &'static str) -> PatternError {
    const SHOWN: usize = 100;
    let mut found: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        found.push('…');
    }
    let why = why.into();
    PatternError { found, why, expected }
}

impl FromStr for IdentityPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = |why: String| error(text, why, Self::EXPECTED);
        let (fixed, open) = open_end(text);
        if fixed.starts_with("spiffe://*") {
            return Err(refuse("the trust domain has to be written out".into()));
        }
        stars_are_whole(fixed).map_err(refuse)?;
        // Read as an ID in which something stands where the pattern has a star.
        let sample: Vec<&str> = fixed
            .split('/')
            .map(|segment| if segment == "*" { "x" } else { segment })
            .collect();
        if let Err(error) = sample.join("/").parse::<SpiffeId>() {
            return Err(refuse(error.reason().into()));
        }
        let segments = fixed.strip_prefix("spiffe:/").unwrap_or(fixed);
        Ok(Self {
            text: text.into(),
            pattern: Pattern::of(segments, open, Reading::ByTheLetter),
        })
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = |why: String| error(text, why, Self::EXPECTED);
        let (fixed, open) = open_end(text);
        if text.is_empty() || !text.starts_with('/') {
            return Err(refuse("it does not begin with '/'".into()));
        }
        stars_are_whole(fixed).map_err(refuse)?;
        match canonical_path(text, &EdgePolicy::default()) {
            Ok(None) => Ok(Self {
                text: text.into(),
                pattern: Pattern::of(fixed, open, Reading::ByTheLetter),
            }),
            Ok(Some(canonical)) => Err(refuse(format!(
                "requests are compared in their canonical form, which this is not; write {canonical:?}"
            ))),
            Err(error) => Err(refuse(error.message().into())),
        }
    }
}

impl TryFrom<&str> for IdentityPattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl TryFrom<&str> for PathPattern {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl PatternError {
    /// What is wrong, without what was found and what was expected.
    pub fn reason(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, why, expected } = self;
        write!(f, "{found:?} is not a pattern: {why}; expected {expected}")
    }
}

impl std::error::Error for PatternError {}

/// So that a value that is valid already can stand where a text can.
impl From<std::convert::Infallible> for PatternError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests;
