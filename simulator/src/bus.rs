//! The bus: whether and when a message arrives, and who is cut off from whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::message::Node;
use crate::plan::Fault;
use crate::random::Random;

const FASTEST: Duration = Duration::from_micros(100);
const SLOWEST: Duration = Duration::from_millis(20);
/// Past lease, grace and the silence after which another leads.
const LATEST: Duration = Duration::from_secs(12);

#[derive(Debug, Default)]
pub(crate) struct Bus {
    /// One way: from, to.
    cut: BTreeSet<(Node, Node)>,
    /// Since when each process has its connection; those without one are not there.
    connected: BTreeMap<Node, Duration>,
    journal_down: bool,
}

impl Bus {
    pub(crate) fn connect(&mut self, node: Node, now: Duration) {
        self.connected.entry(node).or_insert(now);
    }

    pub(crate) fn disconnect(&mut self, node: Node) {
        self.connected.remove(&node);
    }

    pub(crate) fn connected_since(&self, node: Node) -> Option<Duration> {
        self.connected.get(&node).copied()
    }

    pub(crate) fn cut(&mut self, from: Node, to: Node) {
        self.cut.insert((from, to));
    }

    pub(crate) fn join(&mut self, from: Node, to: Node) {
        self.cut.remove(&(from, to));
    }

    pub(crate) fn stop_journal(&mut self) {
        self.journal_down = true;
    }

    pub(crate) fn start_journal(&mut self) {
        self.journal_down = false;
    }

    /// When copies of a message arrive: none where it is lost.
    pub(crate) fn delays(
        &self,
        random: &mut Random,
        faults: &BTreeSet<Fault>,
        from: Node,
        to: Node,
    ) -> Vec<Duration> {
        let apart = self.cut.contains(&(from, to))
            || [from, to].iter().any(|node| !self.connected.contains_key(node))
            || (self.journal_down && [from, to].contains(&Node::Journal));
        let has = |fault| faults.contains(&fault);
        let lost_ack = from == Node::Journal && has(Fault::LostAck) && random.in_thousand(100);
        if apart || lost_ack || (has(Fault::Drop) && random.in_thousand(30)) {
            return Vec::new();
        }
        let copies = if has(Fault::Duplicate) && random.in_thousand(30) { 2 } else { 1 };
        let late = has(Fault::Delay);
        let delay = |random: &mut Random| match late && random.in_thousand(20) {
            true => random.span(SLOWEST, LATEST),
            false => random.span(FASTEST, SLOWEST),
        };
        (0..copies).map(|_| delay(random)).collect()
    }
}
