//! Whom to trust, and which of their certificates not.

use mesh_core::Live;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

/// Everything that decides whether a peer's certificate is trusted. Replaced whole, never patched.
///
/// ```
/// use mesh_tls::{TrustBundle, TrustRoot};
///
/// # let (old, new, crl) = (vec![1], vec![2], vec![3]);
/// let roots = [TrustRoot::new(old).of_generation(1), TrustRoot::new(new).of_generation(2)];
/// let bundle = TrustBundle::new(17, roots).with_crls([crl]);
/// assert_eq!(bundle.root_of_generation(2).map(|root| root.cert.as_ref()), Some([2].as_slice()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustBundle {
    /// Grows with every change of the rest; the same sequence is the same bundle. The first is 1.
    pub sequence: u64,
    /// The roots. Without any, nobody is trusted.
    pub roots: Vec<TrustRoot>,
    /// The newest CRL of each CA that issues, one an issuer. Their numbers and dates are the signed ones: who
    /// uses a bundle verifies them and keeps the CRL it has if a number went back.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}

impl TrustBundle {
    /// A bundle without CRLs.
    pub fn new(sequence: u64, roots: impl IntoIterator<Item = TrustRoot>) -> Self {
        Self {
            sequence,
            roots: roots.into_iter().collect(),
            crls: Vec::new(),
        }
    }

    /// With CRLs.
    #[must_use]
    pub fn with_crls<C: Into<CertificateRevocationListDer<'static>>>(
        mut self,
        crls: impl IntoIterator<Item = C>,
    ) -> Self {
        self.crls = crls.into_iter().map(Into::into).collect();
        self
    }

    /// The root of a generation.
    pub fn root_of_generation(&self, generation: u64) -> Option<&TrustRoot> {
        self.roots.iter().find(|root| root.generation == Some(generation))
    }
}

/// A root certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustRoot {
    /// The certificate, in DER.
    pub cert: CertificateDer<'static>,
    /// Which generation of the CA it is, of a CA that tells.
    pub generation: Option<u64>,
    /// Whether its key may be known to others. It is still trusted, but who has a certificate of it asks for a
    /// new one at once.
    pub tainted: bool,
}

impl TrustRoot {
    /// A root of a CA that knows no generations.
    pub fn new(cert: impl Into<CertificateDer<'static>>) -> Self {
        Self {
            cert: cert.into(),
            generation: None,
            tainted: false,
        }
    }

    /// Which generation it is.
    #[must_use]
    pub fn of_generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// With its key possibly known to others.
    #[must_use]
    pub fn tainted(mut self) -> Self {
        self.tainted = true;
        self
    }
}

/// Waits until the bundle is newer than `seen`: what
/// [`next_bundle`](super::CertAuthority::next_bundle) of an authority does that publishes its bundle.
/// Never returns if that will not happen any more. Cancel-safe.
pub async fn newer(bundle: &Live<TrustBundle>, seen: u64) -> TrustBundle {
    let mut bundle = bundle.clone();
    loop {
        let current = bundle.load_full();
        if current.sequence > seen {
            return TrustBundle::clone(&current);
        }
        bundle.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use mesh_core::live;

    use super::*;

    fn bundle(sequence: u64) -> TrustBundle {
        TrustBundle::new(sequence, [])
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_bundle_that_is_there_is_not_waited_for() {
        let (_publisher, live) = live(bundle(5));
        assert_eq!(newer(&live, 0).await.sequence, 5);
        assert_eq!(newer(&live, 4).await.sequence, 5);
    }

    #[test]
    fn a_bundle_that_was_seen_is_not_told_again() {
        let (publisher, live) = live(bundle(5));
        let mut waiting = pin!(newer(&live, 5));
        assert!(poll(waiting.as_mut()).is_pending());
        publisher.publish(bundle(5));
        assert!(poll(waiting.as_mut()).is_pending());
        publisher.publish(bundle(6));
        assert_eq!(poll(waiting), Poll::Ready(bundle(6)));
    }

    #[test]
    fn a_cancelled_wait_loses_nothing() {
        let (publisher, live) = live(bundle(1));
        assert!(poll(pin!(newer(&live, 1))).is_pending());
        publisher.publish(bundle(2));
        assert_eq!(poll(pin!(newer(&live, 1))), Poll::Ready(bundle(2)));
    }

    #[test]
    fn every_waiter_is_told() {
        let (publisher, live) = live(bundle(1));
        let (mut first, mut second) = (pin!(newer(&live, 1)), pin!(newer(&live, 1)));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        publisher.publish(bundle(2));
        assert!(poll(first).is_ready() && poll(second).is_ready());
    }
}
