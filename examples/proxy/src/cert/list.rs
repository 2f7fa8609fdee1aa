//! `cert list`

use std::io::Write;
use std::time::SystemTime;

use clap::Args;
use mesh_core::BoxError;
use serde_json::json;

use super::{StateDir, told};

/// `cert list`
#[derive(Debug, Args)]
pub struct List {
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: StateDir,
}

impl List {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let (issued, now) = (self.at.ca()?.issued()?, SystemTime::now());
        if !self.json {
            writeln!(
                out,
                "{:32}  {:8}  {:20}  {:10}  IDENTITY",
                "SERIAL", "STATE", "GOOD UNTIL", "GENERATION"
            )?;
        }
        for record in issued {
            let state = match record.revoked {
                _ if record.not_after < now => "expired",
                Some(_) => "revoked",
                None => "good",
            };
            if self.json {
                let line = json!({
                    "serial": record.serial.to_string(),
                    "identity": record.spiffe_id.as_str(),
                    "state": state,
                    "not_before": told(record.not_before),
                    "not_after": told(record.not_after),
                    "issued_at": told(record.issued_at),
                    "key_sha256": record.key_hash,
                    "generation": record.generation,
                    "revoked_at": record.revoked.map(|(at, _)| told(at)),
                    "reason": record.revoked.map(|(_, reason)| reason.to_string()),
                });
                writeln!(out, "{line}")?;
            } else {
                let (serial, until) = (record.serial.to_string(), told(record.not_after));
                let (generation, id) = (record.generation, &record.spiffe_id);
                write!(out, "{serial:32}  {state:8}  {until:20}  {generation:<10}  {id}")?;
                match record.revoked {
                    Some((at, reason)) => writeln!(out, "  revoked {}: {reason}", told(at))?,
                    None => writeln!(out)?,
                }
            }
        }
        Ok(())
    }
}
