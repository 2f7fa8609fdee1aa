//! How the demo goes, in the terminal: a line whenever something was decided, and one every few seconds.

use std::io;

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::client::{Counts, Seen};
use super::place::Place;
use super::{CANARY, STABLE};

/// How often the numbers are told while nothing is decided.
const EVERY: Duration = Duration::from_secs(2);

/// What was told so far.
pub(super) struct Progress {
    colours: bool,
    began: Instant,
    told: Option<(Instant, Seen)>,
    decisions: usize,
}

impl Progress {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            colours,
            began: Instant::now(),
            told: None,
            decisions: 0,
        }
    }

    /// What there is.
    pub(super) fn introduce(&self, place: &Place, fails: bool) {
        let quality = match fails {
            true => "v2 is bad: a fifth of its answers are errors",
            false => "v2 is as good as v1",
        };
        self.say(&format!(
            "a CA, frontend -> service-mesh-proxy -> sample-service v1 x2, v2 x1, mutual TLS between all\n\
             {quality}\n\
             proxy {}   dashboard http://{}/   metrics http://{}/metrics\n\
             configuration {}\n",
            place.inbound(),
            place.admin(),
            place.metrics(),
            place.file().display(),
        ));
    }

    /// How the rollout stands.
    pub(super) fn show(&mut self, shown: &Value, counts: &Counts) {
        let rollout = &shown["rollout"];
        let decisions = rollout["decisions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let new = decisions.len().saturating_sub(self.decisions);
        for decision in decisions.iter().take(new).rev() {
            let (what, why) = (text(&decision["text"]), text(&decision["cause"]));
            self.say(&format!("{}  {}  {why}\n", self.at(), self.bold(what, decision)));
        }
        self.decisions = decisions.len();
        let (now, seen) = (Instant::now(), counts.read());
        let (since, before) = *self.told.get_or_insert((now, seen));
        if now.duration_since(since) < EVERY {
            return;
        }
        self.told = Some((now, seen));
        let elapsed = now.duration_since(since).as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed;
        let evidence = &rollout["evidence"];
        let evidence = match (evidence["against"].as_f64(), evidence["limit"].as_f64()) {
            (Some(against), Some(limit)) => format!("   evidence against it {against:.2} of {limit:.0}"),
            _ => String::new(),
        };
        self.say(&format!(
            "{}  stage {} of {}, {:>3}% to {CANARY}   {STABLE} {:>4.0}/s   {CANARY} {:>4.0}/s   failed {:>3.0}/s{evidence}\n",
            self.at(),
            rollout["stage"],
            rollout["stages"].as_array().map_or(0, Vec::len),
            rollout["weight"],
            rate(seen.stable, before.stable),
            rate(seen.canary, before.canary),
            rate(seen.failed, before.failed),
        ));
    }

    /// What came of it.
    pub(super) fn end(&self, shown: &Value) {
        let rollout = &shown["rollout"];
        let state = text(&rollout["state"]).replace('_', " ");
        let stable = text(&shown["stable"]);
        self.say(&format!("\n{state}: all requests go to {stable}\n"));
    }

    /// What else can be done.
    pub(super) fn invite(&self, place: &Place) {
        let admin = place.admin();
        self.say(&format!(
            "\nthe mesh goes on until it is told to stop (Ctrl-C). Meanwhile:\n  \
             mesh-proxy canary status sample-service --admin http://{admin}\n  \
             curl http://{admin}/api/v1/stats\n  \
             curl http://{}/metrics\n",
            place.metrics(),
        ));
    }

    fn bold(&self, text: &str, decision: &Value) -> String {
        let colour = match decision["decision"].as_str() {
            _ if !self.colours => return text.to_owned(),
            Some("roll_back" | "rolled_back") => "31",
            _ => "32",
        };
        format!("\x1b[1;{colour}m{text}\x1b[0m")
    }

    fn at(&self) -> String {
        format!("{:>4}s", self.began.elapsed().as_secs())
    }

    fn say(&self, text: &str) {
        super::super::print(io::stdout(), text);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
