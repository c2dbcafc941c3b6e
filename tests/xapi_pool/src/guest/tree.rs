//! The processes of a guest: all that descend from its first.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Looks at the whole tree until nothing in it runs any more, which could have children meanwhile; but not for ever, for
/// who waits for a child that stands still cannot stand still itself.
const ROUNDS: usize = 500;
const POLL: Duration = Duration::from_millis(2);

/// Stops `process`'s descendants: they stand still when this returns, as soon as a busy machine lets them.
pub(super) fn stop(process: u32) {
    for _ in 0..ROUNDS {
        let mut running = descendants(process);
        running.retain(|&one| runs(one));
        if running.is_empty() {
            return;
        }
        running.into_iter().for_each(|one| signal(one, Signal::STOP));
        std::thread::sleep(POLL);
    }
}

/// Whether it is neither stopped nor ended.
fn runs(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| !matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// Lets them go on.
pub(super) fn go_on(process: u32) {
    descendants(process).into_iter().for_each(|one| signal(one, Signal::CONT));
}

pub(super) fn is_there(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| state != 'Z')
}

pub(super) fn children(process: u32) -> Vec<u32> {
    by_parent().remove(&process).unwrap_or_default()
}

/// Those below `process`, which itself is no part of the guest.
pub(super) fn descendants(process: u32) -> Vec<u32> {
    let by_parent = by_parent();
    let mut found = Vec::new();
    let mut next = vec![process];
    while let Some(parent) = next.pop() {
        let children = by_parent.get(&parent).cloned().unwrap_or_default();
        found.extend(children.iter().copied());
        next.extend(children);
    }
    found
}

fn by_parent() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some((_, parent)) = state_and_parent(process) {
            children.entry(parent).or_default().push(process);
        }
    }
    children
}

/// From `/proc/PID/stat`, whose second field may hold anything, in brackets.
fn state_and_parent(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(process, signal);
    }
}
