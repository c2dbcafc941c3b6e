//! What is shown of the guest behind a VM: who it is, once it is up, and what its host measures of it.
//!
//! ```text
//!   keeper --is--> Shown <--measure-- hosts, every 10 s
//!                    '--status--> query
//! ```
//!
//! Beside the path of quanta: nobody waits for it, and nothing fails by it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bioxen_protocol::reply::{GuestMeasured, GuestStatus};
use futures::future::join_all;

use super::Guarded;
use super::host::Host;
use crate::xcpng::guests::Guest;
use crate::xcpng::{Deadline, GuestFigures};

/// Between two readings; hosts write a row every 5 s.
const EVERY: Duration = Duration::from_secs(10);
/// One reading of a pool, whatever its hosts are like.
const READING: Duration = Duration::from_secs(30);
/// What was measured earlier is not shown.
const AGE_MOST: Duration = Duration::from_secs(60);

/// A VM's guest as it is shown; clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Option<Known>>>);

#[derive(Debug)]
struct Known {
    /// Whoever holds a pool keeps it open, and this needs none.
    host: Weak<Host>,
    guest: Guest,
    address: IpAddr,
    measured: Option<Measured>,
}

/// Figures, and when they were read.
#[derive(Debug, Clone, Copy)]
struct Measured {
    figures: GuestFigures,
    read: Instant,
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That a guest has come up, or is reached again.
    pub(super) fn is(&self, host: &Arc<Host>, guest: &Guest, address: IpAddr) {
        let mut known = self.lock();
        let before = known.take().filter(|before| before.guest.uuid == guest.uuid);
        let measured = before.and_then(|before| before.measured);
        *known = Some(Known { host: Arc::downgrade(host), guest: guest.clone(), address, measured });
    }

    pub(super) fn status(&self) -> Option<GuestStatus> {
        let known = self.lock();
        let Known { guest, address, measured, .. } = known.as_ref()?;
        let measured = measured.and_then(|measured| measured.at(Instant::now(), SystemTime::now()));
        Some(GuestStatus { name: guest.name.clone(), address: address.to_string(), measured })
    }

    fn guest(&self) -> Option<(Arc<Host>, Guest)> {
        let known = self.lock();
        let Known { host, guest, .. } = known.as_ref()?;
        Some((host.upgrade()?, guest.clone()))
    }

    /// Another guest may have taken its place meanwhile.
    fn measured(&self, guest: &Guest, figures: GuestFigures) {
        if let Some(known) = self.lock().as_mut().filter(|known| known.guest.uuid == guest.uuid) {
            known.measured = Some(Measured { figures, read: Instant::now() });
        }
    }
}

impl Measured {
    /// As it is shown now; none where it is old. A row is as old as it lies behind the newest of its host, whose clock
    /// need not be ours.
    fn at(&self, now: Instant, time: SystemTime) -> Option<GuestMeasured> {
        let GuestFigures { cpu_percent, memory_bytes, behind } = self.figures;
        let age = now.saturating_duration_since(self.read) + behind;
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let measured_at_ms = u64::try_from(since_1970.saturating_sub(age).as_millis()).unwrap_or(u64::MAX);
        (age <= AGE_MOST).then_some(GuestMeasured { cpu_percent, memory_bytes, measured_at_ms })
    }
}

/// Has guests that are up measured, until nobody has keepers any more.
pub(super) async fn measure(keepers: Weak<Guarded>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(keepers) = keepers.upgrade() else { return };
        let shown: Vec<Shown> = keepers.lock().by_key.values().map(|keeper| keeper.shown.clone()).collect();
        drop(keepers);
        join_all(by_pool(shown).into_iter().map(Reading::read)).await;
    }
}

/// Guests of one pool that are up, and where each is shown.
struct Reading {
    host: Arc<Host>,
    shown: Vec<Shown>,
    guests: Vec<Guest>,
}

fn by_pool(all: Vec<Shown>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for shown in all {
        let Some((host, guest)) = shown.guest() else { continue };
        match readings.iter_mut().find(|reading| Arc::ptr_eq(&reading.host, &host)) {
            Some(reading) => {
                reading.shown.push(shown);
                reading.guests.push(guest);
            }
            None => readings.push(Reading { host, shown: vec![shown], guests: vec![guest] }),
        }
    }
    readings
}

impl Reading {
    async fn read(self) {
        let figures = self.host.guests().figures(&self.guests, Deadline::within(READING)).await;
        for (shown, guest) in self.shown.iter().zip(&self.guests) {
            if let Some(figures) = figures.get(&guest.uuid) {
                shown.measured(guest, *figures);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_for_a_minute_after_their_host_measured_them() {
        let figures =
            GuestFigures { cpu_percent: 12.5, memory_bytes: 1 << 30, behind: Duration::from_secs(5) };
        let measured = Measured { figures, read: Instant::now() };
        let time = UNIX_EPOCH + Duration::from_secs(1_000);
        let after = |seconds| measured.at(measured.read + Duration::from_secs(seconds), time);
        let expected =
            |measured_at_ms| Some(GuestMeasured { cpu_percent: 12.5, memory_bytes: 1 << 30, measured_at_ms });
        assert_eq!(after(0), expected(995_000));
        assert_eq!(after(55), expected(940_000));
        assert_eq!(after(56), None);
    }
}
