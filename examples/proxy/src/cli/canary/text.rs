//! A rollout as text.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

/// How it looks.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Whether states have colours.
    pub(super) colours: bool,
}

impl Look {
    fn state(self, status: &str, state: &str) -> String {
        let colour = match status {
            _ if !self.colours => return state.to_owned(),
            "success" => "32",
            "failed" | "rolled_back" => "31",
            "paused" => "33",
            _ => "36",
        };
        format!("\x1b[1;{colour}m{state}\x1b[0m")
    }
}

/// What the admin API says of a service's rollouts, for people.
pub(super) fn of(shown: &Value, look: Look) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, shown, look);
    text
}

fn write_all(text: &mut String, shown: &Value, look: Look) -> std::fmt::Result {
    let service = word(&shown["service"]);
    if let Some(trouble) = shown["trouble"].as_str() {
        writeln!(
            text,
            "{service}: {}: {trouble}",
            look.state("failed", "in trouble")
        )?;
    }
    let rollout = &shown["rollout"];
    if rollout.is_null() {
        let stable = shown["stable"].as_str().unwrap_or("not known");
        return writeln!(
            text,
            "{service}: no rollout yet; stable is {stable}, versions are {}",
            list(&shown["versions"])
        );
    }
    let status = word(&rollout["status"]);
    let ab_test = rollout["ab_test"].as_bool() == Some(true);
    let stages = rollout["stages"].as_array().map_or(0, Vec::len);
    writeln!(
        text,
        "{service} {} -> {}: {}, {}, {}% of the requests{}, for {}",
        word(&rollout["stable"]),
        word(&rollout["canary"]),
        look.state(status, word(&rollout["state"])),
        match ab_test {
            true => "an A/B run".to_owned(),
            false => format!("stage {} of {stages}", rollout["stage"]),
        },
        rollout["weight"],
        match rollout["share"].as_f64() {
            Some(share) => format!(" (it got {:.2}%)", share * 100.0),
            None => String::new(),
        },
        seconds(&rollout["duration_s"]),
    )?;
    if !ab_test {
        writeln!(text, "  stages     {}", stages_of(rollout))?;
    }
    for arm in ["stable", "canary"] {
        let arm_of = &rollout["arms"][arm];
        writeln!(
            text,
            "  {arm:<10} {:<12} {:>9} requests, {} failed ({}), P95 {}, {} endpoints{}",
            word(&arm_of["version"]),
            arm_of["samples"],
            arm_of["errors"],
            percent(&arm_of["error_rate"]),
            milliseconds(&arm_of["response_time_p95"]),
            arm_of["endpoints"]
                .as_u64()
                .map_or_else(|| "?".to_owned(), |count| count.to_string()),
            match arm_of["pinned"].as_u64() {
                Some(1..) => format!(", and {} that asked for it", arm_of["pinned"]),
                _ => String::new(),
            },
        )?;
    }
    if let Some(uneven) = rollout["uneven"].as_str() {
        writeln!(
            text,
            "  uneven     {uneven}: some clients send far more than others"
        )?;
    }
    if let (true, Some(contrast)) = (ab_test, rollout["contrast"]["text"].as_str()) {
        writeln!(text, "  difference {contrast}")?;
    }
    let evidence = &rollout["evidence"];
    if let (Some(against), Some(limit)) = (evidence["against"].as_f64(), evidence["limit"].as_f64()) {
        writeln!(
            text,
            "  evidence   {against:.2} against it, of {limit:.0} for a rollback {}",
            bar(against, limit)
        )?;
    }
    if let Some(verdict) = evidence["verdict"].as_str() {
        writeln!(text, "  verdict    {verdict}")?;
    }
    if let Some(what) = rollout["waits_for"]["what"].as_str() {
        let eta = match rollout["waits_for"]["eta_s"].as_f64() {
            Some(eta) => format!(" (about {})", duration(eta)),
            None => String::new(),
        };
        writeln!(text, "  waits for  {what}{eta}")?;
    }
    let decisions = rollout["decisions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (n, decision) in decisions.iter().take(5).enumerate() {
        let head = if n == 0 { "decisions" } else { "" };
        writeln!(
            text,
            "  {head:<10} after {}: {}: {}",
            seconds(&decision["after_s"]),
            word(&decision["text"]),
            word(&decision["cause"])
        )?;
    }
    Ok(())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn list(value: &Value) -> String {
    let words: Vec<&str> = value.as_array().into_iter().flatten().map(word).collect();
    words.join(", ")
}

fn seconds(value: &Value) -> String {
    value.as_f64().map_or_else(|| "?".to_owned(), duration)
}

fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    mesh_core::duration::display(whole).to_string()
}

fn percent(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |share| format!("{:.2}%", share * 100.0))
}

fn milliseconds(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}ms"))
}

