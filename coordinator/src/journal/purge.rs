//! Purging the journal's beginning. What may go is for the caller to know: this file only asks, and looks at the outcome.

use serde::Deserialize;
use serde_json::json;

use super::api::{self, ApiError};
use super::{Journal, streams};

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

impl Journal {
    /// Purges every batch before this sequence; how many there were.
    ///
    /// # Errors
    /// When JetStream does not answer, or refuses.
    pub async fn purge_before(&self, sequence: u64) -> Result<u64, ApiError> {
        let subject = streams::api_purge(streams::JOURNAL);
        let purged: Purged =
            api::call(&self.client, &subject, &json!({ "seq": sequence }), self.patience.answer).await?;
        Ok(purged.purged)
    }
}
