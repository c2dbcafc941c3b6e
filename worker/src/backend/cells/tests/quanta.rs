//! What a quantum that was computed may commit: nothing without the lease, nothing of a VM that is gone.

use super::*;

#[test]
fn a_quantum_computed_beyond_the_lease_is_discarded_and_the_vm_frozen() {
    let mut pool = Pool::new(S / 10);
    pool.place(desired("c1", Pace::Ratio(60.0), None), 0);
    assert!(pool.take(0).is_none(), "a quantum was taken without a lease");
    pool.lease(10 * S, 0);
    let quantum = |pool: &mut Pool, taken_ns, committed_ns| {
        let (number, assignment) = pool.take(taken_ns).expect("a quantum was due");
        pool.commit(number, assignment.run(), 1000, committed_ns);
    };
    quantum(&mut pool, 0, 0);
    quantum(&mut pool, S, S);
    let tick = |pool: &Pool| pool.see(&key("c1"), 0).unwrap().observation.tick;
    let before = tick(&pool);
    assert!(before > 0);
    quantum(&mut pool, 9 * S, 10 * S);
    assert_eq!((tick(&pool), pool.figures(10 * S).quanta_discarded), (before, 1));
    assert!(pool.take(20 * S).is_none(), "a frozen VM was taken");
    assert_eq!(pool.wake_ns(20 * S), None);

    // The lease comes back at 30 s: the 20 s between do not count.
    let lag = pool.figures(10 * S).worst_lag_ticks;
    assert!(pool.lease(40 * S, 30 * S), "nobody was to be woken");
    assert_eq!(pool.figures(30 * S).worst_lag_ticks, lag);
    quantum(&mut pool, 30 * S, 30 * S);
    assert!(tick(&pool) > before);
}

#[test]
fn a_vm_forgotten_or_replaced_while_in_work_commits_nothing() {
    let mut pool = Pool::new(S / 10);
    pool.lease(1000 * S, 0);
    pool.place(desired("c1", Pace::Max, None), 0);
    let (number, assignment) = pool.take(0).unwrap();
    let higher = Generation { incarnation: 1, index: 8 };
    pool.place(Desired { generation: higher, ..desired("c1", Pace::Max, None) }, 0);
    pool.commit(number, assignment.run(), 1000, 0);
    assert!(pool.observe().is_empty(), "the replaced generation was told of");
    let (number, assignment) = pool.take(0).unwrap();
    pool.commit(number, assignment.run(), 1000, 0);
    let told = pool.observe();
    assert_eq!((told.len(), told[0].generation), (1, higher));
    let (number, assignment) = pool.take(0).unwrap();
    pool.forget(&key("c1"));
    pool.commit(number, assignment.run(), 1000, 0);
    assert!(pool.observe().is_empty() && pool.take(0).is_none());
}

#[test]
fn a_raised_horizon_lets_a_quantum_that_reached_the_old_one_go_on() {
    let mut pool = Pool::new(S / 10);
    pool.lease(1000 * S, 0);
    pool.place(desired("c1", Pace::Max, Some(5)), 0);
    for _ in 0..2 {
        let (number, assignment) = pool.take(0).unwrap();
        if assignment.target_tick > 0 {
            pool.adjust(&desired("c1", Pace::Max, Some(9)), 0);
        }
        pool.commit(number, assignment.run(), 1000, 0);
    }
    assert!(pool.observe().iter().all(|told| told.state == ObservedState::Running));
    let (number, assignment) = pool.take(0).unwrap();
    pool.commit(number, assignment.run(), 1000, 0);
    let told = pool.observe();
    assert_eq!((told[0].state, told[0].tick), (ObservedState::Completed, 9));
}
