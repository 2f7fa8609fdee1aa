//! A CA as it is kept: its generations with their keys, and the lists it published last.

mod marks;
mod version_1;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateRevocationListDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::index::Index;
use super::lifecycle::{Lifecycle, told};
use super::lists;
use super::material::{Design, Material, internal};
use super::options::LocalCaOptions;
use super::storage;
use super::stored::Seconds;
use super::times::Times;
use crate::authority::{CaError, CaErrorKind, GenerationState, TrustBundle, TrustRoot};
use crate::key::KeyType;
use crate::secure_dir::{SecureDir, Stamp};
use crate::{pem, sealed};

pub(super) use marks::Marks;

pub(super) const FILE: &str = "ca.record";
/// What the record was before its last two changes, the newer one first.
pub(super) const BEFORE: [&str; 2] = ["ca.record.1", "ca.record.2"];
const VERSION: u32 = 2;
const MAX_LEN: u64 = 256 * 1024 * 1024;

/// What becomes of the record before.
#[derive(Clone, Copy)]
pub(super) enum Before<'r> {
    /// There is none.
    None,
    /// It is kept as a copy.
    Kept(&'r Record),
    /// It holds keys that are to be gone, and so do the copies.
    Forgotten,
}

/// Everything that has to agree, in one file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    trust_domain: String,
    /// The sequence of the trust bundle, and the number of the lists in it.
    sequence: u64,
    /// How long a certificate is good for at most, in seconds.
    longest_leaf: u64,
    /// How long a root is good for, in seconds.
    root_lifetime: u64,
    key_type: String,
    intermediate: bool,
    lifecycle: Lifecycle,
    material: BTreeMap<u64, Material>,
    /// The lists of each generation.
    lists: BTreeMap<u64, Vec<String>>,
    listed_at: Seconds,
    /// How many revocations of the index they know of.
    listed: u64,
}

