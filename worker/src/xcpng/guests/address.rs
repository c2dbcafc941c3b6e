//! Where a running guest is reached: what its tools tell the pool.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::super::deadline::Deadline;
use super::super::fault::{XcpngError, code};
use super::super::seen::networks_of;
use super::{Guest, Guests, PowerState};

/// A guest of which no event told is read so often.
const READ_AGAIN: Duration = Duration::from_secs(5);

impl Guests {
    /// Waits until the guest shows an address on its first interface. XAPI forgets the address at each start.
    ///
    /// # Errors
    /// None by the deadline; the guest no longer runs.
    pub async fn address(&self, guest: &Guest, deadline: Deadline) -> Result<IpAddr, XcpngError> {
        let mut changes = self.pool.seen().changes();
        loop {
            changes.mark_unchanged();
            if let Some(address) =
                self.pool.seen().networks(&guest.reference).as_ref().and_then(first_address)
            {
                return Ok(address);
            }
            if deadline.passed() {
                let seconds = self.pool.settings().vm_creation_timeout.as_secs();
                return Err(XcpngError::NoAddress { guest: guest.shown(), seconds });
            }
            let mut quiet = false;
            let round = Deadline::within(READ_AGAIN.min(deadline.left()));
            while !quiet
                && self.pool.seen().networks(&guest.reference).as_ref().and_then(first_address).is_none()
            {
                quiet = round.bound("a change", changes.changed()).await.is_err();
            }
            if quiet && let Some(address) = self.read_address(guest, deadline).await? {
                return Ok(address);
            }
        }
    }

    async fn read_address(&self, guest: &Guest, deadline: Deadline) -> Result<Option<IpAddr>, XcpngError> {
        let deadline = deadline.but_within(READ_AGAIN);
        let now = match self.guest(&guest.reference, deadline).await {
            Err(error) if error.passes() || error.outcome_unknown() => return Ok(None),
            now => now?,
        };
        if !matches!(now.power, PowerState::Running | PowerState::Paused) {
            let found = now.power.to_string();
            return Err(XcpngError::State {
                guest: now.shown(),
                found,
                expected: "Running until it has an address",
            });
        }
        let Some(metrics) = now.guest_metrics else { return Ok(None) };
        match self.pool.get("VM_guest_metrics.get_record", &metrics, deadline).await {
            Ok(record) => Ok(networks_of(&record).as_ref().and_then(first_address)),
            Err(error) if error.is(code::HANDLE_INVALID) || error.passes() || error.outcome_unknown() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Of the first interface; IPv4 before IPv6, and no address that means only the link.
fn first_address(networks: &BTreeMap<String, String>) -> Option<IpAddr> {
    let older = networks.get("0/ip").into_iter();
    let numbered =
        networks.iter().filter(|(name, _)| name.starts_with("0/ipv4/")).map(|(_, address)| address);
    let sixth = networks.iter().filter(|(name, _)| name.starts_with("0/ipv6/")).map(|(_, address)| address);
    older.chain(numbered).chain(sixth).filter_map(|text| text.parse().ok()).find(|address| match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_unspecified(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_can_be_reached() {
        let of = |pairs: &[(&str, &str)]| {
            let networks =
                pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            first_address(&networks).map(|address| address.to_string())
        };
        assert_eq!(of(&[("0/ip", "10.0.0.9"), ("0/ipv6/0", "fd00::9")]).as_deref(), Some("10.0.0.9"));
        assert_eq!(of(&[("0/ip", "169.254.1.1"), ("0/ipv4/0", "10.0.0.8")]).as_deref(), Some("10.0.0.8"));
        assert_eq!(of(&[("0/ipv6/0", "fe80::1"), ("0/ipv6/1", "fd00::9")]).as_deref(), Some("fd00::9"));
        assert_eq!(of(&[("1/ip", "10.0.0.9"), ("0/ip", "none yet")]), None);
    }
}
