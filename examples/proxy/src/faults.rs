//! Trouble on purpose: kept from one configuration to the next, so that it ends when it was to.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use mesh_core::ServiceName;
use mesh_telemetry::Telemetry;
use mesh_telemetry::metrics::Fault;
use mesh_traffic::fault::{FaultKind, FaultLayer, FaultSwitch};
use tokio::time::Instant;

use crate::config::{self, FaultBounds, FaultInjection};

/// How long trouble lasts whose end is not written.
const LASTS: Duration = Duration::from_secs(3600);

/// Ends all trouble of a process from its start, if it says `off`.
const VARIABLE: &str = "MESH_FAULTS";

/// All trouble of this process.
pub struct Faults {
    running: HashMap<Whose, Injected>,
    switch: FaultSwitch,
    /// The environment says so.
    off: bool,
}

/// What trouble belongs to.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Whose {
    Service(ServiceName),
    Rule(Box<str>),
}

#[derive(Clone)]
struct Injected {
    made_from: FaultInjection,
    layer: FaultLayer,
}

/// The trouble of one configuration.
pub struct Compiled {
    all: HashMap<Whose, Injected>,
    bounds: FaultBounds,
}

impl Faults {
    /// None yet. The environment is asked here, once.
    pub fn new() -> Self {
        let said = std::env::var(VARIABLE).ok();
        let off = said.as_deref() == Some("off");
        if let Some(said) = said.filter(|_| !off) {
            tracing::warn!("{VARIABLE}={said} means nothing: expected off, or no such variable");
        }
        Self {
            running: HashMap::new(),
            switch: FaultSwitch::default(),
            off,
        }
    }

    /// The trouble of a configuration: that in use where it says the same. Nothing changes for it before
    /// [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// A share is none: the configuration was not checked as it should have been.
    pub fn compile(&self, mesh: &config::Mesh, telemetry: &Telemetry) -> Result<Compiled, String> {
        let of_service = |service: &config::Service| {
            let whose = Whose::Service(service.name.clone());
            Some((whose, service.fault_injection?))
        };
        let of_rule = |rule: &config::Rule| Some((Whose::Rule(rule.id.clone()), rule.fault_injection?));
        let services = mesh.services.iter().filter_map(of_service);
        let written = services.chain(mesh.rules.iter().filter_map(of_rule));
        let all = written.map(|(whose, config)| {
            let injected = match self.running.get(&whose) {
                Some(running) if running.made_from == config => running.clone(),
                _ => self.injected(&config, telemetry)?,
            };
            Ok((whose, injected))
        });
        Ok(Compiled {
            all: all.collect::<Result<_, String>>()?,
            bounds: mesh.faults,
        })
    }

    fn injected(&self, config: &FaultInjection, telemetry: &Telemetry) -> Result<Injected, String> {
        let left = match config.until {
            Some(until) => until.duration_since(SystemTime::now()).unwrap_or_default(),
            None => LASTS,
        };
        let now = Instant::now();
        // What no clock holds does not end while this process lives.
        let ends = now
            .checked_add(left)
            .unwrap_or_else(|| now + mesh_core::duration::MAX);
        let faults = config
            .compile(ends)
            .ok_or("faultInjection: a percentage that is none")?;
        let telemetry = telemetry.clone();
        let layer = FaultLayer::new(faults)
            .switch(self.switch.clone())
            .observe(move |kind| {
                telemetry.process().fault_injected(match kind {
                    FaultKind::Delay => Fault::Delay,
                    FaultKind::Abort => Fault::Abort,
                    FaultKind::Reset => Fault::Reset,
                    _ => Fault::Throttle,
                });
            });
        Ok(Injected {
            made_from: *config,
            layer,
        })
    }

    /// Keeps this trouble and no other, within its bounds.
    pub fn adopt(&mut self, faults: &Compiled) {
        self.running.clone_from(&faults.all);
        self.switch.set_most(faults.bounds.max_active as usize);
        self.switch.set(faults.bounds.enabled && !self.off);
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiled {
    /// What the requests of a decision get into: the trouble of its rule, else that of its service.
    pub fn met_by(&self, decision: &mesh_traffic::Decision) -> Option<FaultLayer> {
        let rule = decision.rule().map(|id| Whose::Rule(id.into()));
        let service = decision.target();
        let service = service.map(|target| Whose::Service(target.service.clone()));
        let mut met = rule.iter().chain(&service);
        met.find_map(|whose| self.all.get(whose))
            .map(|injected| injected.layer.clone())
    }

    /// Whether there is a request that may ask for trouble.
    pub fn hear_requests(&self) -> bool {
        self.all.values().any(|injected| injected.made_from.on_request)
    }
}
