//! What is kept of a request's head.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use mesh_core::context::Direction;
use mesh_core::head::without_port;
use mesh_core::{PeerInfo, ServiceName};
use tokio::time::Instant;

use super::Begun;
use super::fields::Fields;
use super::texts::Texts;
use crate::labels::Protocol;

/// The longest texts that are told, in bytes. What is longer is cut.
const LONGEST_PATH: usize = 1024;
const LONGEST_QUERY: usize = 1024;
const LONGEST_HOST: usize = 255;
const LONGEST_AGENT: usize = 256;

pub(crate) struct Facts {
    pub(crate) received: Instant,
    pub(crate) direction: Direction,
    pub(crate) listener: Option<Arc<str>>,
    pub(crate) peer: Option<Arc<PeerInfo>>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) protocol: Protocol,
    /// As a trusted proxy told it.
    client: Option<IpAddr>,
    own: Option<ServiceName>,
    texts: Texts,
    logged: Option<Logged>,
}

/// What only the access log tells.
struct Logged {
    /// Of the body, as the request says.
    bytes: Option<u64>,
    query: bool,
}

impl Facts {
    /// Of a request with these fields that is logged, with its query or without; or is not. Its texts are still to be
    /// [kept](Self::keep).
    #[expect(
        clippy::inline_always,
        reason = "its value is large, and would be moved twice"
    )]
    #[inline(always)]
    pub(crate) fn of(begun: &Begun<'_>, fields: &Fields<'_>, logged: Option<bool>) -> Self {
        let Begun { head, context, .. } = begun;
        Self {
            received: context.received,
            direction: context.direction,
            listener: begun.listener.cloned(),
            peer: context.peer.clone(),
            method: head.method.clone(),
            version: begun.version,
            protocol: fields.protocol(begun.version, head.headers),
            client: context.client,
            own: context.own_service.clone(),
            texts: Texts::default(),
            logged: logged.map(|query| Logged {
                bytes: content_length(head.headers),
                query,
            }),
        }
    }

    /// Keeps the texts of a request for this with these fields, and perhaps this id.
    #[inline]
    pub(crate) fn keep(&mut self, uri: &Uri, fields: &Fields<'_>, id: Option<&HeaderValue>) {
        self.texts.keep(uri, fields, id);
    }

    /// Who sent it, as a service; nothing if that is not known.
    pub(crate) fn source(&self) -> Option<&str> {
        let peer = || self.peer.as_ref()?.service();
        self.own.as_ref().map(ServiceName::as_str).or_else(peer)
    }

    /// The client's address: what a trusted proxy told, else the peer's.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        let peer = || Some(self.peer.as_ref()?.address.ip().to_canonical());
        self.client.or_else(peer)
    }

    pub(crate) const fn is_logged(&self) -> bool {
        self.logged.is_some()
    }

    pub(crate) fn path(&self) -> &str {
        cut(self.texts.path(), LONGEST_PATH)
    }

    /// Nothing if it is not to be told.
    pub(crate) fn query(&self) -> Option<&str> {
        let told = self.logged.as_ref().is_some_and(|logged| logged.query);
        let query = self.texts.query().filter(|query| told && !query.is_empty());
        query.map(|query| cut(query, LONGEST_QUERY))
    }

    pub(crate) fn host(&self) -> Option<&str> {
        let authority = self.texts.authority()?;
        // What may stand before it is a password.
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let host = Some(without_port(authority)).filter(|host| !host.is_empty());
        host.map(|host| cut(host, LONGEST_HOST))
    }

    /// Its id, if that was known from the beginning.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.texts.id()
    }

    pub(crate) fn user_agent(&self) -> Option<Cow<'_, str>> {
        let agent = self.texts.agent()?;
        let agent = agent.get(..LONGEST_AGENT).unwrap_or(agent);
        let agent = match String::from_utf8_lossy(agent) {
            Cow::Borrowed(agent) => Cow::Borrowed(cut(agent, LONGEST_AGENT)),
            Cow::Owned(agent) => Cow::Owned(cut(&agent, LONGEST_AGENT).to_owned()),
        };
        Some(agent).filter(|agent| !agent.is_empty())
    }

    /// How much of a body there is, as the request says; nothing if it is not to be told.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.logged.as_ref()?.bytes
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aää", 4), "aä");
        assert_eq!(cut("aää", 5), "aää");
        assert_eq!(cut("aää", 6), "aää");
    }
}