/// `5% 10% [20%] 50% 100%`: the present one in brackets.
fn stages_of(rollout: &Value) -> String {
    let present = rollout["stage"].as_u64().unwrap_or(0);
    let stages = rollout["stages"].as_array().into_iter().flatten();
    let shown = (1..).zip(stages).map(|(n, stage)| match n == present {
        true => format!("[{}%]", stage["weight"]),
        false => format!("{}%", stage["weight"]),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// How far the evidence has come, on a scale of magnitudes.
fn bar(against: f64, limit: f64) -> String {
    const WIDTH: usize = 20;
    let share = (against.max(1.0).ln() / limit.max(1.1).ln()).clamp(0.0, 1.0);
    let full = (share * WIDTH as f64).round() as usize;
    format!(
        "[{}{}]",
        "#".repeat(full.min(WIDTH)),
        ".".repeat(WIDTH - full.min(WIDTH))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_told_with_what_it_waits_for() {
        let shown = json!({
            "service": "orders", "stable": "v1", "versions": ["v1", "v2"], "trouble": null,
            "rollout": {
                "stable": "v1", "canary": "v2", "state": "analyzing", "status": "progressing", "stage": 2,
                "stages": [{ "weight": 5 }, { "weight": 20 }, { "weight": 100 }], "weight": 20, "share": 0.2, "duration_s": 65.2,
                "uneven": "the canary's share of the requests 20% (at most 5%)",
                "arms": {
                    "stable": { "version": "v1", "samples": 800, "errors": 1, "error_rate": 0.00125,
                                "response_time_p95": 120.4, "endpoints": 2, "pinned": 0 },
                    "canary": { "version": "v2", "samples": 200, "errors": 0, "error_rate": 0.0,
                                "response_time_p95": null, "endpoints": 1, "pinned": 3 },
                },
                "evidence": { "against": 10.0, "limit": 100.0, "verdict": "continue: nothing seen yet" },
                "waits_for": { "what": "30s more of this stage", "eta_s": 30.2 },
                "decisions": [{ "after_s": 60.0, "text": "stage 2 begins", "cause": "ann said so" }],
            },
        });
        assert_eq!(
            of(&shown, Look { colours: false }),
            "orders v1 -> v2: analyzing, stage 2 of 3, 20% of the requests (it got 20.00%), for 65s\n\
             \x20 stages     5% [20%] 100%\n\
             \x20 stable     v1           800 requests, 1 failed (0.12%), P95 120ms, 2 endpoints\n\
             \x20 canary     v2           200 requests, 0 failed (0.00%), P95 -, 1 endpoints, and 3 that asked for it\n\
             \x20 uneven     the canary's share of the requests 20% (at most 5%): some clients send far more than others\n\
             \x20 evidence   10.00 against it, of 100 for a rollback [##########..........]\n\
             \x20 verdict    continue: nothing seen yet\n\
             \x20 waits for  30s more of this stage (about 30s)\n\
             \x20 decisions  after 1m: stage 2 begins: ann said so\n"
        );
        assert!(of(&shown, Look { colours: true }).contains("\x1b[1;36manalyzing\x1b[0m"));
    }

    #[test]
    fn an_ab_run_is_told_with_the_difference_of_both_versions() {
        let arm = |version: &str, errors: u64| {
            json!({ "version": version, "samples": 1000, "errors": errors, "error_rate": errors as f64 / 1000.0,
                    "response_time_p95": 120.0, "endpoints": 1, "pinned": 0 })
        };
        let shown = json!({
            "service": "orders", "stable": "v1", "versions": ["v1", "v2"], "trouble": null,
            "rollout": {
                "stable": "v1", "canary": "v2", "state": "analyzing", "status": "progressing", "stage": 1, "ab_test": true,
                "stages": [{ "weight": 50 }, { "weight": 100 }], "weight": 50, "duration_s": 3600.0,
                "arms": { "stable": arm("v1", 30), "canary": arm("v2", 10) },
                "contrast": { "text": "error rate -2.000 points (-3.100 to -0.900)" },
                "evidence": { "against": null, "limit": null, "verdict": null },
                "waits_for": { "what": "somebody to decide", "eta_s": null }, "decisions": [],
            },
        });
        assert_eq!(
            of(&shown, Look { colours: false }),
            "orders v1 -> v2: analyzing, an A/B run, 50% of the requests, for 1h\n\
             \x20 stable     v1           1000 requests, 30 failed (3.00%), P95 120ms, 1 endpoints\n\
             \x20 canary     v2           1000 requests, 10 failed (1.00%), P95 120ms, 1 endpoints\n\
             \x20 difference error rate -2.000 points (-3.100 to -0.900)\n\
             \x20 waits for  somebody to decide\n"
        );
    }

    #[test]
    fn a_service_without_a_rollout_says_what_there_is() {
        let shown = json!({ "service": "orders", "stable": "v1", "versions": ["v1", "v2"], "rollout": null, "trouble": null });
        assert_eq!(
            of(&shown, Look { colours: false }),
            "orders: no rollout yet; stable is v1, versions are v1, v2\n"
        );
    }
}
