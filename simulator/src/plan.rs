//! What a run consists of: its size, and which faults happen. Drawn from the seed, or given; shrinking makes it smaller.

use std::collections::BTreeSet;

use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::quantity::AtpPercent;

use crate::random::Random;

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Messages are lost.
    Drop,
    /// Messages come twice.
    Duplicate,
    /// Messages come late: out of order, and past any lease.
    Delay,
    /// An append is stored and its answer lost.
    LostAck,
    /// A process loses its connection, and knows it.
    Disconnect,
    /// Messages from one process to another are lost for a while, and neither knows.
    CutOneWay,
    /// A leader cannot reach the journal, but its workers.
    CutFromJournal,
    /// The journal does not answer for a while.
    JournalDown,
    CrashCoordinator,
    CrashWorker,
    /// Stopped in the middle of what it does, and continued: SIGSTOP, a machine that sleeps.
    PauseCoordinator,
    PauseWorker,
    /// A wall clock jumps.
    ClockJump,
    /// A second boot of a worker's name starts while the first lives on.
    Twin,
    /// A follower takes over although the leader is well: a planned handover, a timer that is off.
    Takeover,
    /// nats-server is killed and had not synced what it acknowledged last: the journal loses its end.
    TailLost,
}

impl Fault {
    /// All but the last, which is rare: what is lost for good leaves nothing to judge.
    const COMMON: [Self; 15] = [
        Self::Drop,
        Self::Duplicate,
        Self::Delay,
        Self::LostAck,
        Self::Disconnect,
        Self::CutOneWay,
        Self::CutFromJournal,
        Self::JournalDown,
        Self::CrashCoordinator,
        Self::CrashWorker,
        Self::PauseCoordinator,
        Self::PauseWorker,
        Self::ClockJump,
        Self::Twin,
        Self::Takeover,
    ];
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    /// Events before the faults end and the fleet is given time to settle.
    pub events: usize,
    pub coordinators: usize,
    pub workers: usize,
    pub users: usize,
    pub vms_per_user: usize,
    pub faults: BTreeSet<Fault>,
    /// Whether all cells are computed again at the end.
    pub trial: bool,
    /// Thousands of VMs, under limits to match.
    pub huge: bool,
}

/// One of so many seeds is of a huge fleet.
const HUGE_EVERY: u64 = 400;
/// Its many processes share a run's events.
const HUGE_EVENTS: usize = 10;

impl Plan {
    /// The plan of a seed: most are small, so that their events fall on the same few VMs; some are large, and a few huge.
    pub fn of_seed(seed: u64, events: usize) -> Self {
        let mut plan = Self::drawn(seed, events);
        if seed % HUGE_EVERY == HUGE_EVERY / 2 {
            let mut random = Random::new(!seed);
            plan.huge = true;
            plan.trial = false;
            plan.events = events * HUGE_EVENTS;
            plan.coordinators = 3;
            plan.workers = random.between(10, 30);
            plan.users = random.between(20, 60);
            plan.vms_per_user = 50;
        }
        plan
    }

    fn drawn(seed: u64, events: usize) -> Self {
        let mut random = Random::new(seed);
        let large = random.in_thousand(50);
        let (workers, users, vms) = if large { (24, 12, 40) } else { (5, 3, 6) };
        // Some runs have few kinds of faults: what one kind alone breaks must not hide behind the others.
        let likely = [150, 500, 1_000][random.below(3)];
        let faults = Fault::COMMON.into_iter().filter(|_| random.in_thousand(likely)).collect();
        let mut plan = Self {
            seed,
            events,
            coordinators: random.between(1, 3),
            workers: random.between(1, workers),
            users: random.between(1, users),
            vms_per_user: random.between(1, vms),
            faults,
            trial: random.in_thousand(250),
            huge: false,
        };
        if random.in_thousand(120) {
            // Often alone, or with crashes alone: then everything must stand again.
            if random.in_thousand(600) {
                plan.faults.retain(|fault| matches!(fault, Fault::CrashCoordinator | Fault::CrashWorker));
            }
            plan.faults.insert(Fault::TailLost);
        }
        plan
    }

    /// What operators of such a fleet configure.
    pub fn resources(&self) -> ResourceConfig {
        if !self.huge {
            return ResourceConfig::default();
        }
        ResourceConfig {
            max_concurrent_vms: 2_500,
            global_atp_limit: AtpPercent(200_000_000),
            global_ribosome_limit: 20_000,
            max_vms_per_user: 200,
            ..ResourceConfig::default()
        }
    }

    /// VMs and ribosomes of a worker.
    pub fn worker_size(&self) -> (u64, u64) {
        if self.huge { (150, 1_500) } else { (8, 68) }
    }

    /// Commands of users that come together.
    pub fn commands_at_once(&self) -> usize {
        if self.huge { 75 } else { 1 }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, events, coordinators, workers, users, vms_per_user, faults, trial, huge } = self;
        write!(
            f,
            "seed {seed}: {}{events} events, {coordinators} coordinators, {workers} workers, {users} users of \
             {vms_per_user} VMs, faults {faults:?}{}",
            if *huge { "huge, " } else { "" },
            if *trial { ", and a trial" } else { "" }
        )
    }
}
