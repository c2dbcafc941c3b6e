//! What the hosts that guests are on measure of them: one request a host, whoever asks for how many guests.
//!
//! Beside the way of everything else: which host a guest is on is what events told, and a host that gives no figures is
//! told of once and makes nothing fail.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;

use super::super::deadline::Deadline;
use super::super::fault::XcpngError;
use super::super::record::{Fields, Ref};
use super::super::rrd::{self, GuestFigures, Told};
use super::{Guest, Guests};

const PATH: &str = "/rrd_updates";
/// How far back a host is asked at first: it writes a row every 5 s, and its clock need not be ours.
const BACK_AT_FIRST: Duration = Duration::from_secs(120);
/// And from then on, by its own clock.
const BACK_SECONDS: u64 = 20;
/// One host's answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What is kept of hosts between two readings.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeMap<Ref, Host>>);

#[derive(Debug, Default)]
struct Host {
    address: Option<String>,
    /// Its clock at the newest row that it told.
    newest_seconds: Option<u64>,
    is_silent: bool,
}

impl Guests {
    /// The newest that hosts measured of these guests, by UUID. A guest is missing where its host measured nothing yet
    /// or does not answer, where it is on no host, and where no event told yet on which.
    pub async fn figures(&self, guests: &[Guest], deadline: Deadline) -> BTreeMap<String, GuestFigures> {
        let mut on: BTreeMap<Ref, Vec<&str>> = BTreeMap::new();
        for guest in guests {
            if let Some(host) = self.pool.seen().host(&guest.reference) {
                on.entry(host).or_default().push(&guest.uuid);
            }
        }
        let mut hosts = self.hosts.0.lock().await;
        hosts.retain(|host, _| on.contains_key(host));
        let mut figures = BTreeMap::new();
        for (reference, uuids) in on {
            let host = hosts.entry(reference.clone()).or_default();
            match self.told(&reference, host, &uuids, deadline.but_within(ANSWER)).await {
                Ok(told) => {
                    host.newest_seconds = told.newest_seconds;
                    host.is_silent = false;
                    figures.extend(told.guests);
                }
                Err(error) => {
                    let was = std::mem::replace(host, Host { is_silent: true, ..Host::default() });
                    if !was.is_silent && !matches!(error, XcpngError::Closed) {
                        tracing::warn!(pool.name = self.pool.name(), "no figures of guests: {error}");
                    }
                }
            }
        }
        figures
    }

    async fn told(
        &self,
        reference: &Ref,
        host: &mut Host,
        uuids: &[&str],
        deadline: Deadline,
    ) -> Result<Told, XcpngError> {
        let address = match &host.address {
            Some(address) => address,
            None => {
                let record = self.pool.get("host.get_record", reference, deadline).await?;
                let address = Fields::new(&record, "host.get_record").text("address")?;
                host.address.insert(address.to_owned())
            }
        };
        let start = match host.newest_seconds {
            Some(newest) => newest.saturating_sub(BACK_SECONDS),
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                now.saturating_sub(BACK_AT_FIRST).as_secs()
            }
        };
        let start = start.to_string();
        let query = [("start", start.as_str()), ("cf", "AVERAGE"), ("interval", "5"), ("json", "true")];
        let text = self.pool.fetch(address, PATH, &query, deadline).await?;
        rrd::newest(&text, uuids).map_err(|what| XcpngError::Answer {
            host: address.clone(),
            method: PATH.to_owned(),
            what,
        })
    }
}
