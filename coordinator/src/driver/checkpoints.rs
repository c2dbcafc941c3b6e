//! Checkpoints at the driver: cells that a worker is asked for, what lost workers packed, and commands that wait for either.
//!
//! ```text
//!   checkpoint of a cell that runs --ask its worker--> decided with the answer
//!   start, checkpoint of a VM that was lost --put off--> decided once its newest checkpoint is journaled
//!   a VM of a lost worker, room elsewhere --its newest checkpoint is looked for--> placed there
//! ```
//!
//! Both are asked beside the driver. A durable command that waits holds back those behind it: their order is the stream's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bioxen_protocol::id::VmKey;
use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::state::VmState;
use tokio::task::JoinSet;

use super::{Driver, DriverError, State};
use crate::answer::{ReplyTo, live};
use crate::fleet::checkpoint::Live;
use crate::fleet::command::Ask;
use crate::fleet::vm::Vm;
use crate::intake::{Asked, Incoming};
use crate::packed::{self, Boot, Found, FoundVm, SearchError};

/// VMs looked for in one search: bounds what it brings back.
const SEARCHED_AT_ONCE: usize = 256;
/// Between two searches where one failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Commands that may wait at once; who comes then is asked to come again.
const PUT_OFF: usize = 4_096;
/// How long a command waits for a search.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    fetching: JoinSet<Fetched>,
    is_searching: bool,
    /// What lies in the store is looked at once by each leader, whether a VM needs it or not.
    has_searched: bool,
    not_before: Option<Instant>,
    /// The last that was looked for: the next search goes on behind it, so that none waits for those that find no room.
    searched_to: Option<VmKey>,
    /// What was found and is not journaled yet.
    found: VecDeque<FoundVm>,
    /// Boots that have something in the store, and after which entry that may be cleared away.
    boots: BTreeMap<Boot, u64>,
    /// Commands that wait for a worker's cell, by number.
    asking: BTreeMap<u64, Incoming>,
    next: u64,
    put_off: VecDeque<Incoming>,
}

/// What was asked for has come.
#[derive(Debug)]
pub(super) enum Fetched {
    Cell { number: u64, live: Option<Box<Live>> },
    Search(Result<Found, SearchError>),
    Cleared(Boot, Result<(), SearchError>),
}

impl Checkpoints {
    /// The next that has come; waits for ever where nothing is under way.
    pub(super) async fn fetched(&mut self) -> Option<Fetched> {
        match self.fetching.join_next().await {
            Some(Ok(fetched)) => Some(fetched),
            Some(Err(error)) => {
                tracing::error!(%error, "asking for checkpoints ended by itself");
                self.is_searching = false;
                None
            }
            None => std::future::pending().await,
        }
    }

    /// Whether a durable command waits.
    pub(super) fn hold_submits(&self) -> bool {
        self.asking.values().chain(&self.put_off).any(|incoming| incoming.submit_sequence.is_some())
    }

    /// Whether any command waits.
    pub(super) fn any_waits(&self) -> bool {
        !self.asking.is_empty() || !self.put_off.is_empty()
    }

    /// Whether a command about this VM waits.
    fn waits(&self, key: &VmKey) -> bool {
        self.asking.values().chain(&self.put_off).any(|incoming| target(incoming).as_ref() == Some(key))
    }

    /// Everybody that still waits, when the leader steps down.
    pub(super) fn drain(&mut self) -> Vec<ReplyTo> {
        self.fetching.abort_all();
        let waiting = std::mem::take(&mut self.asking).into_values().chain(std::mem::take(&mut self.put_off));
        waiting.map(|incoming| incoming.reply_to).collect()
    }
}

