use divan::Bencher;
use mesh_traffic::fault::Chance;
use mesh_traffic::{Mirror, MirrorLayer};
use tower::{Layer, service_fn};

use super::asked::{ask, at_once};

fn mirror(bencher: Bencher, share: Chance) {
    let mirror = Mirror::builder(share).build();
    let layer = MirrorLayer::new(mirror, service_fn(at_once));
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn mirror_of_nothing(bencher: Bencher) {
    mirror(bencher, Chance::NEVER);
}

/// A share so small that hardly a request is hit.
#[divan::bench]
fn mirror_of_others(bencher: Bencher) {
    mirror(bencher, Chance::percent(0.000_1).expect("a share"));
}
