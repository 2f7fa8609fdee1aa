//! `GET /v1/bundle` and `GET /v1/roots`: whom to trust.

use std::time::Duration;

use http::{Response, StatusCode};
use mesh_core::PeerInfo;
use mesh_core::body::Body;
use tokio::time::timeout;

use super::{Inner, json, told};
use crate::authority::{BundleRequest, CaError, CertAuthority, Follower, TrustBundle};
use crate::remote::problem::Refusal;
use crate::remote::wire::BundleText;

/// The longest that a request waits, whatever the limits say: what stands between may cut it earlier.
const LONGEST_POLL: Duration = Duration::from_secs(30);
/// How long the authority may take for the bundle that it has.
const PATIENCE: Duration = Duration::from_secs(10);

impl Inner {
    pub(super) async fn bundle(
        &self,
        query: Option<&str>,
        peer: &PeerInfo,
    ) -> Result<Response<Body>, Refusal> {
        let Some(id) = peer.identity.clone() else {
            let detail = "the bundle is told to who shows a certificate of this mesh; the first comes with the certificate";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "denied", detail));
        };
        let asked = Asked::read(query.unwrap_or_default())
            .map_err(|detail| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", detail))?;
        let Ok(_place) = self.followers.try_acquire() else {
            tracing::warn!(
                most = self.limits.followers,
                "a follower of the bundle is sent away: too many wait"
            );
            return Err(Refusal::busy());
        };
        let now = self.current_bundle().await?;
        // To be seen with a certificate is what supersedes the one before it.
        self.renewals
            .standing(peer, &now)
            .await
            .map_err(|error| refused("the bundle", peer, &error))?;
        let mut request = BundleRequest::after(asked.seen).in_force(asked.in_force);
        if let Some(instance) = asked.instance {
            request = request.by(Follower::new(id, instance));
        }
        match timeout(
            self.limits.poll.min(LONGEST_POLL),
            self.authority.next_bundle(request),
        )
        .await
        {
            Ok(Ok(bundle)) => json(StatusCode::OK, &BundleText::of(&bundle)),
            Ok(Err(error)) => Err(refused("the bundle", peer, &error)),
            Err(_) => {
                let mut nothing = Response::new(Body::empty());
                *nothing.status_mut() = StatusCode::NO_CONTENT;
                Ok(nothing)
            }
        }
    }

    pub(super) async fn roots(&self) -> Result<Response<Body>, Refusal> {
        let Ok(_place) = self.requests_of_newcomers.try_acquire() else {
            return Err(Refusal::busy());
        };
        json(
            StatusCode::OK,
            &BundleText::roots_of(&self.current_bundle().await?),
        )
    }

    /// The bundle that there is.
    pub(super) async fn current_bundle(&self) -> Result<TrustBundle, Refusal> {
        match timeout(PATIENCE, self.authority.next_bundle(BundleRequest::any())).await {
            Ok(Ok(bundle)) => Ok(bundle),
            Ok(Err(error)) => {
                tracing::error!(%error, "the authority tells no bundle");
                Err(Refusal::of(&error))
            }
            Err(_) => {
                tracing::error!("the authority tells no bundle within {PATIENCE:?}");
                Err(Refusal::busy())
            }
        }
    }
}

/// Tells the log why somebody who showed a certificate gets nothing.
pub(super) fn refused(what: &str, peer: &PeerInfo, error: &CaError) -> Refusal {
    tracing::warn!(peer = %told(peer), %error, "{what} is refused");
    Refusal::of(error).forbidden()
}

/// What the query says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    seen: u64,
    in_force: u64,
    instance: Option<u64>,
}

impl Asked {
    /// Each at most once, and nothing else. Without `in_force`, what was seen is in force.
    fn read(query: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected seen and in_force (whole numbers) and instance (up to 16 hexadecimal digits), each once at most";
        let (mut seen, mut in_force, mut instance) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(EXPECTED)?;
            let digits = |hex: bool| {
                let fits = |byte: u8| byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit();
                !value.is_empty() && value.bytes().all(fits)
            };
            let (place, radix) = match name {
                "seen" => (&mut seen, 10),
                "in_force" => (&mut in_force, 10),
                "instance" => (&mut instance, 16),
                _ => return Err(EXPECTED),
            };
            let number = digits(radix == 16)
                .then(|| u64::from_str_radix(value, radix).ok())
                .flatten();
            if place.replace(number.ok_or(EXPECTED)?).is_some() {
                return Err(EXPECTED);
            }
        }
        let seen = seen.unwrap_or(0);
        Ok(Self {
            seen,
            in_force: in_force.unwrap_or(seen),
            instance,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_says_each_thing_once_and_nothing_else() {
        let asked = Asked::read("seen=7&in_force=5&instance=00ff").expect("a query");
        assert_eq!((asked.seen, asked.in_force, asked.instance), (7, 5, Some(255)));
        assert_eq!(Asked::read("seen=7").expect("a query").in_force, 7);
        assert_eq!(Asked::read("").expect("a query"), Asked::default());
        for bad in [
            "seen",
            "seen=",
            "seen=+1",
            "seen=1&seen=1",
            "see=1",
            "seen=0x1",
            "seen=99999999999999999999",
            "instance=00000000000000001g",
        ] {
            assert!(Asked::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_breaks_the_reader(query in "((seen|in_force|instance|x)=?[0-9a-g%+]{0,20}&?){0,5}.{0,20}") {
            let _ = Asked::read(&query);
        }
    }
}
