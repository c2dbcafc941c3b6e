//! What a verification reads: from where the journal can be folded, the audit stream, and whether the journal lost its
//! beginning meanwhile. It compares nothing.

use async_nats::Client;

use super::{COMPACTED, WAIT};
use crate::journal::{Journal, ReadError};
use crate::projector::verify::{AuditVerified, VerifyError, verify_audit};
use crate::snapshot::{Shadow, Which, beginning};

/// The longest stretch of the journal that can be folded.
pub(super) async fn oldest(journal: &Journal) -> Result<Shadow, String> {
    let begins = beginning(journal, Which::Oldest, |_| true).await;
    Ok(begins.map_err(|error| error.to_string())?.unwrap_or_else(Shadow::first))
}

pub(super) async fn audit(client: &Client, audited_index: u64) -> Result<AuditVerified, String> {
    match verify_audit(client, audited_index, WAIT).await {
        Err(VerifyError::Journal(ReadError::Gap { .. })) => Err(COMPACTED.to_owned()),
        audit => audit.map_err(|error| error.to_string()),
    }
}

pub(super) async fn is_compacted_beyond(journal: &Journal, index: u64) -> bool {
    journal.before_first().await.is_ok_and(|before| before.index > index)
}
