//! When a certificate is renewed.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use mesh_core::SpiffeId;

use crate::authority::IssuedCert;

/// How long before its end a certificate is renewed, unless told otherwise. From the document.
pub const RENEW_BEFORE: Duration = Duration::from_secs(7 * 86_400);

/// Certificates that live shorter are renewed when a third of their life is left.
pub const SHORT_LIFETIME: Duration = Duration::from_secs(14 * 86_400);

/// How long before the end of a lifetime a certificate is renewed if nobody says otherwise.
///
/// ```
/// use std::time::Duration;
/// use mesh_tls::rotation::renew_before;
///
/// let day = Duration::from_secs(86_400);
/// assert_eq!(renew_before(90 * day), 7 * day);
/// assert_eq!(renew_before(day), day / 3);
/// ```
pub fn renew_before(lifetime: Duration) -> Duration {
    if lifetime < SHORT_LIFETIME {
        lifetime / 3
    } else {
        RENEW_BEFORE
    }
}

/// When the certificate of `id` is to be renewed: `before` its end and a twentieth to a tenth of that earlier. Earlier at
/// all, so that who is alarmed by less than `before` hears of renewals that fail, and never of one that only begins; by
/// how much differs, so that workloads that began together do not ask together.
///
/// How much earlier follows from the identity and the serial number: a restart does not draw again. Never before two
/// fifths of the lifetime are over, so that no renewal begets the next.
pub fn renewal_due(cert: &IssuedCert, id: &SpiffeId, before: Duration) -> SystemTime {
    let early = before.saturating_add(before.mul_f64(0.05 + share(cert, id) / 20.0));
    let most = cert.lifetime().mul_f64(0.6);
    cert.not_after() - early.min(most)
}

/// A number from 0 to 1 that belongs to this certificate of `id`: drawn anew it is the same.
pub(crate) fn share(cert: &IssuedCert, id: &SpiffeId) -> f64 {
    let mut seed = id.as_str().as_bytes().to_vec();
    seed.extend_from_slice(cert.serial().as_bytes());
    let hash = digest(&SHA256, &seed);
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authority::SerialNumber;

    const DAY: Duration = Duration::from_secs(86_400);

    fn cert(lifetime: Duration, serial: u64) -> IssuedCert {
        let begin = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let serial = SerialNumber::from_u64(serial).expect("positive");
        IssuedCert::new([vec![1]], (begin, begin + lifetime), serial).expect("a certificate")
    }

    fn id(service: &str) -> SpiffeId {
        SpiffeId::of_service("cluster.local", "dept-barc", service).expect("an ID")
    }

    #[test]
    fn a_restart_does_not_draw_again_and_two_workloads_draw_differently() {
        let cert = cert(90 * DAY, 7);
        let due = |service| renewal_due(&cert, &id(service), RENEW_BEFORE);
        assert_eq!(due("orders"), due("orders"));
        assert_ne!(due("orders"), due("frontend"));
    }

    proptest! {
        /// F14: an alarm at less than `before` never collides with a renewal that begins.
        #[test]
        fn renewal_begins_earlier_than_its_time_by_up_to_a_tenth_and_hardly_before_half_time(
            minutes in prop_oneof![5_u32..525_600, Just(14 * 24 * 60)], serial in 1..u64::MAX,
        ) {
            let lifetime = minutes * Duration::from_secs(60);
            let (cert, before) = (cert(lifetime, serial), renew_before(lifetime));
            let due = renewal_due(&cert, &id("orders"), before);
            prop_assert!(due <= cert.not_after() - before.mul_f64(1.0499));
            prop_assert!(due >= cert.not_after() - before.mul_f64(1.1001));
            prop_assert!(due >= cert.not_before() + lifetime.mul_f64(0.3999));
        }

        #[test]
        fn any_distance_and_lifetime_has_an_answer(seconds in 1_u64..1 << 32, before in 0_u64..u64::MAX) {
            let cert = cert(Duration::from_secs(seconds), 7);
            let due = renewal_due(&cert, &id("orders"), Duration::from_secs(before));
            prop_assert!(due <= cert.not_after());
        }
    }
}
