//! Words of a CA, as its files hold them.

use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::authority::GenerationState;

/// A time in whole seconds since 1970: what a certificate can say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Seconds(u64);

impl Seconds {
    pub(super) fn time(self) -> SystemTime {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0));
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Seconds {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs())
    }
}

/// A time without its fraction of a second.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    Seconds::from(time).time()
}

/// A state, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredState(pub(super) GenerationState);

impl Serialize for StoredState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StoredState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = GenerationState::ALL
            .into_iter()
            .find(|state| state.to_string() == name);
        known
            .map(Self)
            .ok_or_else(|| D::Error::custom("an unknown state"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_times_are_read_back() {
        for state in GenerationState::ALL {
            let text = serde_json::to_string(&StoredState(state)).expect("written");
            let read: StoredState = serde_json::from_str(&text).expect("read");
            assert_eq!(read, StoredState(state));
        }
        assert!(serde_json::from_str::<StoredState>("\"asleep\"").is_err());
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        assert_eq!(
            whole_seconds(time),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
        );
    }
}
