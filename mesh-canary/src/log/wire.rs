//! How evidence and names are written: numbers of nanoseconds, so that nothing is lost, and edges once a window.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Refusals, Repeats, Traffic};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::analyzer::{Analysed, Window};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    from: u64,
    until: u64,
    weight: u8,
    stable: WrittenTraffic,
    canary: WrittenTraffic,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    analysed: Option<Analysed>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTraffic {
    requests: u64,
    errors: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_users: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
    #[serde(default, skip_serializing_if = "is_none")]
    circuit_open: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    no_healthy_endpoint: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    repeats: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    repeated_errors: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pinned: u64,
    covered: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edges: Vec<u64>,
    latencies: Vec<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// 584 years fit; what is longer is not from this mesh.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn written(traffic: &Traffic) -> WrittenTraffic {
    WrittenTraffic {
        requests: traffic.requests,
        errors: traffic.errors,
        failed_users: traffic.failed_users,
        users: traffic.users,
        circuit_open: traffic.refusals.circuit_open,
        no_healthy_endpoint: traffic.refusals.no_healthy_endpoint,
        repeats: traffic.repeats.requests,
        repeated_errors: traffic.repeats.errors,
        pinned: traffic.pinned,
        covered: nanos(traffic.covered),
        edges: traffic.latency.edges().iter().copied().map(nanos).collect(),
        latencies: traffic.latency.counts().to_vec(),
    }
}

fn read(traffic: WrittenTraffic) -> Result<Traffic, &'static str> {
    let edges: Arc<[Duration]> = traffic.edges.into_iter().map(Duration::from_nanos).collect();
    Ok(Traffic {
        requests: traffic.requests,
        errors: traffic.errors,
        failed_users: traffic.failed_users,
        users: traffic.users,
        refusals: Refusals {
            circuit_open: traffic.circuit_open,
            no_healthy_endpoint: traffic.no_healthy_endpoint,
        },
        repeats: Repeats {
            requests: traffic.repeats,
            errors: traffic.repeated_errors,
        },
        pinned: traffic.pinned,
        latency: Histogram::new(edges, traffic.latencies).ok_or("latencies do not fit their edges")?,
        covered: Duration::from_nanos(traffic.covered),
    })
}

pub(super) fn serialize<S: Serializer>(window: &Window, serializer: S) -> Result<S::Ok, S::Error> {
    let written = WrittenWindow {
        from: nanos(window.from),
        until: nanos(window.until),
        weight: window.weight,
        stable: written(&window.stable),
        canary: written(&window.canary),
        analysed: window.analysed.clone(),
    };
    written.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Window, D::Error> {
    let written = WrittenWindow::deserialize(deserializer)?;
    let window = Window::new(
        Duration::from_nanos(written.from),
        Duration::from_nanos(written.until),
    );
    Ok(window
        .with_weight(written.weight)
        .with_stable(read(written.stable).map_err(D::Error::custom)?)
        .with_canary(read(written.canary).map_err(D::Error::custom)?)
        .with_analysed(written.analysed))
}

/// A name as its text.
pub(super) mod name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(name: &impl AsRef<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_ref())
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Versions as their texts.
pub(super) mod names {
    use mesh_core::Version;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(names: &[Version], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(Version::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Version>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}