impl Driver {
    /// The command, unless something has to be fetched first; it is then taken later.
    pub(super) fn unless_put_off(&mut self, state: &mut State, incoming: Incoming) -> Option<Incoming> {
        let waiting = &mut state.checkpoints;
        let many = waiting.put_off.len() + waiting.asking.len();
        if many >= PUT_OFF {
            return Some(incoming);
        }
        // Commands of one VM keep their order.
        if many > 0 && target(&incoming).is_some_and(|key| waiting.waits(&key)) {
            waiting.put_off.push_back(incoming);
            return None;
        }
        let Asked::Change { cause, ask, .. } = &incoming.asked else { return Some(incoming) };
        if !matches!(ask, Ask::Start { .. } | Ask::Checkpoint { .. })
            || self.fleet.is_repeat(self.now_ms(), cause)
        {
            return Some(incoming);
        }
        let Some(vm) = target(&incoming).and_then(|key| self.fleet.vm(&key)) else { return Some(incoming) };
        if vm.lost.is_some() || (matches!(ask, Ask::Checkpoint { .. }) && vm.is_on_its_way()) {
            waiting.put_off.push_back(incoming);
            return None;
        }
        let stands = matches!(vm.state, VmState::Running | VmState::Paused) && vm.order.record.is_none();
        if !matches!(ask, Ask::Checkpoint { .. }) || !stands {
            return Some(incoming);
        }
        let number = waiting.next;
        waiting.next += 1;
        let (client, vm) = (self.client.clone(), Box::new(vm.clone()));
        waiting.fetching.spawn(async move {
            let live = live::take_cell(&client, &vm).await.map(Box::new);
            Fetched::Cell { number, live }
        });
        waiting.asking.insert(number, incoming);
        None
    }

    pub(super) fn take_fetched(&mut self, state: &mut State, fetched: Fetched) -> Result<(), DriverError> {
        match fetched {
            Fetched::Cell { number, live } => {
                let Some(mut incoming) = state.checkpoints.asking.remove(&number) else { return Ok(()) };
                if let Asked::Change { ask, .. } = &mut incoming.asked {
                    *ask = Ask::Checkpoint { live };
                }
                self.take_now(state, incoming)?;
                self.take_put_off(state)
            }
            Fetched::Search(Ok(found)) => {
                state.checkpoints.is_searching = false;
                state.checkpoints.has_searched = true;
                state.checkpoints.found.extend(found.vms);
                self.recover(state)?;
                let after = self.fleet.next_index;
                state.checkpoints.boots.extend(found.boots.into_iter().map(|boot| (boot, after)));
                Ok(())
            }
            Fetched::Search(Err(error)) => {
                tracing::warn!(%error, "packed checkpoints were not found yet; trying again");
                state.checkpoints.is_searching = false;
                state.checkpoints.not_before = Some(Instant::now() + PAUSE);
                Ok(())
            }
            Fetched::Cleared(boot, cleared) => {
                let (worker, boot_id) = &boot;
                match cleared {
                    Ok(()) => {
                        tracing::info!(worker.id = %worker, boot.id = %boot_id, "what it had packed is cleared away")
                    }
                    Err(error) => {
                        tracing::warn!(%error, "packed checkpoints were not cleared away");
                        state.checkpoints.boots.insert(boot, self.fleet.next_index);
                    }
                }
                Ok(())
            }
        }
    }

    /// Begins to look for what is missing, where nothing is looked for. Cheap where nothing is.
    pub(super) fn search(&mut self, state: &mut State) {
        let now = Instant::now();
        let of = &mut state.checkpoints;
        let is_due = self.fleet.may_be_searched() || !of.has_searched;
        let may = !of.is_searching && of.found.is_empty() && of.not_before.is_none_or(|at| now >= at);
        if !is_due || !may {
            return;
        }
        let wanted = self.fleet.searched(SEARCHED_AT_ONCE, of.searched_to.as_ref());
        of.searched_to = wanted.last().map(|(key, _)| key.clone());
        if wanted.is_empty() && of.has_searched {
            return;
        }
        let client = self.client.clone();
        of.is_searching = true;
        of.fetching.spawn(async move { Fetched::Search(packed::search(&client, wanted).await) });
    }

