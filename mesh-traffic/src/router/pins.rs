//! Who is kept to a version.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::header::{COOKIE, HeaderName, HeaderValue};
use mesh_core::cookie::{cookies, is_cookie_name};
use mesh_core::reject::is_grpc;
use mesh_core::{Assignment, RequestKey};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::asking::{Asking, NOBODY};
use super::weights::Weights;

mod cookie_key;
mod signed;

pub use cookie_key::CookieKey;
use signed::Signed;

/// Who is kept to a version when a service's versions share its requests.
///
/// A header of `true` leads to the canary and of `false` to the stable version; a cookie of `always` or `never`
/// does the same, and the header counts before it. Anyone else is drawn by the shares: request by request, or,
/// if it is sticky, once. Then the mesh gives a client a random value of 128 bits in that cookie, signed, and a client
/// that sends no cookies is told by its address. The value is hashed to a point on a line of which the canary
/// has the beginning: a larger share moves some clients to it, and none back. A value that the mesh did not sign is
/// none: nobody chooses a version by trying values.
///
/// Signed values can still be collected, and those that lead to one version picked out. So who has errors is told by the
/// address (of IPv6 by the network of 64 bits), however many cookies come from there; by the value only where there is
/// no address, or where the caller has proven who it is ([`Assignment::Kept`]).
///
/// ```
/// use mesh_traffic::router::{CookieKey, Pins};
///
/// let pins = Pins::default();
/// assert_eq!((pins.header().as_str(), pins.cookie(), pins.is_sticky()), ("x-canary-user", "canary", false));
/// # let secret = [7; CookieKey::LENGTH];
/// let pins = Pins::new("x-beta".parse()?, "beta")?.sticky(CookieKey::new(secret));
/// assert!(pins.is_sticky());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    header: HeaderName,
    cookie: Arc<str>,
    key: Option<CookieKey>,
}

/// The text is no cookie's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinsError(Box<str>);

impl std::fmt::Display for PinsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: String = self.0.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a cookie name; expected letters, digits and a few marks, as canary"
        )
    }
}

impl std::error::Error for PinsError {}

impl Default for Pins {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-canary-user"),
            cookie: "canary".into(),
            key: None,
        }
    }
}

impl Pins {
    /// Pins by this header and this cookie, drawn request by request.
    ///
    /// # Errors
    /// The cookie's name is not one.
    pub fn new(header: HeaderName, cookie: &str) -> Result<Self, PinsError> {
        match is_cookie_name(cookie) {
            true => Ok(Self {
                header,
                cookie: cookie.into(),
                key: None,
            }),
            false => Err(PinsError(cookie.into())),
        }
    }

    /// The same, and a client stays with the version it got, by values that are signed with this key.
    #[must_use]
    pub fn sticky(mut self, key: CookieKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The header.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Whether a client stays with the version it got.
    pub fn is_sticky(&self) -> bool {
        self.key.is_some()
    }

    /// What the request says of itself.
    fn asked(&self, asking: &Asking<'_>) -> Said {
        match asking.head.headers.get(&self.header).map(HeaderValue::as_bytes) {
            Some(b"true") => return Said::Pinned(Side::Canary, Why::Header),
            Some(b"false") => return Said::Pinned(Side::Stable, Why::Header),
            _ => {}
        }
        let own = |(name, _): &(&[u8], &[u8])| *name == self.cookie.as_bytes();
        let mut signed = None;
        for (_, found) in cookies(asking.head.headers).filter(own) {
            match found {
                b"always" => return Said::Pinned(Side::Canary, Why::Cookie),
                b"never" => return Said::Pinned(Side::Stable, Why::Cookie),
                found => signed = signed.or_else(|| Signed::read(found)),
            }
        }
        signed.map_or(Said::Nothing, Said::Value)
    }
}

enum Said {
    Pinned(Side, Why),
    /// Whether it is signed by the mesh was not looked at.
    Value(Signed),
    Nothing,
}

#[derive(Clone, Copy)]
enum Side {
    Stable,
    Canary,
}

/// Why a request took the share it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// No other has a weight.
    Only,
    /// The header pins it.
    Header,
    /// The cookie pins it.
    Cookie,
    /// By the random value in its cookie, which the mesh has signed.
    Sticky,
    /// By its address: it sends no cookies.
    Client,
    /// By the random value it is given with the response.
    New,
    /// It was drawn.
    Drawn,
}

impl Why {
    /// Whether the same request would take another share the next time.
    pub fn is_chance(self) -> bool {
        matches!(self, Self::New | Self::Drawn)
    }
}

/// The cookie a client is given, so that it stays with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StickyCookie<'t> {
    name: &'t str,
    signed: Signed,
}

impl StickyCookie<'_> {
    /// The value of the `Set-Cookie` field: for all paths, out of reach for scripts, and not sent with what
    /// other sites load.
    pub fn set_cookie(&self) -> Option<HeaderValue> {
        let Self { name, signed } = self;
        HeaderValue::try_from(format!("{name}={signed}; Path=/; HttpOnly; SameSite=Lax")).ok()
    }
}

