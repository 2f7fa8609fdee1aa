//! The parsers of this crate read mutations of valid input. `MUTATIONS=1000000` makes as many of each.

mod checks;
mod der;
mod world;

use std::time::Duration;

use mesh_core::testkit::mutate::{Mutations, Tally};
use mesh_tls::verify::{Expected, Usage};
use world::World;

/// Words of the formats: SEQUENCEs, the numbers of extensions and algorithms, names that must not be believed.
fn tokens() -> Vec<&'static [u8]> {
    vec![
        &[0x30, 0x80],
        &[0x05, 0x00],
        &[0x01, 0x01, 0xff],
        &[0x02, 0x01, 0x00],
        &[0x02, 0x01, 0xff],
        &[0x06, 0x03, 0x55, 0x1d, 0x0f],
        &[0x06, 0x03, 0x55, 0x1d, 0x11],
        &[0x06, 0x03, 0x55, 0x1d, 0x13],
        &[0x06, 0x03, 0x55, 0x1d, 0x14],
        &[0x06, 0x03, 0x55, 0x1d, 0x1b],
        &[0x06, 0x03, 0x55, 0x1d, 0x1c],
        &[0x06, 0x03, 0x55, 0x1d, 0x1e],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
        &[0x2b, 0x65, 0x70],
        &[0x30, 0x03, 0x01, 0x01, 0xff],
        b"\x86\x2cspiffe://cluster.local/ns/dept-barc/sa/orders",
        b"\x86\x2dspiffe://cluster.local/ns/dept-barc/sa/billing",
        b"spiffe://cluster.local",
        b"\x00",
        b"*.example",
    ]
}

fn text() -> Vec<&'static [u8]> {
    vec![
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
        b"-----BEGIN X509 CRL-----\n",
        b"-----END X509 CRL-----\n",
        b"-----BEGIN TRUSTED CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"#",
        b"=",
        b"==",
        b"\xef\xbb\xbf",
        b"Proc-Type: 4,ENCRYPTED\n",
        b" ",
        b"\t",
        b"\x00",
    ]
}

/// Every one of the corpus that is valid was accepted, and some that were changed.
fn says_something(tally: Tally, valid: u64) {
    assert!(tally.valid == valid && tally.accepted > 0, "{tally:?}");
}

/// Case 66.
#[test]
fn a_mutated_csr_is_signed_for_only_if_its_own_key_signed_it() {
    let world = World::new();
    let mutations = Mutations::of(world.csrs.clone()).tokens(tokens()).cases(3_000);
    says_something(mutations.check(|input| checks::csr(&world, input)), 5);
}

#[test]
fn a_mutated_csr_that_its_key_signed_decides_nothing_but_the_key() {
    let world = World::new();
    let corpus = world.csrs.iter().map(|csr| der::signed(csr));
    let tally = Mutations::of(corpus)
        .tokens(tokens())
        .cases(1_500)
        .check(|input| checks::signed_csr(&world, input));
    says_something(tally, 3);
}

/// Cases 29 and 31 to 33.
#[test]
fn a_mutated_certificate_says_what_is_in_it() {
    let world = World::new();
    let tally = Mutations::of(world.certificates())
        .tokens(tokens())
        .cases(5_000)
        .check(checks::certificate);
    says_something(tally, 14);
}

#[test]
fn a_mutated_chain_is_believed_only_as_whom_its_issuers_signed_it_for() {
    let world = World::new();
    let mutations = Mutations::of(world.chains()).tokens(tokens()).cases(3_000);
    says_something(mutations.check(|input| checks::chain(&world, input)), 3);
}

#[test]
fn a_mutated_leaf_that_the_ca_signed_is_believed_only_as_whom_it_names() {
    let world = World::new();
    let corpus = [
        &world.leaves[0].chain[0],
        &world.revoked,
        &world.leaves[1].chain[0],
    ]
    .map(|leaf| der::signed(leaf).to_vec());
    let tally = Mutations::of(corpus)
        .tokens(tokens())
        .cases(2_000)
        .check(|input| checks::signed_leaf(&world, input));
    says_something(tally, 1);
}

