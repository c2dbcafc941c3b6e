//! What the hypervisors themselves committed and discarded, from the lines that workers write of it. One clock, that of
//! the machine since it started, is under all of them.

use std::collections::BTreeMap;

use crate::TestFleet;

/// What a worker is told to write.
pub const LOG: (&str, &str) = ("BIOXEN_LOG", "info,bioxen_worker::commits=trace");

/// A quantum that took effect, or did not.
#[derive(Debug, Clone)]
pub struct Quantum {
    pub worker: String,
    pub vm: String,
    /// Incarnation and index.
    pub generation: (u64, u64),
    pub at_ns: u64,
    /// The grid point that the cell reached by it, where it was committed.
    pub tick: Option<u64>,
    pub is_committed: bool,
}

/// Everything that these workers computed, in the order of time.
pub fn of(fleet: &TestFleet, workers: &[&str]) -> Vec<Quantum> {
    let mut all: Vec<Quantum> = Vec::new();
    for worker in workers {
        all.extend(fleet.log(worker).lines().filter_map(|line| quantum(worker, line)));
    }
    all.sort_by_key(|quantum| quantum.at_ns);
    all
}

fn quantum(worker: &str, line: &str) -> Option<Quantum> {
    let (_, line) = line.split_once("bioxen_worker::commits: ")?;
    let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let (incarnation, index) = field("vm.generation")?.split_once('.')?;
    Some(Quantum {
        worker: worker.to_owned(),
        vm: field("vm.id")?.to_owned(),
        generation: (incarnation.parse().ok()?, index.parse().ok()?),
        at_ns: field("at_ns")?.parse().ok()?,
        tick: field("tick").and_then(|tick| tick.parse().ok()),
        is_committed: line.starts_with("committed"),
    })
}

/// No VM commits in a lower generation once it has committed in a higher one, and none in one generation on two workers.
pub fn assert_no_overlap(quanta: &[Quantum]) -> usize {
    let mut newest: BTreeMap<&str, &Quantum> = BTreeMap::new();
    let mut generations = 0;
    for quantum in quanta.iter().filter(|quantum| quantum.is_committed) {
        let Some(before) = newest.insert(&quantum.vm, quantum) else { continue };
        assert!(quantum.generation >= before.generation, "{quantum:?} after {before:?}");
        if quantum.generation == before.generation {
            assert_eq!(quantum.worker, before.worker, "{quantum:?} after {before:?}");
        } else {
            generations += 1;
        }
    }
    generations
}

/// The furthest that a cell got by one quantum beyond all that was computed of its VM before, in grid points of 0.1
/// simulated minutes. A cell that goes on from an older checkpoint hurries through what it went through before.
pub fn furthest_step_ticks(quanta: &[Quantum]) -> u64 {
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    let mut furthest = 0;
    for quantum in quanta {
        let Some(tick) = quantum.tick else { continue };
        let reached = reached.entry(&quantum.vm).or_default();
        furthest = furthest.max(tick.saturating_sub(*reached));
        *reached = tick.max(*reached);
    }
    furthest
}

/// How many quanta this worker committed between these times.
pub fn committed(quanta: &[Quantum], worker: &str, from_ns: u64, to_ns: u64) -> usize {
    let of_it = quanta.iter().filter(|quantum| quantum.worker == worker && quantum.is_committed);
    of_it.filter(|quantum| (from_ns..to_ns).contains(&quantum.at_ns)).count()
}

/// How many quanta this worker discarded between these times.
pub fn discarded(quanta: &[Quantum], worker: &str, from_ns: u64, to_ns: u64) -> usize {
    let of_it = quanta.iter().filter(|quantum| quantum.worker == worker && !quantum.is_committed);
    of_it.filter(|quantum| (from_ns..to_ns).contains(&quantum.at_ns)).count()
}

/// Seconds from `lost_ns`, when `worker` ended or stood still, until each VM that it had run a moment before runs
/// elsewhere.
pub fn replaced_after_s(quanta: &[Quantum], worker: &str, lost_ns: u64, until_ns: u64) -> Vec<f64> {
    const MOMENT_NS: u64 = 1_000_000_000;
    let committed = || quanta.iter().filter(|quantum| quantum.is_committed);
    let mut last: BTreeMap<&str, &Quantum> = BTreeMap::new();
    for quantum in committed().take_while(|quantum| quantum.at_ns <= lost_ns) {
        last.insert(&quantum.vm, quantum);
    }
    last.retain(|_, quantum| quantum.worker == worker && quantum.at_ns + MOMENT_NS > lost_ns);
    let next = last.values().filter_map(|before| {
        let after =
            |quantum: &&Quantum| (lost_ns..until_ns).contains(&quantum.at_ns) && quantum.vm == before.vm;
        committed().filter(after).find(|quantum| quantum.generation > before.generation)
    });
    next.map(|quantum| (quantum.at_ns - lost_ns) as f64 / 1e9).collect()
}

/// The machine's time since it started, to the hundredth of a second.
pub fn now_ns() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux tells it");
    let hundredths = uptime.split(' ').next().unwrap_or_default().replace('.', "");
    hundredths.parse::<u64>().expect("seconds with two digits behind the point") * 10_000_000
}
