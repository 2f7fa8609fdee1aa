//! `cert status`

use std::io::Write;

use clap::Args;
use mesh_core::BoxError;
use mesh_tls::Certificate;
use mesh_tls::authority::CaStatus;
use serde_json::{Value, json};

use super::{StateDir, rotate, told};

/// `cert status`
#[derive(Debug, Args)]
pub struct Status {
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: StateDir,
}

impl Status {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let ca = self.at.ca()?;
        let status = ca.status()?;
        if self.json {
            writeln!(out, "{}", as_json(ca.trust_domain(), &status)?)?;
            return Ok(());
        }
        writeln!(out, "trust domain  {}", ca.trust_domain())?;
        writeln!(
            out,
            "bundle        {}, lists signed {}",
            status.sequence,
            told(status.lists_signed_at)
        )?;
        writeln!(
            out,
            "\n{:10}  {:11}  {:20}  {:20}  {:20}  ROOT",
            "GENERATION", "STATE", "SINCE", "ROOT ENDS", "LAST SIGNED ENDS"
        )?;
        for generation in &status.generations {
            writeln!(
                out,
                "{:<10}  {:11}  {:20}  {:20}  {:20}  {}",
                generation.number,
                generation.state.to_string(),
                told(generation.since),
                told(generation.not_after),
                generation.last_leaf_not_after.map_or_else(|| "-".into(), told),
                Certificate::parse(&generation.root)?.subject(),
            )?;
        }
        writeln!(out)?;
        for (follower, in_force) in &status.followers {
            writeln!(out, "{follower} goes by bundle {in_force}")?;
        }
        write_next(out, &status)
    }
}

/// What comes next, and what holds it.
pub(super) fn write_next(out: &mut impl Write, status: &CaStatus) -> Result<(), BoxError> {
    if let Some(next) = rotate::next(status) {
        writeln!(out, "next: {next}")?;
    }
    if let Some(held) = &status.held {
        writeln!(out, "held: {held}")?;
    }
    Ok(())
}

fn as_json(trust_domain: &str, status: &CaStatus) -> Result<Value, BoxError> {
    let mut generations = Vec::new();
    for generation in &status.generations {
        let root = Certificate::parse(&generation.root)?;
        generations.push(json!({
            "number": generation.number,
            "state": generation.state.to_string(),
            "since": told(generation.since),
            "not_after": told(generation.not_after),
            "last_leaf_not_after": generation.last_leaf_not_after.map(told),
            "root": root.subject(),
            "fingerprint": root.fingerprint(),
        }));
    }
    let follower = |(follower, in_force): &(mesh_tls::authority::Follower, u64)| json!({ "identity": follower.id.as_str(), "instance": follower.instance, "bundle": in_force });
    let next = status
        .next
        .map(|(step, at)| json!({ "step": step.to_string(), "at": told(at) }));
    Ok(json!({
        "trust_domain": trust_domain,
        "bundle": status.sequence,
        "lists_signed_at": told(status.lists_signed_at),
        "generations": generations,
        "followers": status.followers.iter().map(follower).collect::<Vec<_>>(),
        "next": next,
        "held": status.held,
    }))
}