/// Case 28.
#[test]
fn a_mutated_trust_bundle_trusts_no_stranger() {
    let world = World::new();
    let mutations = Mutations::of(world.bundles()).tokens(text()).cases(3_000);
    says_something(mutations.check(|input| checks::bundle(&world, input)), 4);
}

/// Case 40.
#[test]
fn a_mutated_revocation_list_gives_nothing_back_and_takes_nothing_away() {
    let world = World::new();
    let tokens = [tokens(), text()].concat();
    let mutations = Mutations::of(world.revocation_lists())
        .tokens(tokens)
        .cases(4_000);
    says_something(mutations.check(|input| checks::revocation_list(&world, input)), 3);
}

#[test]
fn a_mutated_revocation_list_that_the_ca_signed_takes_back_what_it_names() {
    let world = World::new();
    let corpus = world.lists.iter().map(|list| der::signed(list));
    let tally = Mutations::of(corpus)
        .tokens(tokens())
        .cases(3_000)
        .check(|input| checks::signed_list(&world, input));
    says_something(tally, 1);
}

#[test]
fn what_a_ca_keeps_is_read_as_it_was_written_or_not_at_all() {
    let world = World::new();
    let record = Mutations::of([&world.kept.record])
        .cases(1_000)
        .check(|input| checks::record(&world, input));
    assert_eq!((record.valid, record.accepted), (1, 0));
    let corpus = [world.kept.issued.clone(), Vec::new()];
    let issued = Mutations::of(corpus)
        .tokens(["\n", "{", "\"", "0"])
        .cases(1_000)
        .check(|input| checks::issued_list(&world, input));
    says_something(issued, 2);
}

#[test]
fn a_mutated_identity_gives_way_to_the_one_before_it() {
    let world = World::new();
    let corpus = [&world.kept.identities[0].1];
    let tally = Mutations::of(corpus)
        .cases(1_000)
        .check(|input| checks::identity(&world, input));
    assert_eq!((tally.valid, tally.accepted), (1, 0));
}

/// As large as a handshake lets them be. Whoever sends one has proved nothing yet.
#[test]
fn a_certificate_full_of_one_thing_costs_no_more_than_its_length() {
    let world = World::new();
    let leaf = der::signed(&world.leaves[0].chain[0]).to_vec();
    let unknown = |number: u16| {
        let number = [0x2a, 0x83 + (number >> 7) as u8, (number & 0x7f) as u8];
        der::value(0x30, &[der::value(6, &number), der::value(4, &[])].concat())
    };
    let attribute = |_| {
        der::value(
            0x31,
            &der::value(
                0x30,
                &[der::value(6, &[0x55, 4, 3]), der::value(0x0c, b"x")].concat(),
            ),
        )
    };
    let uri = |_| der::value(0x86, b"spiffe://x/y");
    let names = [
        der::value(6, &[0x55, 0x1d, 0x11]),
        der::value(
            4,
            &der::value(0x30, &(0..4_400).flat_map(uri).collect::<Vec<_>>()),
        ),
    ];
    let large = [
        with(
            &leaf,
            7,
            &der::value(
                0xa3,
                &der::value(0x30, &(0..6_500).flat_map(unknown).collect::<Vec<_>>()),
            ),
        ),
        with(
            &leaf,
            7,
            &der::value(0xa3, &der::value(0x30, &der::value(0x30, &names.concat()))),
        ),
        with(
            &leaf,
            5,
            &der::value(0x30, &(0..5_000).flat_map(attribute).collect::<Vec<_>>()),
        ),
    ];
    let large = large.map(|content| {
        let certificate = world.root.sign(&content);
        assert!(
            (50_000..66_000).contains(&certificate.len()),
            "{}",
            certificate.len()
        );
        certificate
    });
    // Without optimization, and on a busy machine: it was seconds when each extension was compared with all others.
    Mutations::of(large)
        .cases(0)
        .slowest(Duration::from_millis(500))
        .check(|input| {
            let chain = [input.into()];
            let _ = world
                .verifier
                .verify(&chain, Usage::Client, &Expected::Member, world.now);
            checks::certificate(input)
        });
}

/// The content of a certificate with one of its parts replaced.
fn with(content: &[u8], part: usize, new: &[u8]) -> Vec<u8> {
    let mut parts = der::parts(content);
    parts[part] = new;
    der::value(0x30, &parts.concat())
}
