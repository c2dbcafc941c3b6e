//! The audit stream as an auditor reads it: from the first record on, each link of the hash chain computed again
//! here. It trusts nothing that the coordinator says, and it must not write.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use futures::StreamExt as _;
use serde::Serialize;

use super::ClientError;
use crate::audit::{AuditRecord, NO_HASH};
use crate::subject::ALL_AUDIT;

const AUDIT_STREAM: &str = "BIOXEN_AUDIT";

/// What a whole chain says of itself. Keep `head_hash` elsewhere: a stream cut off at its end still verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerified {
    pub records: u64,
    pub first_number: Option<u64>,
    pub last_number: Option<u64>,
    pub head_hash: String,
}

/// The first record at which the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit record at stream sequence {sequence} breaks the chain: {found}; expected {expected}")]
pub struct BrokenChain {
    pub sequence: u64,
    pub found: String,
    pub expected: String,
}

/// Reads the records that stand in the stream now, in order, and hands each to `keep` with its sequence and its
/// bytes. `subject` narrows it, as `audit_of` a user does; None reads all.
///
/// # Errors
/// [`ClientError::Stream`] where there is no audit stream; whatever `keep` returns.
pub async fn read_audit(
    nats: &async_nats::Client,
    subject: Option<String>,
    mut keep: impl FnMut(u64, &[u8]) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let failed = |source: async_nats::Error| ClientError::stream(AUDIT_STREAM, source);
    let context = async_nats::jetstream::new(nats.clone());
    let stream: Stream = context.get_stream(AUDIT_STREAM).await.map_err(|error| failed(error.into()))?;
    if stream.cached_info().state.messages == 0 {
        return Ok(());
    }
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::All,
        filter_subject: subject.unwrap_or_else(|| ALL_AUDIT.to_owned()),
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(|error| failed(error.into()))?;
    // Pending is counted at creation: it tells where "now" ends, even where the filter matches nothing.
    let mut left = consumer.cached_info().num_pending;
    if left == 0 {
        return Ok(());
    }
    let mut messages = consumer.messages().await.map_err(|error| failed(error.into()))?;
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| failed(error.into()))?;
        let sequence = message.info().map_err(failed)?.stream_sequence;
        keep(sequence, &message.payload)?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Computes the whole chain again.
///
/// # Errors
/// [`ClientError::Audit`] naming the first record that does not hold.
pub async fn verify_audit(nats: &async_nats::Client) -> Result<AuditVerified, ClientError> {
    let mut chain = Chain::default();
    read_audit(nats, None, |sequence, bytes| Ok(chain.follow(sequence, bytes)?)).await?;
    Ok(chain.verified)
}

struct Chain {
    verified: AuditVerified,
}

impl Default for Chain {
    fn default() -> Self {
        let verified = AuditVerified {
            records: 0,
            first_number: None,
            last_number: None,
            head_hash: NO_HASH.to_owned(),
        };
        Self { verified }
    }
}

impl Chain {
    /// Takes the next record of the stream.
    fn follow(&mut self, sequence: u64, bytes: &[u8]) -> Result<(), BrokenChain> {
        let expect = |holds: bool, found: String, expected: String| match holds {
            true => Ok(()),
            false => Err(BrokenChain { sequence, found, expected }),
        };
        let unreadable = |error: serde_json::Error| BrokenChain {
            sequence,
            found: format!("its bytes do not read as a record ({error})"),
            expected: "an audit record in JSON".to_owned(),
        };
        let record: AuditRecord = serde_json::from_slice(bytes).map_err(unreadable)?;
        // The hash covers the known fields in one spelling; anything beside them would go unseen.
        let plain = serde_json::to_vec(&record).map_err(unreadable)?;
        let text = "its bytes are not the record's own compact JSON".to_owned();
        expect(plain == bytes, text, "the fields of an audit record, nothing else".to_owned())?;
        let number = self.verified.last_number.map_or(1, |last| last + 1);
        expect(record.number == number, format!("number {}", record.number), format!("number {number}"))?;
        let previous = &self.verified.head_hash;
        let found = format!("record {number} has previous_hash {}", record.previous_hash);
        expect(record.previous_hash == *previous, found, previous.clone())?;
        let hash = record.expected_hash().map_err(unreadable)?;
        expect(record.hash == hash, format!("record {number} has hash {}", record.hash), hash.clone())?;
        self.verified.records += 1;
        self.verified.first_number.get_or_insert(number);
        self.verified.last_number = Some(number);
        self.verified.head_hash = hash;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    fn record(number: u64, previous_hash: &str) -> AuditRecord {
        let record = AuditRecord {
            number,
            index: number * 3,
            incarnation: 1,
            time_ms: 1_700_000_000_000,
            time: "2023-11-14T22:13:20.000Z".into(),
            user: "alice".parse().unwrap(),
            operator: None,
            action: "create".into(),
            vm_id: Some("c1".parse().unwrap()),
            outcome: Outcome::Accepted,
            code: None,
            request_id: None,
            count: 1,
            note: String::new(),
            previous_hash: String::new(),
            hash: String::new(),
        };
        record.sealed(previous_hash).unwrap()
    }

    fn follow(records: &[AuditRecord]) -> Result<AuditVerified, BrokenChain> {
        let mut chain = Chain::default();
        for (sequence, record) in (1..).zip(records) {
            chain.follow(sequence, &serde_json::to_vec(record).unwrap())?;
        }
        Ok(chain.verified)
    }

    fn three() -> Vec<AuditRecord> {
        let first = record(1, NO_HASH);
        let second = record(2, &first.hash);
        let third = record(3, &second.hash);
        vec![first, second, third]
    }

    #[test]
    fn an_untouched_chain_verifies_and_tells_its_head() {
        let records = three();
        let verified = follow(&records).unwrap();
        assert_eq!((verified.records, &verified.head_hash), (3, &records[2].hash));
    }

    #[test]
    fn a_changed_missing_or_resealed_record_breaks_the_chain() {
        let mut changed = three();
        changed[1].user = "bob".parse().unwrap();
        assert!(follow(&changed).unwrap_err().found.starts_with("record 2 has hash"));

        let mut missing = three();
        missing.remove(1);
        assert_eq!(follow(&missing).unwrap_err().found, "number 3");

        let mut resealed = three();
        resealed[1].user = "bob".parse().unwrap();
        let previous = resealed[0].hash.clone();
        resealed[1] = resealed[1].clone().sealed(&previous).unwrap();
        assert_eq!(follow(&resealed).unwrap_err().sequence, 3);
    }

    #[test]
    fn a_field_slipped_in_beside_the_hashed_ones_is_seen() {
        let mut value = serde_json::to_value(&three()[0]).unwrap();
        value["remark"] = "approved".into();
        let error = Chain::default().follow(1, value.to_string().as_bytes()).unwrap_err();
        assert!(error.found.contains("not the record's own"), "{error}");
    }
}