/// The shares some versions have, and who is kept to which.
pub(crate) struct Drawing<'t> {
    pub(crate) weights: &'t Weights,
    pub(crate) pinned: Option<Pinned<'t>>,
}

/// Places among the weights.
#[derive(Clone, Copy)]
pub(crate) struct Pinned<'t> {
    pub(crate) stable: usize,
    pub(crate) canary: Option<usize>,
    /// What tells this drawing from others, so that clients are not the first everywhere.
    pub(crate) salt: u64,
    pub(crate) pins: &'t Pins,
}

/// What was drawn.
pub(crate) struct Drawn {
    pub(crate) place: usize,
    pub(crate) why: Why,
    /// The value the client is given.
    pub(crate) value: Option<u128>,
    pub(crate) assignment: Assignment,
}

/// How many values are tried for one that leads where the address led: enough for a share of 1 %.
const TRIES: u32 = 1024;

impl Drawing<'_> {
    pub(crate) fn draw(&self, asking: &Asking<'_>) -> Drawn {
        let drawn = |place, why, assignment| Drawn {
            place,
            why,
            value: None,
            assignment,
        };
        let said = self
            .pinned
            .as_ref()
            .map(|pinned| (pinned, pinned.pins.asked(asking)));
        if let Some((pinned, Said::Pinned(side, why))) = &said {
            let place = match side {
                Side::Stable => pinned.stable,
                Side::Canary => pinned.canary.unwrap_or(pinned.stable),
            };
            return drawn(place, *why, Assignment::Asked);
        }
        if let Some(place) = self.weights.only() {
            return drawn(place, Why::Only, Assignment::Drawn);
        }
        match said.and_then(|(pinned, said)| Some((pinned, pinned.pins.key.as_ref()?, said))) {
            Some((pinned, key, said)) => self.stick(pinned, key, &said, asking),
            // The upper bits: those of a weak generator are better than the lower.
            None => {
                let place = self.weights.choose((asking.random >> 96) as u32);
                drawn(place, Why::Drawn, Assignment::Drawn)
            }
        }
    }

    fn stick(&self, pinned: &Pinned<'_>, cookie_key: &CookieKey, said: &Said, asking: &Asking<'_>) -> Drawn {
        let salt = pinned.salt;
        let place_of = |value: u128| self.weights.choose(point(&value.to_be_bytes(), salt));
        let by_value = |value: u128| Assignment::Kept(key(&value.to_be_bytes(), salt));
        let by_address = |client| Assignment::Kept(network(client, |bytes| key(bytes, salt)));
        if let Said::Value(signed) = said
            && let Some(value) = signed.verified(cookie_key)
        {
            let stranger = asking.client.filter(|_| asking.source_service == NOBODY);
            return Drawn {
                place: place_of(value),
                why: Why::Sticky,
                value: None,
                // A stranger may have collected many, and brings those that lead to one version.
                assignment: stranger.map_or_else(|| by_value(value), by_address),
            };
        }
        // Calls between services keep no cookies.
        let takes_cookies = !is_grpc(asking.head.headers);
        // Not by the value it is given: it may throw that away every time.
        let assignment = asking.client.map_or_else(|| by_value(asking.random), by_address);
        let told_by_address = asking
            .client
            .filter(|_| !asking.head.headers.contains_key(COOKIE));
        match told_by_address {
            None => Drawn {
                place: place_of(asking.random),
                why: Why::New,
                value: takes_cookies.then_some(asking.random),
                assignment,
            },
            Some(client) => {
                let place = self.weights.choose(network(client, |bytes| point(bytes, salt)));
                let same = |value: &u128| place_of(*value) == place;
                // Each by itself is as random as the first.
                let values = (0..TRIES).map(|n| asking.random.wrapping_add(u128::from(n)));
                let value = takes_cookies.then_some(values);
                Drawn {
                    place,
                    why: Why::Client,
                    value: value.and_then(|mut values| values.find(same)),
                    assignment,
                }
            }
        }
    }
}

/// A point on the line of all `u32`, which the weights divide.
fn point(bytes: &[u8], salt: u64) -> u32 {
    (xxh3_64_with_seed(bytes, salt) >> 32) as u32
}

/// What tells users apart, and nothing about their points: the seed is another.
fn key(bytes: &[u8], salt: u64) -> u64 {
    xxh3_64_with_seed(bytes, !salt)
}

/// The bytes of where a client is: whoever has one address of IPv6 has the 64 bits behind its network to choose from.
fn network<R>(client: IpAddr, read: impl FnOnce(&[u8]) -> R) -> R {
    const NETWORK: u128 = !(u64::MAX as u128);
    let client = match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    };
    RequestKey::address(client).with_bytes(read)
}

/// The salt of what has this name.
pub(crate) fn salt(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

/// A cookie that carries this value, if clients stay.
pub(crate) fn cookie_of(pins: &Pins, value: u128) -> Option<StickyCookie<'_>> {
    let signed = pins.key.as_ref()?.sign(value);
    let name = &pins.cookie;
    Some(StickyCookie { name, signed })
}

#[cfg(test)]
mod tests;
