//! The texts of a request that are kept until it is over.

use http::{HeaderValue, Uri};

use super::fields::Fields;

/// How much is copied of a request, in bytes: enough for the path of most, and the names of who asks whom.
const ROOM: usize = 164;

/// What is kept of a request's texts. As far as all of them are short they are copied, which is cheaper than to count
/// references to four parts of a head.
pub(super) enum Texts {
    Copied(Copied),
    Shared {
        uri: Uri,
        host: Option<HeaderValue>,
        agent: Option<HeaderValue>,
        id: Option<HeaderValue>,
    },
}

/// Texts one after the other.
pub(super) struct Copied {
    bytes: [u8; ROOM],
    /// Where each of them ends.
    ends: [u8; PARTS],
    /// There is a host, a name of the client, an id: each may be there and empty.
    has: [bool; PARTS],
}

const PARTS: usize = 5;
const PATH: usize = 0;
const QUERY: usize = 1;
const HOST: usize = 2;
const AGENT: usize = 3;
const ID: usize = 4;

impl Default for Texts {
    fn default() -> Self {
        Self::Copied(Copied {
            bytes: [0; ROOM],
            ends: [0; PARTS],
            has: [false; PARTS],
        })
    }
}

impl Texts {
    /// Those of a request for this with these fields, and perhaps of its id.
    pub(super) fn keep(&mut self, uri: &Uri, fields: &Fields<'_>, id: Option<&HeaderValue>) {
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = authority.or_else(|| fields.host.map(HeaderValue::as_bytes));
        let parts = [
            Some(uri.path().as_bytes()),
            uri.query().map(str::as_bytes),
            host,
            fields.agent.map(HeaderValue::as_bytes),
            id.map(HeaderValue::as_bytes),
        ];
        if let Self::Copied(copied) = self
            && copied.copy(parts).is_some()
        {
            return;
        }
        *self = Self::Shared {
            uri: uri.clone(),
            host: fields.host.filter(|_| authority.is_none()).cloned(),
            agent: fields.agent.cloned(),
            id: id.cloned(),
        };
    }

    pub(super) fn path(&self) -> &str {
        match self {
            // It is a part of a URI.
            Self::Copied(copied) => copied.text(PATH).unwrap_or_default(),
            Self::Shared { uri, .. } => uri.path(),
        }
    }

    pub(super) fn query(&self) -> Option<&str> {
        match self {
            Self::Copied(copied) => copied.text(QUERY),
            Self::Shared { uri, .. } => uri.query(),
        }
    }

    /// What the target says or else the field, unless that is more than visible ASCII.
    pub(super) fn authority(&self) -> Option<&str> {
        match self {
            Self::Copied(copied) => copied.text(HOST).filter(|host| is_visible(host)),
            Self::Shared { uri, host, .. } => match uri.authority() {
                Some(authority) => Some(authority.as_str()),
                None => host.as_ref()?.to_str().ok(),
            },
        }
    }

    pub(super) fn agent(&self) -> Option<&[u8]> {
        match self {
            Self::Copied(copied) => copied.part(AGENT),
            Self::Shared { agent, .. } => agent.as_ref().map(HeaderValue::as_bytes),
        }
    }

    /// The id, if it was kept with the others and is visible ASCII.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Copied(copied) => copied.text(ID).filter(|id| is_visible(id)),
            Self::Shared { id, .. } => id.as_ref()?.to_str().ok(),
        }
    }
}

impl Copied {
    /// Nothing if there is no room for all of them.
    fn copy(&mut self, parts: [Option<&[u8]>; PARTS]) -> Option<()> {
        let mut end = 0;
        let marks = self.ends.iter_mut().zip(&mut self.has);
        for (part, (mark, has)) in parts.into_iter().zip(marks) {
            if let Some(part) = part {
                let begin = end;
                end += part.len();
                self.bytes.get_mut(begin..end)?.copy_from_slice(part);
                *has = true;
            }
            *mark = u8::try_from(end).ok()?;
        }
        Some(())
    }

    fn part(&self, number: usize) -> Option<&[u8]> {
        let begin = number.checked_sub(1).and_then(|before| self.ends.get(before));
        let range = usize::from(*begin.unwrap_or(&0))..usize::from(*self.ends.get(number)?);
        self.bytes
            .get(range)
            .filter(|_| self.has.get(number) == Some(&true))
    }

    fn text(&self, number: usize) -> Option<&str> {
        std::str::from_utf8(self.part(number)?).ok()
    }
}

/// As [`HeaderValue::to_str`] asks for it.
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Option<HeaderValue>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..100);
        prop::option::of(bytes.prop_filter_map("a value", |bytes| HeaderValue::from_bytes(&bytes).ok()))
    }

    fn uri() -> impl Strategy<Value = Uri> {
        let uri = "(http://[a-z]{1,90}(:80)?)?/[a-z/]{0,90}(\\?[a-z=]{0,90})?|\\*|http://h\\?x|orders:80";
        uri.prop_filter_map("a target", |uri| uri.parse().ok())
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_wherever_it_is_kept(
            uri in uri(), host in value(), agent in value(), id in value(),
        ) {
            let mut headers = HeaderMap::new();
            headers.extend(host.clone().map(|host| (http::header::HOST, host)));
            headers.extend(agent.clone().map(|agent| (http::header::USER_AGENT, agent)));
            let mut texts = Texts::default();
            texts.keep(&uri, &Fields::of(&headers), id.as_ref());
            prop_assert_eq!(texts.path(), uri.path());
            prop_assert_eq!(texts.query(), uri.query());
            let host = host.as_ref().and_then(|host| host.to_str().ok());
            prop_assert_eq!(texts.authority(), uri.authority().map(|named| named.as_str()).or(host));
            prop_assert_eq!(texts.agent(), agent.as_ref().map(HeaderValue::as_bytes));
            prop_assert_eq!(texts.id(), id.as_ref().and_then(|id| id.to_str().ok()));
        }
    }
}
