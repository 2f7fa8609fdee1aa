//! `cert rotate`

use std::io::Write;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use mesh_core::BoxError;
use mesh_tls::authority::{CaStatus, GenerationState, ManagedAuthority, RotateRequest, RotationStep};

use super::{StateDir, block_on, status, told};

/// `cert rotate`
#[derive(Debug, Args)]
pub struct Rotate {
    /// The step; by default the next one of a planned rotation
    #[arg(long, value_enum)]
    step: Option<Step>,
    /// Take it although not everybody trusts the new generation, or certificates of the old one are still good: those fail
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: StateDir,
}

/// A step, as the shell writes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Step {
    /// Make the next generation, and tell everybody to trust it
    Prepare,
    /// Let the prepared generation sign, once everybody trusts it
    Activate,
    /// The key of the generation that signs may be known to others: replace it and what it signed
    Taint,
    /// Stop trusting a generation that was replaced, once its last certificate has ended
    Remove,
    /// Give up the prepared generation
    Abort,
}

impl From<Step> for RotationStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Prepare => Self::Prepare,
            Step::Activate => Self::Activate,
            Step::Taint => Self::Taint,
            Step::Remove => Self::Remove,
            Step::Abort => Self::Abort,
        }
    }
}

impl Rotate {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let ca = self.at.ca()?;
        let step = match self.step {
            Some(step) => step.into(),
            None => ca.status()?.planned_step(SystemTime::now()),
        };
        let mut request = RotateRequest::new(step);
        request.force = self.force;
        let generation = block_on(ca.rotate(request))??;
        writeln!(
            out,
            "{step}: generation {} is {}",
            generation.number, generation.state
        )?;
        writeln!(out, "{}", meaning(generation.state))?;
        status::write_next(out, &ca.status()?)
    }
}

fn meaning(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Prepared => "Proxies learn to trust it; it signs nothing yet.",
        GenerationState::Distributed => "Everybody trusts it; it signs nothing yet.",
        GenerationState::Active => {
            "It signs from now on. The one before stays trusted until its last certificate has ended."
        }
        GenerationState::Tainted => {
            "Who has a certificate of it renews at once. Its successor is made and takes over by itself where a proxy runs; \
             else: mesh-proxy cert rotate"
        }
        GenerationState::Retiring => "It signs nothing any more.",
        GenerationState::Removed => "Nobody trusts it any more, and its key is gone.",
        GenerationState::Aborted => "It signed nothing, and its key is gone.",
        _ => "",
    }
}

/// What comes next, in words.
pub(super) fn next(status: &CaStatus) -> Option<String> {
    let (step, at) = status.next?;
    let what = match step {
        RotationStep::Prepare => "the next generation is made",
        RotationStep::Activate => "the prepared generation takes over",
        RotationStep::Remove => "the generation that was replaced is removed",
        RotationStep::Abort => "the prepared generation, which is too old by now, is given up",
        _ => return None,
    };
    let when = match at <= SystemTime::now() {
        true => "now".into(),
        false => format!("at {}", told(at)),
    };
    Some(format!(
        "{what} {when}, by any proxy that runs, or by mesh-proxy cert rotate --step {step}"
    ))
}
