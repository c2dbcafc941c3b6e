//! Ensembles by example: made within every limit, in order, once each; what came of each member is kept.

use std::sync::Arc;

use bioxen_protocol::command::{OnComplete, OnFull, Verb};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ObservedState;

use super::{Bench, key, new_vm};
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, Ask, NewEnsemble, NewVm};
use crate::fleet::ensemble::{Counts, Ended, Ensemble, Member};
use crate::fleet::rejection::{Rejection, Resource};

/// Members are released; the thirteenth of a body of thirteen members or more cannot be made.
pub(super) fn make(ensemble: &Ensemble, number: u64) -> Result<NewVm, String> {
    if number == 13 {
        return Err(format!("member 13 of {} cannot be", ensemble.key.vm));
    }
    Ok(NewVm { on_complete: OnComplete::Release, ..new_vm(OnFull::Queue) })
}

pub(super) fn without_members(ensemble: &Ensemble) -> Ensemble {
    Ensemble { made: Vec::new(), present: 0, ..ensemble.clone() }
}

pub(super) fn members(fleet: &Fleet) -> Vec<(VmKey, Member)> {
    let of = |ensemble: &Ensemble| {
        let key = ensemble.key.clone();
        ensemble.made.clone().into_iter().map(move |member| (key.clone(), member))
    };
    fleet.ensembles().flat_map(of).collect()
}

impl Bench {
    pub(super) fn ensemble(&mut self, user: &str, name: &str, members: u64) -> Result<Answer, Rejection> {
        let new = NewEnsemble { body: Arc::from("{}"), seed: 1, members, priority: 3 };
        self.ask(user, name, Verb::Ensemble, Ask::Ensemble(new))
    }

    /// As the driver does before each batch.
    pub(super) fn end_ensembles(&mut self) {
        loop {
            let entries = self.fleet.ends_of_ensembles(2);
            if entries.is_empty() {
                return;
            }
            for entry in entries {
                self.fleet.evolve(self.now_ms, &entry);
            }
        }
    }

    fn counts(&self, user: &str, name: &str) -> Counts {
        self.fleet.ensemble(&key(user, name)).unwrap().counts()
    }

