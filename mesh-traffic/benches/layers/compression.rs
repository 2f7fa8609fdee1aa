use divan::Bencher;
use mesh_traffic::CompressionLayer;
use tower::{Layer, service_fn};

use super::asked::{ask, at_once};

/// The client takes none.
#[divan::bench]
fn compression_that_is_not_chosen(bencher: Bencher) {
    ask(bencher, CompressionLayer::default().layer(service_fn(at_once)));
}

#[divan::bench]
fn compression_that_is_not_chosen_tower_http(bencher: Bencher) {
    let layer = tower_http::compression::CompressionLayer::new();
    ask(bencher, layer.layer(service_fn(at_once)));
}
