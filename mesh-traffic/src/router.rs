//! Which way a request goes.
//!
//! [Rules](Rule) are tried first, over all hosts: those of higher priority before those of lower, and of one
//! priority in the order they were given. The first whose conditions all hold decides: it splits requests
//! between destinations by weight, or answers by itself. If none does, the [service](Service) whose hosts
//! name the request's `Host` takes it; if there is none either, the answer is [`NoRoute`].
//!
//! A rule may change what it sends on ([`Rewrite`], [`HeaderEdits`]) or send the client elsewhere ([`Redirect`]). Where
//! versions of one service share requests, by a rule or by a rollout that writes to a [`LiveSplit`], [`Pins`] keep
//! clients to a version. What a table decides, and why, it tells with [`RouteTable::explain`].
//!
//! A [`RouteTable`] holds all of this compiled. It is immutable: a change of configuration compiles a new
//! one and publishes it whole through [`mesh_core::live()`].
//!
//! ```
//! use mesh_core::{RequestHead, ServiceName, Version};
//! use mesh_traffic::router::{Action, Asking, Operator, Split, Subject};
//! use mesh_traffic::{Condition, Destination, RouteTable, Rule, RuleAction, Service};
//!
//! let sample = ServiceName::new("sample-service")?;
//! let wants_v2 = Condition::new(Subject::parse("header", Some("api-version"))?, Operator::Equals, ["v2"])?;
//! let to_v2 = Split::new([Destination::new(sample.clone(), 100).with_version(Some(Version::new("v2")?))])?;
//! let rule = Rule::new("api-v2-routing", RuleAction::Split(to_v2))?.with_priority(100).with_condition(wants_v2);
//! let table = RouteTable::new("dept-barc", [Service::new(sample)], [rule])?;
//!
//! let request = http::Request::get("http://sample-service/orders").header("api-version", "v2").body(())?;
//! let asking = Asking::new(&RequestHead::of(&request), "frontend").with_random(fastrand::u128(..));
//! let decision = table.route(&asking).map_err(mesh_core::Error::from)?;
//! let Action::Forward(target) = decision.action() else { panic!("the rule forwards") };
//! assert_eq!(target.version.as_ref().map(Version::as_str), Some("v2"));
//! assert_eq!(decision.rule(), Some("api-v2-routing"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asking;
mod changes;
mod condition;
mod cors;
mod decision;
mod header_edits;
mod host;
mod index;
mod live_split;
mod matcher;
mod operator;
mod path_change;
mod pins;
mod query;
mod redirect;
mod respond;
mod rule;
mod service;
mod subject;
mod table;
mod weights;

pub use asking::Asking;
pub use changes::{Changes, Rewrite};
pub use condition::{Condition, ConditionError, ConditionPart};
pub use cors::{Cors, CorsError, CrossOrigin};
pub use decision::{Action, Decision, NoRoute, Routed};
pub use header_edits::{HeaderEditError, HeaderEdits};
pub use host::{HostError, HostName, HostPattern};
pub use live_split::{LiveSplit, LiveSplits};
pub use operator::Operator;
pub use path_change::{PathChange, PathError};
pub use pins::{CookieKey, Pins, PinsError, StickyCookie, Why};
pub use redirect::{Redirect, RedirectError};
pub use respond::{Respond, RespondError};
pub use rule::{Destination, Rule, RuleAction, RuleError, Split};
pub use service::Service;
pub use subject::Subject;
pub use table::{Explanation, RouteTable, SplitTaken, TableError, TableProblem, Tried, Verdict};
pub use weights::{Weights, WeightsError};
