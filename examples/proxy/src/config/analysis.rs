//! How a canary is judged: `analysis` and `analysisTemplates`.

use std::path::PathBuf;

use super::identity::HttpUrl;
use super::origin::Origin;
use super::share::Ratio;

/// `canaryDeployment.analysis`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// Where the numbers come from. Default: the proxy's own.
    pub source: AnalysisSource,
    /// How they are judged. Default: sequentially.
    pub judge: Judge,
    /// How often a good canary may be rolled back. Default 0.01.
    pub false_rollback: Ratio,
}

/// Where the numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnalysisSource {
    /// What this proxy counted itself.
    Builtin,
    /// A Prometheus server.
    Prometheus {
        /// Its address.
        url: HttpUrl,
    },
}

/// How numbers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judge {
    /// A sequential test against the stable version.
    Sequential,
    /// The criteria alone.
    Threshold,
}

/// An analysis template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnalysisTemplate {
    /// Written in place.
    Inline {
        /// Where.
        origin: Origin,
        /// Its name.
        name: Box<str>,
        /// The PromQL query; `{{.Service}}` and `{{.Version}}` stand for what is judged.
        query: Box<str>,
        /// When it is a success.
        success_condition: Option<Box<str>>,
        /// When it is a failure.
        failure_condition: Option<Box<str>>,
    },
    /// A file that holds an `AnalysisTemplate` of Argo Rollouts.
    File {
        /// Where it was named.
        origin: Origin,
        /// The file.
        path: PathBuf,
    },
}
