//! What comes to a server and becomes no request.

use std::fmt;
use std::sync::Arc;

use crate::peer::PeerInfo;

/// Why no request came of what a client sent.
///
/// That is found out over HTTP/1.1. Over HTTP/2 a request that is malformed costs its stream, and who ends it tells nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// Its head is none, by the grammar of HTTP. It was answered with 400.
    Malformed,
    /// Its head is larger than is allowed, or has more fields. It was answered with 431.
    TooLarge,
    /// Its head did not come in time. The connection was cut.
    TooSlow,
}

impl Unreadable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Malformed, Self::TooLarge, Self::TooSlow];

    /// A stable word: the label `reason` of metrics, the key `reason` of the access log.
    ///
    /// ```
    /// use mesh_core::serve::Unreadable;
    ///
    /// assert_eq!(Unreadable::ALL.map(Unreadable::code), ["malformed", "head_too_large", "head_too_slow"]);
    /// assert_eq!(Unreadable::ALL.map(Unreadable::status), [Some(400), Some(431), None]);
    /// ```
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "head_too_large",
            Self::TooSlow => "head_too_slow",
        }
    }

    /// The status it was answered with, if it was answered.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Malformed => Some(400),
            Self::TooLarge => Some(431),
            Self::TooSlow => None,
        }
    }

    pub(super) fn of(error: &hyper::Error) -> Option<Self> {
        match (error.is_parse_too_large(), error.is_parse()) {
            (true, _) => Some(Self::TooLarge),
            (false, true) => Some(Self::Malformed),
            (false, false) => None,
        }
    }
}

type Told = dyn Fn(&PeerInfo, Unreadable) + Send + Sync;

/// Who is told.
#[derive(Clone, Default)]
pub(super) struct OnUnreadable(Option<Arc<Told>>);

impl OnUnreadable {
    pub(super) fn new(tell: impl Fn(&PeerInfo, Unreadable) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn tell(&self, peer: &PeerInfo, why: Unreadable) {
        if let Some(tell) = &self.0 {
            tell(peer, why);
        }
    }
}

impl fmt::Debug for OnUnreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnUnreadable").field(&self.0.is_some()).finish()
    }
}
