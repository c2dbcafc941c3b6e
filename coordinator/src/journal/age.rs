//! How long the journal has been silent, by nats-server's own clock. This file must not know what follows from that.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::{self, ApiError};
use super::{Journal, streams};

impl Journal {
    /// The age of the journal's last message; `None` where it never had one, or the server does not say.
    ///
    /// # Errors
    /// When JetStream does not answer, or refuses.
    pub async fn silent_for(&self) -> Result<Option<Duration>, ApiError> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            ts: String,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            last_ts: String,
        }
        let subject = streams::api_info(streams::JOURNAL);
        let info: Info = api::call(&self.client, &subject, &Value::Null, self.patience.answer).await?;
        Ok(nanos(&info.ts)
            .zip(nanos(&info.state.last_ts))
            .map(|(now, last)| Duration::from_nanos(u64::try_from(now.saturating_sub(last)).unwrap_or(0))))
    }
}

/// Nanoseconds since 1970 of a time as nats-server writes it, `2026-03-01T12:00:00.123456789Z`; `None` for any other form or
/// zone, and for the year 1, which stands for never.
fn nanos(time: &str) -> Option<i64> {
    let time = time.strip_suffix('Z').and_then(|_| OffsetDateTime::parse(time, &Rfc3339).ok())?;
    i64::try_from(time.unix_timestamp_nanos()).ok().filter(|nanos| *nanos >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_nats_server_are_read_to_the_nanosecond() {
        assert_eq!(nanos("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanos("2000-03-01T00:00:00Z"), Some(951_868_800_000_000_000));
        assert_eq!(nanos("2024-02-29T12:00:00.5Z"), Some(1_709_208_000_500_000_000));
        assert_eq!(nanos("2026-11-22T07:40:29.123456789Z"), Some(1_795_333_229_123_456_789));
        for bad in
            ["0001-01-01T00:00:00Z", "", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T07:40:29+01:00"]
        {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }
}
