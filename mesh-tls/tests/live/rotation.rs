//! A year of rotations, in a few seconds: nothing fails while certificates and CAs come and go.

use std::time::Duration;

use mesh_core::connect::Connect as _;
use mesh_core::{Endpoint, EventBus, MeshEvent};
use mesh_tls::Identity;
use tokio::time::sleep;

use crate::authority::TestAuthority;
use crate::clock::TokioClock;
use crate::connections::*;

const SECOND: Duration = Duration::from_secs(1);

/// A thousand certificates and ten CAs, while connections are made, used, and kept.
#[tokio::test(start_paused = true)]
async fn a_thousand_certificates_and_ten_cas_are_replaced_and_no_request_fails() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let events = EventBus::new(8192);
    let mut rotated = events.subscribe();
    let ttl = 300 * SECOND;
    let start = async |service: &str| {
        let builder = Identity::builder(id(service))
            .authority(authority.clone())
            .ttl(ttl);
        let builder = builder.clock(clock.clone()).events(events.clone());
        builder.start().await.expect("an identity")
    };
    let (orders, frontend) = (start("orders").await, start("frontend").await);
    let address = serve(&orders).await;
    let endpoint = Endpoint::new(address.into());
    let (mut rotations, mut requests, mut cas) = (0, 0_u32, 0);
    let h1 = http1(&frontend, "orders");
    for minute in 0_u32.. {
        if cas == 10 && rotations >= 1000 {
            break;
        }
        assert!(
            minute < 3000,
            "{rotations} rotations of certificates, {cas} of CAs"
        );
        match minute % 160 {
            40 if cas < 10 => authority.prepare(),
            // Every identity has confirmed the bundle by now: the authority would wait for that.
            45 if cas < 10 => authority.activate(),
            // The last certificate of the old one has expired.
            60 if cas < 10 => {
                authority.remove_oldest();
                cas += 1;
            }
            _ => {}
        }
        let connected = h1.connect(&endpoint).await;
        let mut io = connected
            .unwrap_or_else(|error| panic!("minute {minute}: {error}"))
            .io;
        // A third of a lifetime is left when a certificate is renewed: a connection lasts so long at least, while
        // certificates and CAs change.
        for _ in 0..6 {
            ask(&mut io, "/", "hello").await;
            requests += 1;
            sleep(10 * SECOND).await;
        }
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), rotated.next()).await {
            match &*event {
                MeshEvent::CertificateRotated { .. } => rotations += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert!(requests > 3000, "{requests}");
    for identity in [&orders, &frontend] {
        assert!(identity.status().is_well(), "{:?}", identity.status());
        assert_eq!(identity.peer_counts().ended_untrusted, 0);
    }
}
