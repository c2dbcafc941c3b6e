//! Alerts: one for each crossing, none twice, and the same after a restart from rows.

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{AllocationRequest, OnFull, Verb};
use bioxen_protocol::worker::{Observation, ObservedState};

use super::{Bench, key, observation, start};
use crate::fleet::account::UserLimits;
use crate::fleet::alerts::{Measure, Whose};
use crate::fleet::command::{Ask, Command};
use crate::fleet::entry::Entry;

/// The alerts that are due, taken up: whose, what, and whether raised.
fn due(bench: &mut Bench) -> Vec<(Whose, Measure, bool)> {
    let entries = bench.fleet.due_alerts(100);
    for entry in &entries {
        bench.fleet.evolve(bench.now_ms, entry);
    }
    let of = |entry: Entry| match entry {
        Entry::Alerted(alerted) => (alerted.whose, alerted.measure, alerted.is_raised),
        other => panic!("{other:?}"),
    };
    entries.into_iter().map(of).collect()
}

fn allocate(bench: &mut Bench, vm: &str, ribosomes: u64) {
    let request = AllocationRequest { ribosomes: Some(ribosomes), ..AllocationRequest::default() };
    bench.ask("alice", vm, Verb::Allocate, Ask::Allocate(request)).unwrap();
}

#[test]
fn units_are_alerted_once_above_ninety_percent_and_again_only_after_they_fell_below_eighty() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    let limits = UserLimits { max_ribosomes: Some(20), ..UserLimits::default() };
    let (operator, user) = ("ops".parse().unwrap(), "alice".parse().unwrap());
    bench.run(&Command::SetLimits { operator, user, limits }).unwrap();
    for vm in ["c1", "c2"] {
        bench.create("alice", vm, OnFull::Reject).unwrap();
        allocate(&mut bench, vm, 9);
    }
    assert_eq!(due(&mut bench), [], "18 of 20 is not above");
    allocate(&mut bench, "c2", 10);
    let alice = |is_raised| (Whose::User("alice".parse().unwrap()), Measure::Ribosomes, is_raised);
    assert_eq!(due(&mut bench), [alice(true)]);
    assert_eq!(due(&mut bench), []);
    for ribosomes in [7, 10] {
        allocate(&mut bench, "c2", ribosomes);
        assert_eq!(due(&mut bench), [], "16 of 20 has not recovered");
    }
    allocate(&mut bench, "c2", 6);
    assert_eq!(due(&mut bench), [alice(false)]);
    allocate(&mut bench, "c2", 10);
    assert_eq!(due(&mut bench), [alice(true)]);
}

#[test]
fn a_user_without_a_limit_of_its_own_is_held_to_the_fleet_s_and_a_worker_to_its_own_threshold() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    for number in 0..6 {
        let vm = format!("c{number}");
        bench.create("alice", &vm, OnFull::Reject).unwrap();
        bench.ask("alice", &vm, Verb::Start, start()).unwrap();
    }
    // 60 of 68 units that the worker may hold is above its 85 percent; 60 of the fleet's 500 is nothing.
    let worker = Whose::Worker("w1".parse().unwrap());
    assert_eq!(due(&mut bench), [(worker.clone(), Measure::Ribosomes, true)]);
    let mut config = bench.fleet.config.clone();
    config.global_ribosome_limit = 64;
    bench.fleet.evolve(bench.now_ms, &Entry::Configured { config });
    let user = Whose::User("alice".parse().unwrap());
    let expected = [(user, Measure::Ribosomes, true), (Whose::Fleet, Measure::Ribosomes, true)];
    assert_eq!(due(&mut bench), expected);
    assert_eq!(super::random::through_rows(&bench.fleet).due_alerts(100), [], "known after a restart too");
}

#[test]
fn low_energy_is_news_once_and_never_taken_back_by_who_says_nothing_of_it() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.create("alice", "c1", OnFull::Reject).unwrap();
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    let at = bench.fleet.vm(&key("alice", "c1")).unwrap().placement.clone().unwrap();
    let low = AtpWatch { is_low: true, crossings: 2, tick: 9, level_permille: 150 };
    let seen = |bench: &mut Bench, atp: AtpWatch| {
        let seen = observation(key("alice", "c1"), at.generation, ObservedState::Running, 0);
        let observation = Box::new(Observation { atp, ..seen });
        let before = bench.fleet.next_index;
        let (worker, boot) = (at.worker.clone(), at.boot.clone());
        bench.run(&Command::Observe { worker, boot, observation }).unwrap();
        bench.fleet.next_index - before
    };
    assert_eq!(seen(&mut bench, low), 1);
    assert_eq!((seen(&mut bench, low), seen(&mut bench, AtpWatch::default())), (0, 0));
    assert_eq!(seen(&mut bench, AtpWatch { is_low: false, ..low }), 1, "recovered");
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().atp.crossings, 2);
}
