//! The steps of a rotation, as an operator takes them.

use tokio::time::Instant;

use super::book::{Book, Told};
use super::index::Index;
use super::lifecycle::{Life, Lifecycle};
use super::material::Material;
use super::record::{Record, end_of};
use super::{Inner, storage};
use crate::authority::{
    CaError, CaErrorKind, CaGeneration, Follower, GenerationState, RotateRequest, RotationStep,
};

impl Inner {
    pub(super) fn rotate(&self, request: RotateRequest) -> Result<CaGeneration, CaError> {
        match request.step {
            RotationStep::Prepare => {
                let design = {
                    let book = self.read()?;
                    // Said before keys are made in vain.
                    let mut tried = book.record.lifecycle().clone();
                    let now = self.clock.now();
                    tried.prepare(now, 0, now).map_err(wrong_state)?;
                    book.record.design()?
                };
                let material = Material::make(&design, self.clock.now())?;
                let (mut book, _lock) = self.write()?;
                self.prepare(&mut book, material)
            }
            step => {
                let followers = self.live_followers()?;
                let (mut book, _lock) = self.write()?;
                self.step(&mut book, step, request.force, &followers)
            }
        }
    }

    /// Adds a generation of these keys. The book has to be held for writing.
    pub(super) fn prepare(&self, book: &mut Book, material: Material) -> Result<CaGeneration, CaError> {
        let (now, end) = (self.clock.now(), end_of(&material)?);
        let root = material.root()?;
        let life = self.commit(book, Told::Yes, now, |record, _, sequence| {
            let life = record
                .lifecycle_mut()
                .prepare(end, sequence, now)
                .map_err(wrong_state)?;
            record.add(life.number, material);
            Ok(life)
        })?;
        tracing::info!(
            generation = life.number,
            "the next generation of the CA is prepared, and is told to everybody"
        );
        Ok(told(&life, root, book))
    }

    /// Takes any other step. The book has to be held for writing.
    pub(super) fn step(
        &self,
        book: &mut Book,
        step: RotationStep,
        force: bool,
        followers: &[(Follower, u64)],
    ) -> Result<CaGeneration, CaError> {
        let now = self.clock.now();
        let roots = roots(&book.record)?;
        let take = |record: &mut Record, index: &Index, _| {
            let situation = super::lifecycle::Situation {
                now,
                times: record.times(),
                followers,
                last_leaves: index.last_leaves(),
            };
            let lifecycle: &mut Lifecycle = record.lifecycle_mut();
            if step == RotationStep::Activate {
                lifecycle.distribute(&situation);
            }
            lifecycle.take(step, force, &situation).map_err(wrong_state)
        };
        let is_told = match step {
            RotationStep::Prepare | RotationStep::Taint => Told::Yes,
            RotationStep::Activate => Told::No,
            RotationStep::Remove | RotationStep::Abort => Told::Forgotten,
        };
        let life = self.commit(book, is_told, now, take)?;
        tracing::info!(generation = life.number, state = %life.state(), force, "a step of the CA's rotation was taken");
        let root = roots.into_iter().find(|(number, _)| *number == life.number);
        let root = root.ok_or_else(|| super::material::internal(&"a generation without a root"))?;
        Ok(told(&life, root.1, book))
    }

    /// Everybody has the prepared generation. The book has to be held for writing.
    pub(super) fn distribute(&self, book: &mut Book, followers: &[(Follower, u64)]) -> Result<(), CaError> {
        let now = self.clock.now();
        let distributed = self.commit(book, Told::No, now, |record, index, _| {
            let situation = super::lifecycle::Situation {
                now,
                times: record.times(),
                followers,
                last_leaves: index.last_leaves(),
            };
            Ok(record.lifecycle_mut().distribute(&situation))
        })?;
        if let Some(generation) = distributed {
            tracing::info!(generation, "everybody trusts the next generation of the CA");
        }
        Ok(())
    }

    pub(super) fn generations(&self) -> Result<Vec<CaGeneration>, CaError> {
        let book = self.read()?;
        let roots = roots(&book.record)?;
        let lives = book.record.lifecycle().lives().iter().zip(roots);
        Ok(lives.map(|(life, (_, root))| told(life, root, &book)).collect())
    }

    /// Who follows, by all processes of this directory.
    pub(super) fn live_followers(&self) -> Result<Vec<(Follower, u64)>, CaError> {
        let now = Instant::now();
        if let Some(dir) = &self.dir {
            // A copy: who asks for a bundle does not wait for the disk.
            let mut exchanged = self.followers.lock().clone();
            exchanged.exchange(dir, self.clock.now(), now).map_err(storage)?;
            self.followers.lock().take_over(exchanged);
        }
        Ok(self.followers.lock().live(now))
    }
}

fn roots(record: &Record) -> Result<Vec<(u64, rustls_pki_types::CertificateDer<'static>)>, CaError> {
    let lives = record.lifecycle().lives().iter();
    lives
        .map(|life| Ok((life.number, record.material(life.number)?.root()?)))
        .collect()
}

fn told(life: &Life, root: rustls_pki_types::CertificateDer<'static>, book: &Book) -> CaGeneration {
    let mut generation = CaGeneration::prepared(life.number, root, life.not_after(), life.since());
    generation.state = life.state();
    generation.last_leaf_not_after = match life.state() {
        GenerationState::Aborted => None,
        _ => book.index.last_leaves().get(&life.number).copied(),
    };
    generation
}

fn wrong_state(why: String) -> CaError {
    CaError::new(CaErrorKind::WrongState, why)
}
