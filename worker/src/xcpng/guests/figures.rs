//! What the host that a guest is on measures of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::deadline::Deadline;
use super::super::fault::XcpngError;
use super::super::record::Fields;
use super::super::rrd::{self, GuestFigures};
use super::{Guest, Guests};

const PATH: &str = "/rrd_updates";
/// How far back is asked for: hosts write a row every 5 s, and their clocks need not be ours.
const BACK: Duration = Duration::from_secs(120);

impl Guests {
    /// The newest that the guest's host measured; none where it measured nothing yet, or the guest is on no host.
    ///
    /// # Errors
    /// The pool or the host does not answer, or otherwise than expected.
    pub async fn figures(
        &self,
        guest: &Guest,
        deadline: Deadline,
    ) -> Result<Option<GuestFigures>, XcpngError> {
        let record = self.pool.get("VM.get_record", &guest.reference, deadline).await?;
        let Some(host) = Fields::new(&record, "VM.get_record").reference("resident_on")? else {
            return Ok(None);
        };
        let record = self.pool.get("host.get_record", &host, deadline).await?;
        let address = Fields::new(&record, "host.get_record").text("address")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = now.saturating_sub(BACK).as_secs().to_string();
        let query = [
            ("start", start.as_str()),
            ("cf", "AVERAGE"),
            ("interval", "5"),
            ("vm_uuid", &guest.uuid),
            ("json", "true"),
        ];
        let text = self.pool.fetch(address, PATH, &query, deadline).await?;
        rrd::newest(&text, &guest.uuid).map_err(|what| XcpngError::Answer {
            host: address.to_owned(),
            method: PATH.to_owned(),
            what,
        })
    }
}
