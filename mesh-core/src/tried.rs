//! The endpoints a request was tried at: written by whoever sends, read when it is sent again.

use std::sync::{Arc, OnceLock};

use crate::endpoint::EndpointId;

/// A request extension: the endpoints this request was sent to so far, by all its tries. Clones are one list.
///
/// Whoever tries again puts the same list into every try. Whoever picks an endpoint avoids those in it, as far as
/// there are others, and adds its choice before it sends: so that an endpoint which never answered is known as well, and
/// one that is still being asked.
///
/// It keeps eight; a request that was sent to more has tried enough. Nothing of it takes a lock.
///
/// ```
/// use mesh_core::Endpoint;
/// use mesh_core::tried::TriedEndpoints;
///
/// let tried = TriedEndpoints::default();
/// let endpoint = Endpoint::new("10.0.0.7:3001".parse()?);
/// tried.clone().add(endpoint.id());
/// tried.add(endpoint.id());
/// assert_eq!(tried.iter().collect::<Vec<_>>(), [endpoint.id()]);
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TriedEndpoints(Arc<[OnceLock<EndpointId>; 8]>);

impl TriedEndpoints {
    /// The request is sent there.
    pub fn add(&self, endpoint: &EndpointId) {
        for place in &*self.0 {
            // Taken by the same one, or by another: also in this moment.
            if place.get_or_init(|| endpoint.clone()) == endpoint {
                return;
            }
        }
    }

    /// Where it was sent, in the order of the first time.
    pub fn iter(&self) -> impl Iterator<Item = &EndpointId> {
        self.0.iter().map_while(OnceLock::get)
    }

    /// Whether it was sent nowhere yet.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    fn id(n: u16) -> EndpointId {
        let address: std::net::SocketAddr = ([10, 0, 0, 1], 1 + n).into();
        Endpoint::new(address.into()).id().clone()
    }

    #[test]
    fn an_endpoint_is_listed_once() {
        let tried = TriedEndpoints::default();
        assert!(tried.is_empty());
        for n in [1, 2, 1, 3, 2] {
            tried.add(&id(n));
        }
        assert_eq!(tried.iter().cloned().collect::<Vec<_>>(), [1, 2, 3].map(id));
    }

    #[test]
    fn more_than_eight_are_not_kept() {
        let tried = TriedEndpoints::default();
        (0..20).for_each(|n| tried.add(&id(n)));
        assert_eq!(tried.iter().count(), 8);
    }

    #[test]
    fn tries_at_the_same_time_are_all_listed() {
        for _ in 0..100 {
            let tried = TriedEndpoints::default();
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let tried = tried.clone();
                    scope.spawn(move || tried.add(&id(n)));
                }
            });
            let mut listed: Vec<_> = tried.iter().cloned().collect();
            listed.sort();
            assert_eq!(listed, [0, 1, 2, 3].map(id));
        }
    }
}
