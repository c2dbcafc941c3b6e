//! Users: each asks for something on one of its VMs, under a request id, and asks again until it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bioxen_coordinator::fleet::command::{Ask, NewVm};
use bioxen_coordinator::fleet::entry::{Cause, Request};
use bioxen_protocol::command::{AllocationRequest, Engine, OnComplete, OnFull, Verb, VmType};
use bioxen_protocol::id::{RequestId, UserId, VmId, VmKey};
use bioxen_protocol::quantity::{AtpPercent, Pace};
use bioxen_protocol::worker::{CellAllocation, CellOrder};

use crate::message::{Asked, Message, Node, Out};
use crate::random::Random;

const PATIENCE: Duration = Duration::from_secs(1);
const MEMORY_KB: u64 = 1_024;
const MOST: CellAllocation = CellAllocation { atp_millipercent: 70_000, ribosomes: 15, memory_kb: MEMORY_KB };

#[derive(Debug, Default)]
pub(crate) struct Users {
    asked: u64,
    waiting: BTreeMap<RequestId, (Arc<Asked>, Duration)>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

impl Users {
    /// One more command of one of `users`, on one of its `vms`; where users mostly `create`, every other does.
    pub(crate) fn ask(
        &mut self,
        random: &mut Random,
        (users, vms, coordinators): (usize, usize, usize),
        creates: bool,
        now: Duration,
        out: &mut Out,
    ) -> Option<()> {
        let user: UserId = format!("u{}", random.below(users)).parse().ok()?;
        let vm: VmId = format!("v{}", random.below(vms)).parse().ok()?;
        let (verb, ask) = draw(random, creates);
        let coordinator = random.below(coordinators);
        self.ask_for(VmKey { user, vm }, verb, ask, coordinator, now, out)
    }

    /// A command of one VM's user.
    pub(crate) fn ask_for(
        &mut self,
        VmKey { user, vm }: VmKey,
        verb: Verb,
        ask: Ask,
        coordinator: usize,
        now: Duration,
        out: &mut Out,
    ) -> Option<()> {
        self.asked += 1;
        let id: RequestId = format!("r{}", self.asked).parse().ok()?;
        let request = Some(Request { id: id.clone(), digest: format!("{verb:?} {vm} {ask:?}") });
        let asked = Arc::new(Asked { cause: Cause { user, operator: None, verb, request }, vm, ask });
        out.push((Node::Coordinator(coordinator), Message::Ask(Arc::clone(&asked))));
        self.waiting.insert(id, (asked, now));
        Some(())
    }

    /// Asks again for what was not answered in time.
    pub(crate) fn retry(&mut self, random: &mut Random, coordinators: usize, now: Duration, out: &mut Out) {
        for (asked, sent) in self.waiting.values_mut().filter(|(_, sent)| now >= *sent + PATIENCE) {
            *sent = now;
            out.push((Node::Coordinator(random.below(coordinators)), Message::Ask(Arc::clone(asked))));
        }
    }

    pub(crate) fn answered(&mut self, asked: &Asked, accepted: bool) {
        let Some(request) = &asked.cause.request else { return };
        if self.waiting.remove(&request.id).is_some() {
            *(if accepted { &mut self.accepted } else { &mut self.refused }) += 1;
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

fn draw(random: &mut Random, creates: bool) -> (Verb, Ask) {
    let on_full = if random.in_thousand(300) { OnFull::Queue } else { OnFull::Reject };
    match if creates && random.in_thousand(500) { 0 } else { random.below(16) } {
        0..=4 => {
            let auto_start = on_full == OnFull::Queue || random.in_thousand(600);
            (Verb::Create, Ask::Create(Box::new(new_vm(random, auto_start, on_full))))
        }
        5..=7 => (Verb::Start, Ask::Start { on_full, horizon_tick: None }),
        8 => (Verb::Pause, Ask::Pause),
        9 => (Verb::Resume, Ask::Resume),
        10 => (Verb::Stop, Ask::Stop),
        11 => (Verb::Destroy, Ask::Destroy),
        _ => {
            let ribosomes = Some(random.between(1, 16) as u64);
            let atp_percentage = Some(AtpPercent(random.between(1, 75) as u64 * 1_000));
            let request = AllocationRequest { atp_percentage, ribosomes, memory_kb: None };
            (Verb::Allocate, Ask::Allocate(request))
        }
    }
}

fn new_vm(random: &mut Random, auto_start: bool, on_full: OnFull) -> NewVm {
    let allocation = CellAllocation {
        atp_millipercent: random.between(1, 70) as u64 * 1_000,
        ribosomes: random.between(1, 15) as u64,
        memory_kb: MEMORY_KB,
    };
    let horizon_tick = random.in_thousand(300).then(|| random.between(50, 2_000) as u64);
    let order = CellOrder {
        biological_type: "syn3a".into(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: random.between(1, 1_000_000) as u64,
        replicate: 0,
        parameters: BTreeMap::new(),
        allocation,
        schedule: Vec::new(),
        horizon_tick,
        horizon_generations: None,
        pace: Pace::Max,
        priority: u8::try_from(random.between(1, 5)).unwrap_or(3),
        record: None,
        packages: Vec::new(),
    };
    let on_complete = if random.in_thousand(500) { OnComplete::Release } else { OnComplete::Stop };
    NewVm { order: Arc::new(order), most: MOST, on_complete, labels: BTreeMap::new(), auto_start, on_full }
}
