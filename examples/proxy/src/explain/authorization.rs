//! What a service's authorization says to the request, rule by rule.

use std::fmt;

use mesh_core::RequestHead;
use mesh_tls::authorize::{Decision, Explanation, Question, Reason, Rule, Source, Verdict};
use mesh_traffic::Decision as Route;
use serde_json::{Value, json};

use super::{Asked, service_of};
use crate::authorization::{decide, policy, without_query};
use crate::config::{self, Config, Origin};

/// What it says, and why.
#[derive(Clone, Debug)]
pub(super) struct Authorized {
    at: Origin,
    who: Option<String>,
    allowed: bool,
    refused: bool,
    by: By,
    rules: Vec<Tried>,
    /// The path that the request goes on with, if that is what is denied.
    rewritten: Option<String>,
}

#[derive(Clone, Debug)]
struct Tried {
    id: String,
    says: String,
    at: Option<Origin>,
    /// What does not hold; nothing: all of it does.
    failed: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum By {
    Probe,
    Rule(String),
    Nothing,
}

/// Asks the policy of the service that a decision leads to, if it has one.
pub(super) fn of(
    config: &Config,
    route: Option<&Route>,
    head: &RequestHead<'_>,
    asked: &Asked,
) -> Result<Option<Authorized>, String> {
    let Some((route, service)) = route.and_then(|route| Some((route, service_of(config, route)?))) else {
        return Ok(None);
    };
    let Some(written) = &service.authorization else {
        return Ok(None);
    };
    let policy = policy(written)?;
    let mut question = Question::of_request(asked.identity.as_ref(), head.method, head.path());
    if let Some(address) = asked.client {
        question = question.with_address(address);
    }
    let becomes = route
        .changes()
        .and_then(|changes| changes.path(head.path(), head.query()));
    let becomes = becomes.as_deref().map(without_query);
    let rewritten = becomes.map(|path| question.with_path(path));
    let decision = decide(&policy, question, rewritten);
    let Explanation { tried, .. } = policy.explain(&decision.question);
    let rules = tried
        .iter()
        .map(|tried| Tried {
            id: tried.rule.id().to_owned(),
            says: says(tried.rule),
            at: written.rules.get(tried.place).map(|rule| rule.origin.clone()),
            failed: match tried.verdict {
                Verdict::Failed(condition) => Some(condition.as_str()),
                _ => None,
            },
        })
        .collect();
    Ok(Some(Authorized {
        rewritten: becomes
            .filter(|path| decision.question.path() == Some(*path) && *path != head.path())
            .map(str::to_owned),
        ..authorized(written, &decision, rules)
    }))
}

fn authorized(written: &config::Authorization, decision: &Decision<'_, '_>, rules: Vec<Tried>) -> Authorized {
    Authorized {
        at: written.origin.clone(),
        who: decision.question.identity().map(ToString::to_string),
        allowed: decision.is_allowed(),
        refused: !decision.passes(),
        by: match decision.reason {
            Reason::Probe => By::Probe,
            Reason::Allowed(rule) | Reason::Denied(rule) => By::Rule(rule.id().to_owned()),
            _ => By::Nothing,
        },
        rules,
        rewritten: None,
    }
}

/// `allow from a, b; GET; /x`.
fn says(rule: &Rule) -> String {
    fn list<T: ToString>(all: &[T]) -> String {
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
    let from = rule
        .sources()
        .map(|sources: &[Source]| format!("from {}", list(sources)));
    let parts = [from, rule.of_methods().map(list), rule.of_paths().map(list)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => format!("{} everything", rule.action()),
        false => format!("{} {}", rule.action(), parts.join("; ")),
    }
}

impl Authorized {
    pub(super) fn json(&self) -> Value {
        let rule = |tried: &Tried| {
            json!({
                "id": tried.id, "says": tried.says, "at": tried.at.as_ref().map(ToString::to_string),
                "verdict": if tried.failed.is_some() { "failed" } else { "matched" }, "condition": tried.failed,
            })
        };
        let (by, id) = match &self.by {
            By::Probe => ("probe", None),
            By::Rule(id) => ("rule", Some(id)),
            By::Nothing => ("nothing", None),
        };
        json!({
            "identity": self.who, "allowed": self.allowed, "refused": self.refused, "decidedBy": by, "rule": id,
            "rewrittenPath": self.rewritten, "at": self.at.to_string(),
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Authorized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.who.as_deref().unwrap_or("nobody who proved an identity");
        writeln!(f, "\nauthorization  ({}), of {who}:", self.at)?;
        if let Some(path) = &self.rewritten {
            writeln!(
                f,
                "  of the path it is sent on with, {}",
                super::text::Printable(path)
            )?;
        }
        for Tried { id, says, at, failed } in &self.rules {
            let at = super::text::At(at.as_ref());
            match failed {
                Some(failed) => writeln!(f, "  ✗ {id}{at}: {says}\n      {failed}: does not hold")?,
                None => writeln!(f, "  ✓ {id}{at}: {says}")?,
            }
        }
        let verdict = if self.allowed { "allowed" } else { "denied" };
        match &self.by {
            By::Probe => write!(f, "  → {verdict}, as a probe")?,
            By::Rule(id) => write!(f, "  → {verdict} by {id}")?,
            By::Nothing => write!(f, "  → {verdict}, since no rule allows it")?,
        }
        match (self.allowed, self.refused) {
            (false, true) => writeln!(f, ": 403 unauthorized"),
            (false, false) => writeln!(f, ", and passes: mode is audit"),
            _ => writeln!(f),
        }
    }
}
