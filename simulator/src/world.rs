//! The world of a run: the clock, the events to come, and the processes. What befalls them is in `faults`.

mod faults;
mod operating;
mod tail;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bioxen_protocol::id::BootId;

use crate::bus::Bus;
use crate::coordinator::{Coordinator, Moment};
use crate::journal::Journal;
use crate::message::{Message, Node, Out};
use crate::oracle::{Oracle, Violation};
use crate::packed::Packed;
use crate::plan::Plan;
use crate::random::Random;
use crate::users::Users;
use crate::worker::Worker;
use faults::Mend;
pub(crate) use trial::Trial;

const COORDINATOR_TICK: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(1);
const QUANTUM: Duration = Duration::from_millis(100);
const COMMANDS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
const FAULTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Wall clocks jump by so much, either way.
const CLOCK_JUMP_MS: usize = 30_000;
/// Of a thousand quanta, after so many a worker packs its cells; with so many commands of users an operator has one.
const PACKED: usize = 30;
const OPERATED: usize = 150;
const EPOCH_MS: u64 = 1_700_000_000_000;

/// What happens next.
#[derive(Debug)]
enum Event {
    Deliver(Node, Message),
    CoordinatorTick(usize),
    Beat(usize),
    Commit(usize),
    Command,
    Retry,
    Fault,
    Mend(Mend),
}

#[derive(Debug)]
pub(crate) struct World {
    plan: Plan,
    random: Random,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    bus: Bus,
    journal: Journal,
    coordinators: Vec<Coordinator>,
    workers: Vec<Worker>,
    /// Processes that live on beside another boot of their name.
    twins: BTreeMap<usize, Worker>,
    /// Boots that nobody hears, and that hear nobody.
    deaf: BTreeSet<BootId>,
    boots: u64,
    users: Users,
    packed: Packed,
    pub(crate) oracle: Oracle,
    down: BTreeSet<Node>,
    paused: BTreeMap<Node, Duration>,
    /// Since when each coordinator runs.
    up_since: Vec<Duration>,
    /// By how much each coordinator's wall clock is ahead of the earliest.
    wall_ms: Vec<u64>,
    /// No more faults, no more commands: the fleet settles.
    calm: bool,
    pub(crate) faults: u64,
    /// Prints what happens.
    pub(crate) traces: bool,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Option<Self> {
        let base = Instant::now();
        let (coordinators, workers) = (plan.coordinators, plan.workers);
        let packed = Packed::default();
        let mut world = Self {
            random: Random::new(plan.seed ^ 0x5eed),
            plan: plan.clone(),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            queued: 0,
            bus: Bus::default(),
            journal: Journal::default(),
            coordinators: (0..coordinators)
                .map(|number| Coordinator::new(number, coordinators, base, packed.clone(), plan.resources()))
                .collect(),
            workers: (0..workers)
                .map(|number| Worker::new(number, number as u64, coordinators, plan.worker_size()))
                .collect::<Option<_>>()?,
            twins: BTreeMap::new(),
            deaf: BTreeSet::new(),
            boots: workers as u64,
            users: Users::default(),
            packed,
            oracle: Oracle::new(plan.huge),
            down: BTreeSet::new(),
            paused: BTreeMap::new(),
            up_since: vec![Duration::ZERO; coordinators],
            wall_ms: vec![CLOCK_JUMP_MS as u64; coordinators],
            calm: false,
            faults: 0,
            traces: false,
        };
        world.begin();
        Some(world)
    }

    fn begin(&mut self) {
        for node in self.nodes() {
            self.bus.connect(node, Duration::ZERO);
        }
        for number in 0..self.coordinators.len() {
            let after = self.random.span(Duration::from_millis(1), COORDINATOR_TICK);
            self.after(after, Event::CoordinatorTick(number));
        }
        for number in 0..self.workers.len() {
            let after = self.random.span(Duration::from_millis(1), HEARTBEAT);
            self.after(after, Event::Beat(number));
            self.after(after + QUANTUM, Event::Commit(number));
        }
        self.after(COMMANDS.1, Event::Command);
        self.after(HEARTBEAT, Event::Retry);
        if !self.plan.faults.is_empty() {
            self.after(FAULTS.1, Event::Fault);
        }
    }

    /// The worker of this number, and an elder boot that lives on beside it.
    fn processes(&mut self, number: usize) -> impl Iterator<Item = &mut Worker> {
        self.workers.get_mut(number).into_iter().chain(self.twins.get_mut(&number))
    }

