//! What is kept of a request's head: a bounded part of it, in one piece of memory.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, Method, Version};
use mesh_core::context::{Direction, Target};
use mesh_core::{PeerInfo, ServiceName};
use tokio::time::Instant;

use super::Begun;
use crate::labels::Protocol;

/// The longest texts that are kept, in bytes. What is longer is cut.
const PATH: usize = 1024;
const QUERY: usize = 1024;
const HOST: usize = 255;
const AGENT: usize = 256;

pub(crate) struct Facts {
    pub(crate) received: Instant,
    pub(crate) direction: Direction,
    pub(crate) service: Arc<str>,
    pub(crate) listener: Option<Arc<str>>,
    pub(crate) target: Option<Target>,
    pub(crate) peer: Option<Arc<PeerInfo>>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) protocol: Protocol,
    /// As the request says.
    pub(crate) bytes: Option<u64>,
    own: Option<ServiceName>,
    texts: Texts,
}

impl Facts {
    pub(crate) fn of(begun: &Begun<'_>, with_query: bool) -> Self {
        let Begun { head, context, .. } = begun;
        Self {
            received: context.received,
            direction: context.direction,
            service: Arc::clone(begun.service),
            listener: begun.listener.cloned(),
            target: begun.target.cloned(),
            peer: context.peer.clone(),
            client: context.client_address(),
            method: head.method.clone(),
            version: begun.version,
            protocol: Protocol::of(begun.version, head.headers),
            bytes: content_length(head.headers),
            own: context.own_service.clone(),
            texts: Texts::new([
                cut(Cow::Borrowed(head.path()), PATH),
                cut(
                    Cow::Borrowed(head.query().filter(|_| with_query).unwrap_or_default()),
                    QUERY,
                ),
                cut(Cow::Borrowed(head.host().unwrap_or_default()), HOST),
                cut(text(head.headers), AGENT),
            ]),
        }
    }

    /// Who sent it, as a service; nothing if that is not known.
    pub(crate) fn source(&self) -> Option<&str> {
        let peer = || self.peer.as_ref()?.service();
        self.own.as_ref().map(ServiceName::as_str).or_else(peer)
    }

    pub(crate) fn path(&self) -> &str {
        self.texts.get(0)
    }

    pub(crate) fn query(&self) -> Option<&str> {
        Some(self.texts.get(1)).filter(|query| !query.is_empty())
    }

    pub(crate) fn host(&self) -> Option<&str> {
        Some(self.texts.get(2)).filter(|host| !host.is_empty())
    }

    pub(crate) fn user_agent(&self) -> Option<&str> {
        Some(self.texts.get(3)).filter(|agent| !agent.is_empty())
    }
}

fn text(headers: &HeaderMap) -> Cow<'_, str> {
    let agent = headers.get(USER_AGENT);
    agent.map_or(Cow::Borrowed(""), |agent| {
        let bytes = agent.as_bytes();
        String::from_utf8_lossy(bytes.get(..AGENT).unwrap_or(bytes))
    })
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn cut(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..text.floor_char_boundary(most)).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(most));
            Cow::Owned(text)
        }
    }
}

/// Several texts in one.
struct Texts {
    all: Box<str>,
    /// Where each ends.
    ends: [u16; 4],
}

impl Texts {
    fn new(texts: [Cow<'_, str>; 4]) -> Self {
        let mut all = String::with_capacity(texts.iter().map(|text| text.len()).sum());
        let ends = texts.map(|text| {
            all.push_str(&text);
            // Each is cut, and all of them are shorter than that.
            u16::try_from(all.len()).unwrap_or(u16::MAX)
        });
        Self {
            all: all.into_boxed_str(),
            ends,
        }
    }

    fn get(&self, place: usize) -> &str {
        let end = |place: usize| self.ends.get(place).copied().map_or(0, usize::from);
        let begin = place.checked_sub(1).map_or(0, end);
        self.all.get(begin..end(place)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_as_it_was_put_in() {
        let texts = Texts::new([
            Cow::Borrowed("/a"),
            Cow::Borrowed(""),
            Cow::Borrowed("orders"),
            Cow::Owned("ä".into()),
        ]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|place| texts.get(place)),
            ["/a", "", "orders", "ä", ""]
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut(Cow::Borrowed("aää"), 4), "aä");
        assert_eq!(cut(Cow::Owned("aää".into()), 4), "aä");
        assert_eq!(cut(Cow::Borrowed("aää"), 5), "aää");
    }
}
