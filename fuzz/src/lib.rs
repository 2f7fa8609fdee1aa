//! The checks of the mutation tests, to be called by fuzzers.

#[path = "../../mesh-tls/tests/mutations/checks.rs"]
mod checks;
#[path = "../../mesh-core/tests/mutations/checks.rs"]
mod core_checks;
#[path = "../../mesh-tls/tests/mutations/der.rs"]
mod der;
#[path = "../../mesh-tls/tests/mutations/world.rs"]
mod world;

use std::sync::OnceLock;

use mesh_core::testkit::mutate::Mutator;
use world::World;

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::new)
}

/// What a fuzzer gives input to, and valid input to begin with.
pub struct Target {
    /// The check.
    pub check: fn(&[u8]) -> bool,
    corpus: OnceLock<Vec<Vec<u8>>>,
    make: fn() -> Vec<Vec<u8>>,
}

impl Target {
    const fn new(check: fn(&[u8]) -> bool, make: fn() -> Vec<Vec<u8>>) -> Self {
        Self {
            check,
            corpus: OnceLock::new(),
            make,
        }
    }

    /// A mutation of valid input now and then: keys are new in each process, so that no corpus of files could hold it.
    pub fn mutate(&self, data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
        if seed % 4 > 0 {
            return libfuzzer_sys::fuzzer_mutate(data, size, most);
        }
        let corpus = self.corpus.get_or_init(self.make);
        let mutant = match size {
            0 => Mutator::new(corpus, seed.into()).mutant(),
            _ if seed % 8 == 0 => Mutator::new(corpus, seed.into()).mutant(),
            // With the others to splice from.
            _ => Mutator::new(&[data[..size].to_vec()], seed.into()).mutant(),
        };
        let size = mutant.len().min(most);
        data[..size].copy_from_slice(&mutant[..size]);
        size
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).into()
}

fn contents(of: &[Vec<u8>]) -> Vec<Vec<u8>> {
    of.iter().map(|value| der::signed(value).to_vec()).collect()
}

pub static SPIFFE_ID: Target = Target::new(core_checks::spiffe_id, || {
    texts(["spiffe://cluster.local/ns/dept-barc/sa/orders", "spiffe://a-b_c.d/A/b.c/..d"])
});
pub static PATH: Target = Target::new(core_checks::path, || {
    texts(["/a/../b/./c//d", "/x/%2e%2E/%64eny//s", "/a%20b/%C3%A9", "/a%2Fb;v=1/c", "/deny%3bx"])
});
pub static CLIENT_CERT: Target = Target::new(core_checks::client_cert, || {
    texts([
        "spiffe://x/a\nab12\nx-forwarded-client-cert\nBy=x;Hash=00;Subject=\"CN=a;b\";URI=spiffe://x/admin\nx-request-id\na",
        "\n\nx-forwarded-for\n10.0.0.1, ::1\ntraceparent\n00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01",
    ])
});
pub static CSR: Target = Target::new(|input| checks::csr(world(), input), || world().csrs.clone());
pub static SIGNED_CSR: Target =
    Target::new(|input| checks::signed_csr(world(), input), || contents(&world().csrs));
pub static CERTIFICATE: Target = Target::new(checks::certificate, || world().certificates());
pub static CHAIN: Target = Target::new(|input| checks::chain(world(), input), || world().chains());
pub static SIGNED_LEAF: Target =
    Target::new(|input| checks::signed_leaf(world(), input), || contents(&world().certificates()));
pub static BUNDLE: Target = Target::new(|input| checks::bundle(world(), input), || world().bundles());
pub static REVOCATION_LIST: Target =
    Target::new(|input| checks::revocation_list(world(), input), || world().revocation_lists());
pub static SIGNED_LIST: Target = Target::new(
    |input| checks::signed_list(world(), input),
    || world().lists.iter().map(|list| der::signed(list).to_vec()).collect(),
);
pub static RECORD: Target =
    Target::new(|input| checks::record(world(), input), || vec![world().kept.record.clone()]);
pub static ISSUED_LIST: Target =
    Target::new(|input| checks::issued_list(world(), input), || vec![world().kept.issued.clone()]);
pub static IDENTITY: Target =
    Target::new(|input| checks::identity(world(), input), || vec![world().kept.identities[0].1.clone()]);

/// The fuzzer of a target.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
            mesh_fuzz::$target.mutate(data, size, most, seed)
        });
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            // Whether it was accepted: those that were are kept.
            let _accepted = (mesh_fuzz::$target.check)(data);
        });
    };
}
