//! A year of rotations, in a few seconds: nothing fails while certificates and CAs come and go.

use std::time::Duration;

use mesh_core::clock::WallClock as _;
use mesh_core::connect::Connect as _;
use mesh_core::{Endpoint, EventBus, MeshEvent};
use mesh_tls::authority::{
    CaGeneration, GenerationState, LocalCaOptions, ManagedAuthority as _, RotateRequest, RotationStep,
};
use mesh_tls::{Identity, LocalCa};
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

const MINUTE: Duration = Duration::from_secs(60);

/// The same with the mesh's own CA: each of ten generations is prepared, takes over as soon as that is safe, and the one
/// before goes when its last certificate has ended.
#[tokio::test(start_paused = true)]
async fn ten_generations_of_the_mesh_s_own_ca_take_over_and_no_request_fails() {
    let clock = TokioClock::new();
    let ca =
        LocalCa::in_memory(LocalCaOptions::new("cluster.local").with_clock(clock.clone())).expect("a CA");
    let events = EventBus::new(8192);
    let mut rotated = events.subscribe();
    let start = async |service: &str| {
        let builder = Identity::builder(id(service)).authority(ca.clone());
        let builder = builder.ttl(15 * MINUTE).clock(clock.clone());
        builder.events(events.clone()).start().await.expect("an identity")
    };
    let (orders, frontend) = (start("orders").await, start("frontend").await);
    let endpoint = Endpoint::new(serve(&orders).await.into());
    let h1 = http1(&frontend, "orders");
    let requests = async |generations: &[CaGeneration]| {
        let connected = h1.connect(&endpoint).await;
        let mut io = connected
            .unwrap_or_else(|error| panic!("{generations:?}: {error}"))
            .io;
        ask(&mut io, "/", "hello").await;
        sleep(10 * SECOND).await;
        ask(&mut io, "/", "hello").await;
    };
    for number in 2..=11 {
        ca.rotate(RotateRequest::new(RotationStep::Prepare))
            .await
            .expect("prepared");
        let mut tries = 0;
        while ca
            .rotate(RotateRequest::new(RotationStep::Activate))
            .await
            .is_err()
        {
            tries += 1;
            assert!(tries < 60, "{:?}", ca.generations().await);
            requests(&ca.generations().await.expect("readable")).await;
        }
        assert!(tries > 10, "there was time for others to learn of it: {tries}");
        // Each request meets certificates of both, until the last of the old one has ended.
        for step in 0.. {
            let generations = ca.generations().await.expect("readable");
            let [old, new] = &*generations else {
                panic!("{generations:?}");
            };
            assert_eq!((new.number, new.state), (number, GenerationState::Active));
            if old.last_leaf_not_after.is_none_or(|end| end < clock.now()) {
                break;
            }
            assert!(step < 100, "{generations:?}");
            requests(&generations).await;
            sleep(20 * SECOND).await;
        }
        // By itself it would be kept for a day more, for clocks that differ.
        let remove = RotateRequest::new(RotationStep::Remove);
        assert!(ca.rotate(remove).await.is_err());
        ca.rotate(remove.forced()).await.expect("removed");
    }
    let mut certificates = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), rotated.next()).await {
        match &*event {
            MeshEvent::CertificateRotated { .. } => certificates += 1,
            other => panic!("{other}"),
        }
    }
    assert!(certificates > 30, "{certificates}");
    for identity in [&orders, &frontend] {
        assert!(identity.status().is_well(), "{:?}", identity.status());
        assert_eq!(identity.peer_counts().ended_untrusted, 0);
    }
}
