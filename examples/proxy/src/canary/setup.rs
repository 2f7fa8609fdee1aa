//! What the rollouts of a service go by.

use mesh_canary::plan::Plan;
use mesh_canary::template::Template;
use mesh_core::Version;
use mesh_core::split::Weights;
use mesh_lb::Fleet;
use mesh_lb::fleet::EndpointState;
use mesh_traffic::LiveSplit;
use tokio::time::Instant;

use super::Numbers;

/// What endpoints without a version are called.
const STABLE: &str = "stable";

/// What the rollouts of a service go by, as the configuration says.
#[derive(Clone)]
pub struct Setup {
    /// How they go.
    pub plan: Plan,
    /// What else is asked about them.
    pub templates: Vec<Template>,
    /// The server that is asked, if one is: where another is, the numbers are others.
    pub url: Option<String>,
    /// Where numbers come from.
    pub numbers: Numbers,
    /// The shares of the versions.
    pub split: LiveSplit,
    /// The endpoints.
    pub fleet: Fleet,
    /// The version that is stable before any rollout.
    pub stable: Option<Version>,
}

/// How many endpoints two versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The stable one.
    pub stable: usize,
    /// The new one.
    pub canary: usize,
}

impl Setup {
    /// Whether a controller that was opened for the other goes on with this one.
    pub fn keeps_controller_of(&self, other: &Self) -> bool {
        let same_split = self.split.is_same_as(&other.split);
        same_split && self.templates == other.templates && self.url == other.url
    }

    /// Whether it is known which endpoints there are.
    pub fn is_known(&self) -> bool {
        self.fleet.discovery().is_none_or(|discovery| discovery.synced)
    }

    /// How many endpoints of a version would take requests that are sent to it. Those that are ejected are among them:
    /// what they do to requests is for the judge of the rollout, and as long as there is no other they are asked.
    pub fn endpoints(&self, stable: &Version, canary: &Version) -> Endpoints {
        let takes = |state| matches!(state, EndpointState::Healthy | EndpointState::Ejected);
        Endpoints {
            stable: self.count(stable, takes),
            canary: self.count(canary, takes),
        }
    }

    /// How many endpoints of a version are well.
    pub fn ready(&self, version: &Version) -> usize {
        self.count(version, |state| state == EndpointState::Healthy)
    }

    fn count(&self, version: &Version, takes: impl Fn(EndpointState) -> bool) -> usize {
        let status = self.fleet.status(Instant::now());
        let of_version = |of: Option<&Version>| match of {
            Some(of) => of == version,
            None => version.as_str() == STABLE || self.stable.as_ref() == Some(version),
        };
        let counted = status
            .iter()
            .filter(|endpoint| of_version(endpoint.endpoint.version.as_ref()) && takes(endpoint.state));
        counted.count()
    }

    /// The versions there are, by their names.
    pub fn versions(&self) -> Vec<String> {
        let name = |version: &Option<Version>| {
            version
                .as_ref()
                .map_or_else(|| STABLE.to_owned(), ToString::to_string)
        };
        self.split.versions().iter().map(name).collect()
    }

    /// Who is stable, if no rollout has said so: what the configuration says, endpoints without a version, or the only
    /// other version.
    pub fn stable_beside(&self, canary: &Version) -> Option<Version> {
        if self.stable.is_some() {
            return self.stable.clone();
        }
        let status = self.fleet.status(Instant::now());
        let versions = status.iter().map(|endpoint| endpoint.endpoint.version.as_ref());
        let mut others: Vec<Option<&Version>> = versions.filter(|version| *version != Some(canary)).collect();
        others.sort_unstable();
        others.dedup();
        match others.as_slice() {
            [None, ..] => STABLE.parse().ok(),
            [Some(only)] => Some((*only).clone()),
            _ => None,
        }
    }

    /// Everything to whoever is stable without a rollout.
    pub fn at_rest(&self) -> Option<Weights> {
        let stable = self.split.versions().first().and_then(Option::clone);
        let stable = stable.or_else(|| STABLE.parse().ok())?;
        Some(Weights::all_to(self.split.service().clone(), stable))
    }
}
