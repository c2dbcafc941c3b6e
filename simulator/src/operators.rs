//! Operators: they move VMs, cordon, drain and open workers, and have them end; nobody waits for an answer.

use bioxen_coordinator::fleet::command::Command;
use bioxen_coordinator::fleet::movement::Cordon;
use bioxen_protocol::id::{OperatorId, VmKey, WorkerId};

use crate::random::Random;
use crate::worker;

/// What an operator does.
#[derive(Debug)]
pub(crate) enum Act {
    Ask(Command),
    /// SIGTERM.
    End(usize),
}

pub(crate) fn draw(random: &mut Random, users: usize, vms: usize, workers: usize) -> Option<Act> {
    if random.in_thousand(100) {
        return Some(Act::End(random.below(workers)));
    }
    command(random, users, vms, workers).map(Act::Ask)
}

fn command(random: &mut Random, users: usize, vms: usize, workers: usize) -> Option<Command> {
    let operator: OperatorId = "root".parse().ok()?;
    let worker: WorkerId = worker::name(random.below(workers))?;
    Some(match random.below(10) {
        0 => Command::Cordon { operator, worker, cordon: Cordon::Cordoned },
        1 => Command::Cordon { operator, worker, cordon: Cordon::Draining },
        2 | 3 => Command::Cordon { operator, worker, cordon: Cordon::Open },
        _ => {
            let user = format!("u{}", random.below(users)).parse().ok()?;
            let vm = format!("v{}", random.below(vms)).parse().ok()?;
            let to = random.in_thousand(500).then_some(worker);
            Command::Move { operator, key: VmKey { user, vm }, to }
        }
    })
}
