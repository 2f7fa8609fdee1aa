//! How a path is read, and how anything is taken apart into segments.

use std::borrow::Cow;

use mesh_core::SpiffeId;
use mesh_core::edge::{EdgePolicy, canonical_path};

/// How exact a comparison of paths is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it is written. What allows must not allow more than was meant.
    ByTheLetter,
    /// As careless applications take it: escapes decoded, ASCII letters in lower case, no slash at the end. What denies
    /// must not be walked around.
    Careless,
}

impl Reading {
    /// A canonical path, in this reading.
    pub(super) fn of(self, path: &str) -> Cow<'_, [u8]> {
        match self {
            Self::ByTheLetter => Cow::Borrowed(path.as_bytes()),
            Self::Careless => {
                let bare = path.strip_suffix('/').unwrap_or(path).as_bytes();
                self.within(bare)
            }
        }
    }

    /// The segments of a pattern without an open end, still with its stars.
    pub(super) fn literal(self, fixed: &str) -> Vec<&[u8]> {
        let bare = match self {
            Self::ByTheLetter => fixed,
            Self::Careless => fixed.strip_suffix('/').unwrap_or(fixed),
        };
        let mut segments = Segments::of_path(bare.as_bytes());
        let mut all = Vec::new();
        while let Some((segment, rest)) = segments.split() {
            all.push(segment);
            segments = rest;
        }
        all
    }

    /// A part of a path, in this reading.
    pub(super) fn within(self, part: &[u8]) -> Cow<'_, [u8]> {
        let is_plain = |byte: &u8| *byte != b'%' && !byte.is_ascii_uppercase();
        if self == Self::ByTheLetter || part.iter().all(is_plain) {
            return Cow::Borrowed(part);
        }
        let mut out = Vec::with_capacity(part.len());
        let mut rest = part;
        while let [byte, tail @ ..] = rest {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let decoded = match (byte, tail) {
                (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
                _ => None,
            };
            match decoded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
                Some(byte) => {
                    out.push(byte.to_ascii_lowercase());
                    rest = &tail[2..];
                }
                None => {
                    out.push(byte.to_ascii_lowercase());
                    rest = tail;
                }
            }
        }
        Cow::Owned(out)
    }
}

/// Whether it has the one form in which paths are compared. Whatever the edge was told to keep: a `;` or an encoded slash
/// is read as one path by some applications and as another by others.
pub(super) fn is_canonical(path: &str) -> bool {
    matches!(canonical_path(path, &EdgePolicy::default()), Ok(None))
}

/// What is left of a path or an identity, segment by segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments<'t>(Option<&'t [u8]>);

impl<'t> Segments<'t> {
    /// Of what begins with a slash; nothing has no segments.
    pub(super) fn of_path(path: &'t [u8]) -> Self {
        Self(path.strip_prefix(b"/"))
    }

    /// The trust domain, and the path.
    pub(super) fn of_identity(identity: &'t SpiffeId) -> Self {
        Self(identity.as_str().as_bytes().strip_prefix(b"spiffe://"))
    }

    /// The next segment, and what follows it.
    pub(super) fn split(self) -> Option<(&'t [u8], Self)> {
        let text = self.0?;
        Some(match text.iter().position(|byte| *byte == b'/') {
            Some(end) => (&text[..end], Self(Some(&text[end + 1..]))),
            None => (text, Self(None)),
        })
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_none()
    }
}