impl Record {
    /// A new CA, of its first generation, with lists that are empty.
    pub(super) fn make(options: &LocalCaOptions) -> Result<Self, CaError> {
        // Of a trust domain a SPIFFE ID can be made, or it is none.
        let id = format!("spiffe://{}", options.trust_domain).parse::<mesh_core::SpiffeId>();
        if !id.is_ok_and(|id| id.path().is_empty()) {
            let message = format!(
                "{:?} is no trust domain: expected 1 to 255 lower-case letters, digits, '.', '-' and '_'",
                options.trust_domain
            );
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        let times = Times {
            root: options.root_lifetime,
            longest_leaf: options.longest_leaf,
        };
        times.check()?;
        let design = Design {
            trust_domain: options.trust_domain.clone(),
            key_type: options.key_type,
            root_lifetime: options.root_lifetime,
            intermediate: options.intermediate,
        };
        let now = options.clock.now();
        let material = Material::make(&design, now)?;
        let mut record = Self {
            version: VERSION,
            trust_domain: options.trust_domain.clone(),
            sequence: 0,
            longest_leaf: options.longest_leaf.as_secs(),
            root_lifetime: options.root_lifetime.as_secs(),
            key_type: options.key_type.to_string(),
            intermediate: options.intermediate,
            lifecycle: Lifecycle::begun(end_of(&material)?, now),
            material: BTreeMap::from([(1, material)]),
            lists: BTreeMap::new(),
            listed_at: Seconds::default(),
            listed: 0,
        };
        record.publish(1, &Index::default(), now)?;
        Ok(record)
    }

    /// A new CA for a directory that has none, made before others have to wait for it: a key of RSA takes seconds.
    pub(super) fn make_if_missing(
        dir: &SecureDir,
        options: &LocalCaOptions,
    ) -> Result<Option<Self>, CaError> {
        match Self::load(dir)? {
            Some(_) => Ok(None),
            None => Self::make(options).map(Some),
        }
    }

    /// The record in a directory, if there is one. One that is damaged is an error, never nothing, and never the one
    /// before it.
    pub(super) fn load(dir: &SecureDir) -> Result<Option<Self>, CaError> {
        let Some(content) = dir.read(FILE, MAX_LEN).map_err(storage)? else {
            return Ok(None);
        };
        let damaged = |why: String| {
            let message = format!(
                "{}: {why}. The CA is not replaced by a new one, since nobody would trust that: bring the file back from \
                 a backup{}",
                dir.file(FILE).display(),
                copies(dir)
            );
            CaError::new(CaErrorKind::Storage, message)
        };
        let record = Self::read(&content).map_err(&damaged)?;
        record.check().map_err(damaged)?;
        Ok(Some(record))
    }

    fn read(content: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = sealed::open(content)?;
        match version {
            1 => version_1::migrate(content),
            VERSION => sealed::open(content),
            _ => Err(format!("it is of version {version}: expected {VERSION}")),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(flaw) = self.lifecycle.flaw() {
            return Err(flaw);
        }
        for life in self.lifecycle.lives() {
            let material = self.material.get(&life.number);
            let material = material.ok_or_else(|| format!("generation {} has no key", life.number))?;
            material.signers().map_err(|error| error.to_string())?;
        }
        self.bundle().map(drop).map_err(|error| error.to_string())
    }

    /// Writes it, when no crash can lose it any more. The directory has to be locked.
    ///
    /// The marks are first: whatever happens then, nobody gives a sequence or a number again that somebody may have
    /// seen.
    pub(super) fn save(&self, dir: &SecureDir, before: Before<'_>) -> Result<(), CaError> {
        self.marks().save(dir)?;
        let content = self.sealed()?;
        let [newer, older] = BEFORE;
        match before {
            Before::None => {}
            Before::Kept(before) => {
                if let Some(content) = dir.read(newer, MAX_LEN).map_err(storage)? {
                    dir.write(older, &content).map_err(storage)?;
                }
                dir.write(newer, &before.sealed()?).map_err(storage)?;
            }
            Before::Forgotten => {
                for name in [newer, older] {
                    dir.write(name, &content).map_err(storage)?;
                }
            }
        }
        dir.write(FILE, &content).map_err(storage)
    }

    fn sealed(&self) -> Result<Zeroizing<Vec<u8>>, CaError> {
        sealed::seal(self).map_err(|why| CaError::new(CaErrorKind::Internal, why))
    }

    pub(super) fn stamp(dir: &SecureDir) -> Option<Stamp> {
        dir.stamp(FILE)
    }

    pub(super) fn marks(&self) -> Marks {
        Marks {
            sequence: self.sequence,
            generation: self.lifecycle.last_number(),
        }
    }

    pub(super) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn times(&self) -> Times {
        Times {
            root: Duration::from_secs(self.root_lifetime),
            longest_leaf: Duration::from_secs(self.longest_leaf),
        }
    }

    pub(super) fn design(&self) -> Result<Design, CaError> {
        Ok(Design {
            trust_domain: self.trust_domain.clone(),
            key_type: self
                .key_type
                .parse::<KeyType>()
                .map_err(|error| internal(&error))?,
            root_lifetime: Duration::from_secs(self.root_lifetime),
            intermediate: self.intermediate,
        })
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    pub(super) fn lifecycle_mut(&mut self) -> &mut Lifecycle {
        &mut self.lifecycle
    }

    pub(super) fn material(&self, generation: u64) -> Result<&Material, CaError> {
        let missing = || internal(&format!("generation {generation} of the CA has no key"));
        self.material.get(&generation).ok_or_else(missing)
    }

    /// Takes the keys of a generation that is in the lifecycle.
    pub(super) fn add(&mut self, generation: u64, material: Material) {
        self.material.insert(generation, material);
    }

    /// When the lists were signed.
    pub(super) fn listed_at(&self) -> SystemTime {
        self.listed_at.time()
    }

    /// How many revocations of the index are missing that the lists hold: an index that was lost, or is an older one.
    pub(super) fn lost_revocations(&self, index: &Index) -> u64 {
        self.listed.saturating_sub(index.revocations().len() as u64)
    }

    /// Whether the lists are missing, or know less than the index does.
    pub(super) fn lists_lack(&self, index: &Index) -> bool {
        let has_lists = |life: &super::lifecycle::Life| self.lists.contains_key(&life.number);
        self.listed != index.revocations().len() as u64 || !self.lifecycle.lives().iter().all(has_lists)
    }

    /// Makes the lists anew for the bundle of this sequence, and drops the keys of generations that are gone.
    pub(super) fn publish(&mut self, sequence: u64, index: &Index, now: SystemTime) -> Result<(), CaError> {
        let lives = self.lifecycle.lives();
        let is_there = |number: &u64| lives.iter().any(|life| life.number == *number);
        self.material.retain(|number, _| is_there(number));
        let mut signed = BTreeMap::new();
        for life in lives {
            let lists = lists::sign(self.material(life.number)?, life.number, index, sequence, now)?;
            signed.insert(life.number, lists.iter().map(pem::encode_crl).collect());
        }
        self.lists = signed;
        self.listed = index.revocations().len() as u64;
        self.listed_at = now.into();
        self.sequence = sequence;
        Ok(())
    }

    /// What everybody is told.
    pub(super) fn bundle(&self) -> Result<TrustBundle, CaError> {
        let (mut roots, mut crls) = (Vec::new(), Vec::<CertificateRevocationListDer<'static>>::new());
        for life in self.lifecycle.lives() {
            let root = TrustRoot::new(self.material(life.number)?.root()?).of_generation(life.number);
            roots.push(match life.state() == GenerationState::Tainted {
                true => root.tainted(),
                false => root,
            });
            for list in self.lists.get(&life.number).into_iter().flatten() {
                crls.extend(pem::crls(list.as_bytes()).map_err(|error| internal(&error))?);
            }
        }
        Ok(TrustBundle::new(self.sequence, roots).with_crls(crls))
    }
}

/// The last moment of a root.
pub(super) fn end_of(material: &Material) -> Result<SystemTime, CaError> {
    let signers = material.signers()?;
    let root = signers
        .first()
        .ok_or_else(|| internal(&"a generation without a root"))?;
    Ok(root.certificate.not_after())
}

/// What of the copies of before can be used, and how.
fn copies(dir: &SecureDir) -> String {
    let mut told_of = String::new();
    for name in BEFORE {
        let Ok(Some(content)) = dir.read(name, MAX_LEN) else {
            continue;
        };
        let Ok(record) = Record::read(&content) else {
            continue;
        };
        let signs = record.lifecycle.signer().map_or(0, |signer| signer.number);
        let numbers = record
            .lifecycle
            .lives()
            .iter()
            .map(|life| life.number.to_string());
        told_of.push_str(&format!(
            ", or from {}, which is whole: bundle {}, lists of {}, generations {}, of which {signs} signs",
            dir.file(name).display(),
            record.sequence,
            told(record.listed_at()),
            numbers.collect::<Vec<_>>().join(" and "),
        ));
    }
    if !told_of.is_empty() {
        told_of.push_str(&format!(
            ". With all proxies and commands of this directory stopped, cp -p {} {} brings the newer one back; no number is \
             given twice then, and what a generation signed that it does not hold is not trusted any more",
            BEFORE[0], FILE
        ));
    }
    told_of
}
