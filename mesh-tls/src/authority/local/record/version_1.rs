//! Records of directories that were made before a CA could be rotated.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Record, VERSION};
use crate::authority::local::lifecycle::Lifecycle;
use crate::authority::local::material::Material;
use crate::authority::local::stored::Seconds;
use crate::authority::local::times::SKEW;
use crate::key::KeyType;
use crate::sealed;

#[derive(Deserialize)]
struct Old {
    trust_domain: String,
    sequence: u64,
    longest_leaf: u64,
    generations: Vec<OldGeneration>,
}

#[derive(Deserialize)]
struct OldGeneration {
    number: u64,
    key: Zeroizing<String>,
    certificate: String,
}

/// The same CA, without lists: they are signed with the next bundle.
pub(super) fn migrate(content: &[u8]) -> Result<Record, String> {
    let old: Old = sealed::open(content)?;
    let mut generations = old.generations.into_iter();
    let (Some(only), None) = (generations.next(), generations.next()) else {
        return Err("it does not hold one generation".into());
    };
    if only.number != 1 {
        return Err("its generation is not the first".into());
    }
    let material = Material::of_root(only.key, only.certificate);
    let signers = material.signers().map_err(|error| error.to_string())?;
    let root = &signers.first().ok_or("it holds no root")?.certificate;
    let key_type = KeyType::ALL.into_iter().find(|kind| root.key().is_of(*kind));
    let lifetime = root.not_after().duration_since(root.not_before());
    Ok(Record {
        version: VERSION,
        trust_domain: old.trust_domain,
        sequence: old.sequence,
        longest_leaf: old.longest_leaf,
        root_lifetime: lifetime.unwrap_or_default().saturating_sub(SKEW).as_secs(),
        key_type: key_type.unwrap_or_default().to_string(),
        intermediate: false,
        lifecycle: Lifecycle::begun(root.not_after(), root.not_before()),
        material: BTreeMap::from([(1, material)]),
        lists: BTreeMap::new(),
        listed_at: Seconds::default(),
        listed: 0,
    })
}