    fn complete(&mut self, user: &str, member: &str) {
        self.observe(user, member, ObservedState::Running);
        self.observe(user, member, ObservedState::Completed);
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    for worker in ["w1", "w2", "w3"] {
        bench.worker(worker, "b");
    }
    bench
}

#[test]
fn members_are_made_in_order_within_the_users_limit_and_each_end_lets_the_next_in() {
    let mut bench = bench();
    bench.ensemble("alice", "sweep", 25).unwrap();
    assert_eq!(bench.counts("alice", "sweep"), Counts { queued: 15, running: 10, ..Counts::default() });
    assert_eq!(bench.fleet.queued(), 15);
    for number in 1..=25 {
        if number != 13 {
            assert_ne!(bench.state("alice", &format!("sweep-{number:05}")), VmState::Destroyed);
            bench.complete("alice", &format!("sweep-{number:05}"));
        }
    }
    assert_eq!(bench.counts("alice", "sweep"), Counts { completed: 24, failed: 1, ..Counts::default() });
    let ensemble = bench.fleet.ensemble(&key("alice", "sweep")).unwrap();
    assert!(ensemble.is_completed());
    assert_eq!(
        ensemble.made[12].end.as_ref().unwrap().reason.as_deref(),
        Some("member 13 of sweep cannot be")
    );
    assert_eq!((bench.fleet.held, bench.fleet.queued()), (Amounts::NOTHING, 0));
}

#[test]
fn a_member_that_fails_is_told_apart_and_holds_up_nobody() {
    let mut bench = bench();
    bench.ensemble("alice", "sweep", 12).unwrap();
    bench.observe("alice", "sweep-00003", ObservedState::Failed);
    assert_eq!(
        bench.counts("alice", "sweep"),
        Counts { queued: 1, running: 10, failed: 1, ..Counts::default() }
    );
    assert_eq!(bench.state("alice", "sweep-00003"), VmState::Destroyed);
    let ensemble = bench.fleet.ensemble(&key("alice", "sweep")).unwrap();
    assert_eq!(ensemble.made[2].end.as_ref().unwrap().outcome, Ended::Failed);
}

#[test]
fn an_ensemble_takes_its_places_in_the_backlog_and_its_names() {
    let mut bench = bench();
    bench.create("alice", "sweep-00002", OnFull::Reject).unwrap();
    let refused = bench.ensemble("alice", "sweep", 2).unwrap_err();
    assert!(matches!(refused, Rejection::VmExists { .. }), "{refused:?}");
    bench.ensemble("alice", "other", 9_990).unwrap();
    let refused = bench.ensemble("alice", "more", 20).unwrap_err();
    let (limit, used, requested) = (10_000, 9_981, 20);
    assert_eq!(refused, Rejection::User { resource: Resource::Queued, limit, used, requested });
    let refused = bench.create("alice", "other-05000", OnFull::Queue).unwrap_err();
    assert!(matches!(refused, Rejection::MemberName { .. }), "{refused:?}");
    let refused = bench.create("alice", "other", OnFull::Queue).unwrap_err();
    assert!(matches!(refused, Rejection::VmExists { state: VmState::Running, .. }), "{refused:?}");
}

#[test]
fn stopping_an_ensemble_makes_no_more_members_and_stops_those_there_are() {
    let mut bench = bench();
    bench.ensemble("alice", "sweep", 12).unwrap();
    bench.complete("alice", "sweep-00001");
    for number in 2..=11 {
        bench.observe("alice", &format!("sweep-{number:05}"), ObservedState::Running);
    }
    bench.ask("alice", "sweep", Verb::Stop, Ask::Stop).unwrap();
    assert_eq!(bench.fleet.queued(), 0);
    assert_eq!(bench.fleet.state_of(&key("alice", "sweep")), Some(VmState::Stopping));
    for number in 2..=11 {
        bench.observe("alice", &format!("sweep-{number:05}"), ObservedState::Stopped);
    }
    assert_eq!(bench.counts("alice", "sweep"), Counts { completed: 1, stopped: 10, ..Counts::default() });
    assert_eq!(bench.fleet.state_of(&key("alice", "sweep")), Some(VmState::Stopped));
}

#[test]
fn destroying_an_ensemble_gives_everything_back_and_its_name_too() {
    let mut bench = bench();
    bench.ensemble("alice", "sweep", 12).unwrap();
    bench.ask("alice", "sweep", Verb::Destroy, Ask::Destroy).unwrap();
    for number in 1..=10 {
        assert_eq!(bench.state("alice", &format!("sweep-{number:05}")), VmState::Destroying);
        bench.observe("alice", &format!("sweep-{number:05}"), ObservedState::Absent);
    }
    assert_eq!((bench.fleet.held, bench.fleet.queued()), (Amounts::NOTHING, 0));
    assert_eq!(bench.fleet.ensemble(&key("alice", "sweep")), None);
    bench.ensemble("alice", "sweep", 3).unwrap();
    assert_eq!(bench.counts("alice", "sweep").running, 3);
}

#[test]
fn a_request_for_an_ensemble_takes_effect_once() {
    let mut bench = bench();
    let new = || Ask::Ensemble(NewEnsemble { body: Arc::from("{}"), seed: 1, members: 3, priority: 3 });
    let first = bench.ask_as("alice", "sweep", Verb::Ensemble, new(), Some(("r", "d"))).unwrap();
    assert_eq!(bench.ask_as("alice", "sweep", Verb::Ensemble, new(), Some(("r", "d"))), Ok(first));
    assert_eq!(bench.fleet.vms().count(), 3);
    let refused = bench.ask("alice", "sweep", Verb::Pause, Ask::Pause).unwrap_err();
    assert!(matches!(refused, Rejection::IsEnsemble { .. }), "{refused:?}");
}