    fn nodes(&self) -> Vec<Node> {
        let coordinators = (0..self.coordinators.len()).map(Node::Coordinator);
        let workers = (0..self.workers.len()).map(Node::Worker);
        [Node::Journal, Node::Users].into_iter().chain(coordinators).chain(workers).collect()
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + delay, self.queued), event);
    }

    /// Runs the next event.
    ///
    /// # Errors
    /// What must never happen has.
    pub(crate) fn step(&mut self) -> Result<(), Violation> {
        let Some(((at, order), event)) = self.queue.pop_first() else { return Ok(()) };
        self.now = at;
        if let Some(node) = node_of(&event) {
            if self.down.contains(&node) {
                self.skip(event);
                return Ok(());
            }
            // Whatever reaches a process that is stopped waits for it, in order.
            if let Some(until) = self.paused.get(&node).copied().filter(|until| *until > at) {
                self.queue.insert((until, order), event);
                return Ok(());
            }
        }
        self.happen(event)
    }

    /// A process that is down hears nothing; its clocks go on when it is back.
    fn skip(&mut self, event: Event) {
        match event {
            Event::CoordinatorTick(_) => self.after(COORDINATOR_TICK, event),
            Event::Beat(_) => self.after(HEARTBEAT, event),
            Event::Commit(_) => self.after(QUANTUM, event),
            _ => {}
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        self.trace(&event);
        let mut out = Out::new();
        match event {
            Event::Deliver(Node::Journal, message) => {
                if let Some(batch) = self.journal.receive(self.now, message, &mut out) {
                    let gone = self.oracle.stored(&batch)?;
                    self.judge_loss(&gone)?;
                }
                self.send(Node::Journal, out);
            }
            Event::Deliver(Node::Coordinator(number), message) => {
                let moment = self.moment(number);
                self.coordinators[number].receive(moment, message, &mut out);
                self.heed(number)?;
                self.send(Node::Coordinator(number), out);
            }
            Event::Deliver(Node::Worker(number), message) => {
                let now = self.now;
                if let Message::Command { boot, command } = message
                    && !self.deaf.contains(&boot)
                {
                    let process = self.processes(number).find(|process| process.boot == boot);
                    process.into_iter().for_each(|process| process.receive(now, command.clone(), &mut out));
                }
                self.send(Node::Worker(number), out);
            }
            Event::Deliver(Node::Users, message) => {
                if let Message::Answer { asked, accepted } = message {
                    self.oracle.answered(&asked, accepted)?;
                    self.users.answered(&asked, accepted);
                }
            }
            Event::CoordinatorTick(number) => {
                let moment = self.moment(number);
                self.coordinators[number].tick(moment, &mut out);
                self.send(Node::Coordinator(number), out);
                self.after(COORDINATOR_TICK, event);
            }
            Event::Beat(number) => {
                let now = self.now;
                self.processes(number).for_each(|process| process.beat(now, &mut out));
                self.end_where_it_may(number, &mut out);
                self.send(Node::Worker(number), out);
                self.after(HEARTBEAT, event);
            }
            Event::Commit(number) => {
                let now = self.now;
                let commits: Vec<_> =
                    self.processes(number).flat_map(|process| process.commit(now, &mut out)).collect();
                commits.iter().try_for_each(|commit| self.oracle.committed(commit))?;
                if self.random.in_thousand(PACKED) {
                    self.workers[number].pack(&self.packed);
                }
                self.send(Node::Worker(number), out);
                self.after(QUANTUM, event);
            }
            Event::Command => self.command(),
            Event::Retry => {
                self.users.retry(&mut self.random, self.plan.coordinators, self.now, &mut out);
                self.send(Node::Users, out);
                self.after(HEARTBEAT, Event::Retry);
            }
            Event::Fault => self.fault(),
            Event::Mend(mend) => self.mend(mend)?,
        }
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "who asks for a trace reads it")]
    fn trace(&self, event: &Event) {
        if self.traces {
            println!("{:>12.6} {event:?}", self.now.as_secs_f64());
        }
    }

    fn moment(&self, coordinator: usize) -> Moment {
        let elapsed_ms = u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX);
        Moment {
            now: self.now,
            wall_ms: EPOCH_MS + elapsed_ms + self.wall_ms[coordinator],
            connected_since: self.bus.connected_since(Node::Coordinator(coordinator)),
        }
    }

    fn send(&mut self, from: Node, out: Out) {
        let none = BTreeSet::new();
        for (to, message) in out {
            if matches!(&message, Message::Report { boot, .. } if self.deaf.contains(boot)) {
                continue;
            }
            let faults = if self.calm { &none } else { &self.plan.faults };
            let delays = self.bus.delays(&mut self.random, faults, from, to);
            for delay in delays {
                self.after(delay, Event::Deliver(to, message.clone()));
            }
        }
    }

    /// No more commands, no more faults: those under way end when they end.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// What keeps the fleet from standing as it should, if anything does.
    pub(crate) fn unsettled(&self) -> Option<String> {
        if self.users.waiting() > 0 {
            return Some(format!("{} commands are not answered", self.users.waiting()));
        }
        let leaders = self.coordinators.iter().filter(|coordinator| coordinator.leads()).count();
        if leaders != 1 {
            return Some(format!("{leaders} coordinators lead"));
        }
        if !self.oracle.is_whole() {
            return Some("the journal is not healed".to_owned());
        }
        let astray = |coordinator: &&Coordinator| !self.oracle.follows(coordinator.position());
        if let Some(astray) = self.coordinators.iter().find(astray) {
            return Some(format!("a coordinator at {:?} does not follow the journal", astray.position()));
        }
        // Workers may still have what is gone.
        if self.oracle.is_torn {
            return None;
        }
        crate::settled::unsettled(self.oracle.fleet())
    }
}

fn node_of(event: &Event) -> Option<Node> {
    match event {
        Event::Deliver(node, _) => Some(*node),
        Event::CoordinatorTick(number) => Some(Node::Coordinator(*number)),
        Event::Beat(number) | Event::Commit(number) => Some(Node::Worker(*number)),
        _ => None,
    }
}
