//! The mirrors of rules: kept from one configuration to the next, so that copies under way count on.

use std::collections::HashMap;

use mesh_telemetry::Telemetry;
use mesh_telemetry::metrics::Mirrored;
use mesh_traffic::Decision;
use mesh_traffic::fault::Chance;
use mesh_traffic::mirror::{Ending, Mirror};

use crate::config::{self, Percent};

/// All mirrors of this process, each under the id of its rule and its place there.
#[derive(Default)]
pub struct Mirrors {
    running: HashMap<Key, Kept>,
}

type Key = (Box<str>, usize);

#[derive(Clone)]
struct Kept {
    share: Percent,
    mirror: Mirror,
}

/// The mirrors of one configuration.
pub struct Compiled {
    all: HashMap<Key, (Kept, config::Mirror)>,
}

impl Mirrors {
    /// The mirrors of a configuration: those in use where the share is the same. Nothing changes for them before
    /// [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// A share is none: the configuration was not checked as it should have been.
    pub fn compile(&self, mesh: &config::Mesh, telemetry: &Telemetry) -> Result<Compiled, String> {
        let written = mesh.rules.iter().flat_map(|rule| {
            let mirrors = rule.mirrors.iter().enumerate();
            mirrors.map(|(place, mirror)| ((rule.id.clone(), place), mirror))
        });
        let all = written.map(|(key, config)| {
            let kept = match self.running.get(&key) {
                Some(running) if running.share == config.percentage => running.clone(),
                _ => Kept {
                    share: config.percentage,
                    mirror: mirror(config.percentage, telemetry)?,
                },
            };
            Ok((key, (kept, config.clone())))
        });
        Ok(Compiled {
            all: all.collect::<Result<_, String>>()?,
        })
    }

    /// Keeps these mirrors and no others.
    pub fn adopt(&mut self, mirrors: &Compiled) {
        let kept = mirrors
            .all
            .iter()
            .map(|(key, (kept, _))| (key.clone(), kept.clone()));
        self.running = kept.collect();
    }
}

impl Compiled {
    /// What copies the requests of a decision, and where copies go.
    pub fn met_by(&self, decision: &Decision) -> impl Iterator<Item = (Mirror, &config::Mirror)> {
        let rule = decision.rule().map(Box::<str>::from);
        (0..).map_while(move |place| {
            let (kept, config) = self.all.get(&(rule.clone()?, place))?;
            Some((kept.mirror.clone(), config))
        })
    }
}

fn mirror(share: Percent, telemetry: &Telemetry) -> Result<Mirror, String> {
    let chance = Chance::percent(share.get()).ok_or("mirror: a percentage that is none")?;
    let telemetry = telemetry.clone();
    let mirror = Mirror::builder(chance).observe(move |ending| {
        telemetry.process().mirrored(match ending {
            Ending::Answered => Mirrored::Answered,
            Ending::Busy => Mirrored::Busy,
            Ending::Lagging => Mirrored::Lagging,
            Ending::CutShort => Mirrored::CutShort,
            Ending::TimedOut => Mirrored::TimedOut,
            _ => Mirrored::Failed,
        });
    });
    Ok(mirror.build())
}