    /// Journals what was found, as far as the batch has room, and takes up the commands that waited for it.
    pub(super) fn recover(&mut self, state: &mut State) -> Result<(), DriverError> {
        while !state.filling.is_full()
            && let Some(found) = state.checkpoints.found.pop_front()
        {
            let FoundVm { key, lost, newest, packed_ms } = found;
            let Some(vm) = self.fleet.vm(&key) else { continue };
            let lost_ticks = lost_ticks(vm, lost.until_ms, packed_ms);
            let Some(entries) = self.fleet.found(&key, lost.generation, newest, lost_ticks) else {
                if vm.state == VmState::Unknown {
                    // Another took the room, or its worker is back.
                    state.checkpoints.not_before = Some(Instant::now() + PAUSE);
                }
                continue;
            };
            for entry in entries {
                self.evolve(state, entry)?;
            }
        }
        self.take_put_off(state)
    }

    /// Takes up what waited and need not any more.
    pub(super) fn take_put_off(&mut self, state: &mut State) -> Result<(), DriverError> {
        // Taken out first: each waits for those ahead of it alone.
        let mut waiting = std::mem::take(&mut state.checkpoints.put_off);
        while let Some(incoming) = waiting.pop_front() {
            if state.filling.is_full() {
                state.checkpoints.put_off.push_back(incoming);
                continue;
            }
            // The core refuses what comes too early.
            if incoming.received.elapsed() >= LONGEST_WAIT {
                self.take_now(state, incoming)?;
            } else if let Some(incoming) = self.unless_put_off(state, incoming) {
                self.take_now(state, incoming)?;
            }
        }
        Ok(())
    }

    /// Clears away what boots packed that no VM needs any more.
    pub(super) fn clear_packed(&self, state: &mut State) {
        let acknowledged = self.position.index;
        let lives = |(worker, boot): &Boot| {
            self.fleet.workers.get(worker).is_some_and(|known| known.boot == *boot && known.live)
        };
        let boots = state.checkpoints.boots.iter();
        let ripe = boots.filter(|(boot, after)| acknowledged + 1 >= **after && !lives(boot));
        let ripe: Vec<Boot> = ripe.map(|(boot, _)| boot.clone()).collect();
        if ripe.is_empty() {
            return;
        }
        let placed = self.fleet.vms().filter_map(|vm| {
            let at = vm.placement.as_ref()?;
            Some((at.worker.clone(), at.boot.clone()))
        });
        let lost = self.fleet.lost().map(|(_, lost)| (lost.worker.clone(), lost.boot.clone()));
        let needed: BTreeSet<Boot> = placed.chain(lost).collect();
        for boot in ripe {
            if needed.contains(&boot) {
                continue;
            }
            state.checkpoints.boots.remove(&boot);
            let client = self.client.clone();
            state.checkpoints.fetching.spawn(async move {
                let cleared = packed::clear(&client, &boot).await;
                Fetched::Cleared(boot, cleared)
            });
        }
    }
}

/// The VM that a command would change.
fn target(incoming: &Incoming) -> Option<VmKey> {
    match &incoming.asked {
        Asked::Change { cause, vm, .. }
        | Asked::Execute { cause, vm, .. }
        | Asked::Install { cause, vm, .. } => Some(VmKey { user: cause.user.clone(), vm: vm.clone() }),
        _ => None,
    }
}

/// Ticks that the VM may have come further than its worker last packed; none where its pace does not say.
fn lost_ticks(vm: &Vm, until_ms: u64, packed_ms: Option<u64>) -> Option<u64> {
    let silent_ms = until_ms.saturating_sub(packed_ms?);
    let Pace::Ratio(pace) = vm.order.pace else { return None };
    let ticks = pace * silent_ms as f64 / 60_000.0 * TICKS_PER_MINUTE as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and neither factor is below 0"
    )]
    Some(ticks.ceil() as u64)
}
