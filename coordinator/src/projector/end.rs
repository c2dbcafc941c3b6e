//! Where a sink's stream ends: which event or record of which entry stands there last.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;

use super::sink::Kind;
use crate::journal::api::{self, ApiError};

const HEADER_PLACE: &str = "Bioxen-Place";
/// How far back an own message is looked for where somebody else's stands at the end.
const MOST_FOREIGN: u64 = 1_000;

/// An event or record: the `n`th, from 0, that an entry gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) incarnation: u64,
    pub(super) index: u64,
    pub(super) n: u64,
    /// How many the entry gives.
    pub(super) of: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}/{}", self.incarnation, self.index, self.n, self.of)
    }
}

impl Place {
    /// `<incarnation>-<index>-<n>`.
    pub(super) fn message_id(&self) -> String {
        format!("{}-{}-{}", self.incarnation, self.index, self.n)
    }

    pub(super) fn is_last_of_entry(&self) -> bool {
        self.n + 1 == self.of
    }

    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(HEADER_PLACE, self.to_string());
    }

    fn read(headers: &HeaderMap) -> Option<Self> {
        let (id, of) = headers.get(HEADER_PLACE)?.as_str().split_once('/')?;
        let mut numbers = id.split('-').map(str::parse);
        let place = Self {
            incarnation: numbers.next()?.ok()?,
            index: numbers.next()?.ok()?,
            n: numbers.next()?.ok()?,
            of: of.parse().ok()?,
        };
        numbers.next().is_none().then_some(place)
    }
}

/// The stream's last sequence, and our last message there.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// What the next message must expect.
    pub(super) sequence: u64,
    /// None where the stream holds nothing of ours.
    pub(super) place: Option<Place>,
    pub(super) payload: Bytes,
}

/// Reads the end from the stream's leader.
pub(super) async fn read_end(client: &Client, kind: Kind, wait: Duration) -> Result<End, ApiError> {
    let state = api::stream_state(client, kind.stream(), wait).await?;
    let mut end = End { sequence: state.last_sequence, place: None, payload: Bytes::new() };
    if state.messages == 0 {
        return Ok(end);
    }
    let failed = |reason: String| ApiError::Failed { subject: kind.stream().to_owned(), reason };
    let mut context = jetstream::new(client.clone());
    context.set_timeout(wait);
    let stream =
        context.get_stream_no_info(kind.stream()).await.map_err(|error| failed(error.to_string()))?;
    let message = match stream.get_last_raw_message_by_subject(kind.subjects()).await {
        Ok(message) => message,
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => return Ok(end),
        Err(error) => return Err(failed(error.to_string())),
    };
    end.sequence = end.sequence.max(message.sequence);
    let (mut sequence, mut found) = (message.sequence, Some((message.headers, message.payload)));
    let oldest = message.sequence.saturating_sub(MOST_FOREIGN).max(state.first_sequence);
    loop {
        if let Some((headers, payload)) = found
            && let Some(place) = Place::read(&headers)
        {
            return Ok(End { place: Some(place), payload, ..end });
        }
        if sequence <= oldest {
            let reason = format!("none of its last {MOST_FOREIGN} messages is the projector's");
            return Err(ApiError::Unreadable { subject: kind.stream().to_owned(), reason });
        }
        sequence -= 1;
        found = match stream.get_raw_message(sequence).await {
            Ok(message) => Some((message.headers, message.payload)),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => None,
            Err(error) => return Err(failed(error.to_string())),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_header() {
        let place = Place { incarnation: 2, index: 57, n: 0, of: 3 };
        let mut headers = HeaderMap::new();
        assert_eq!(Place::read(&headers), None);
        place.write(&mut headers);
        assert_eq!(Place::read(&headers), Some(place));
        headers.insert(HEADER_PLACE, "2-57-0-1/3");
        assert_eq!(Place::read(&headers), None);
    }
}
