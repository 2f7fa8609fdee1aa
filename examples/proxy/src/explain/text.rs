//! The report for people.

use std::fmt;

use super::{By, Outcome, Report, RuleReport, RuleVerdict, SplitReport};
use crate::config::Origin;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            host,
            target,
            source,
            ..
        } = self;
        writeln!(f, "{method} {target}, host {host}, from {source}\n")?;
        for rule in &self.rules {
            write_rule(f, rule)?;
        }
        match &self.by {
            By::Rule(_) => {}
            By::Host if self.rules.is_empty() => writeln!(f, "there are no rules: the host decides")?,
            By::Host => writeln!(f, "no rule holds: the host decides")?,
            By::Nothing(message) => writeln!(f, "{message}")?,
        }
        for split in &self.splits {
            write_split(f, split)?;
        }
        match (&self.outcome, self.is_drawn()) {
            (Outcome::NoRoute, _) => return writeln!(f, "\n→ no_route"),
            (_, true) => writeln!(f, "\n→ one of the shares above")?,
            (outcome, false) => writeln!(f, "\n→ {outcome}")?,
        }
        for (what, to) in &self.changes {
            writeln!(f, "  {what}: {}", Printable(to))?;
        }
        if self.sets_cookie {
            writeln!(f, "  the client is given a cookie that keeps it to its version")?;
        }
        if let Some(authorized) = &self.authorized {
            write!(f, "{authorized}")?;
        }
        if !self.policies.is_empty() {
            writeln!(f, "\npolicies:")?;
        }
        for policy in &self.policies {
            writeln!(f, "  {}: {}  ({})", policy.name, policy.says, policy.at)?;
        }
        Ok(())
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &RuleReport) -> fmt::Result {
    let RuleReport { id, at, verdict, .. } = rule;
    match verdict {
        RuleVerdict::Off => writeln!(f, "- {id}{}: switched off", At(at.as_ref())),
        RuleVerdict::Holds => writeln!(f, "✓ {id}{}: every condition holds", At(at.as_ref())),
        RuleVerdict::Failed {
            condition,
            expected,
            found,
            at: condition_at,
        } => {
            writeln!(f, "✗ {id}{}", At(at.as_ref()))?;
            writeln!(
                f,
                "    condition {condition}{}: {expected}",
                At(condition_at.as_ref())
            )?;
            match found.as_slice() {
                [] => writeln!(f, "    found: nothing"),
                found => writeln!(f, "    found: {found:?}"),
            }
        }
    }
}

fn write_split(f: &mut fmt::Formatter<'_>, split: &SplitReport) -> fmt::Result {
    let whose = if split.of_rollout {
        "its versions share requests"
    } else {
        "its destinations share requests"
    };
    writeln!(f, "  {whose}, {}:", split.why)?;
    for (place, (outcome, percent)) in split.shares.iter().enumerate() {
        let mark = if split.taken == Some(place) { "→" } else { " " };
        writeln!(f, "  {mark} {percent} % {outcome}")?;
    }
    Ok(())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward { service, version } => {
                let version = version.as_deref().unwrap_or("stable");
                write!(f, "{service}, version {version}")
            }
            Self::Respond(status) => write!(f, "answered with {status}"),
            Self::Redirect(status, Some(to)) => write!(f, "redirected with {status} to {}", Printable(to)),
            Self::Redirect(status, None) => write!(f, "redirected with {status}"),
            Self::NoRoute => f.write_str("no_route"),
        }
    }
}

pub(super) struct At<'o>(pub(super) Option<&'o Origin>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(origin) => write!(f, "  ({origin})"),
            None => Ok(()),
        }
    }
}

/// What a terminal would act on is shown, not done.
pub(super) struct Printable<'t>(pub(super) &'t str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        self.0.chars().map(shown).try_for_each(|c| f.write_char(c))
    }
}
