//! The pool itself: children killed from outside, a queue that is full, a program that is missing.

use std::path::PathBuf;

use bioxen_guest::{Failure, Job, Limits, Value};
use bioxen_hypervisor::ChassisName;
use bioxen_worker::guest::{GuestError, GuestPool, PoolSettings, Refused};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Guests, fresh, job, program};

/// Processes whose program goes by `name`: a link to the guest gives each test a name of its own.
fn processes(name: &str) -> Vec<i32> {
    let listed = std::fs::read_dir("/proc").expect("/proc");
    let ids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.trim() == name))
        .collect()
}

fn linked(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::os::unix::fs::symlink(program(), &path).expect("a link");
    path
}

#[test]
fn a_child_killed_from_outside_fails_its_job_alone_and_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("kill-{}", std::process::id() % 100_000);
    let guests = Guests::start_program(linked(&folder, &name), 1);
    let before = processes(&name);
    assert_eq!(before.len(), 1, "started ahead");
    let victim = Pid::from_raw(before[0]).expect("a process");
    let endless = Job {
        limits: Limits { fuel: u64::MAX, wall_ms: 60_000, ..Limits::default() },
        ..job(&fresh(ChassisName::Syn3a), "while true do end")
    };
    let outcome = std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            // Wherever the job is by then: handed over, running, or about to be.
            while !running(victim) {
                std::thread::yield_now();
            }
            kill_process(victim, Signal::KILL).expect("it is ours");
        });
        let outcome = guests.outcome(&endless);
        killer.join().expect("it was killed");
        outcome
    });
    assert!(matches!(outcome.result, Err(Failure::Killed { .. })), "{outcome:?}");
    assert_eq!(guests.value("return 2"), Value::Whole(2));
    assert_ne!(processes(&name), before);
    drop(guests);
    assert_eq!(processes(&name), Vec::<i32>::new(), "all children end with the pool");
}

/// Whether a process has begun to use the processor for its job.
fn running(process: Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().next() == Some("R")
}

#[test]
fn jobs_side_by_side_do_not_mix() {
    let guests = Guests::start(2);
    let jobs: Vec<Job> = (0..40)
        .map(|id| Job { id, ..job(&fresh(ChassisName::Syn3a), &format!("cell.advance(1) return {id}")) })
        .collect();
    for (id, outcome) in guests.together(&jobs).into_iter().enumerate() {
        assert_eq!(outcome.id, id as u64);
        assert_eq!(outcome.result.expect("it works").value, Value::Whole(i64::try_from(id).expect("small")));
    }
}

#[test]
fn a_full_queue_refuses_what_it_cannot_keep() {
    let guests = Guests::start(1);
    let slow = Job {
        limits: Limits { fuel: u64::MAX, wall_ms: 300, ..Limits::default() },
        ..job(&fresh(ChassisName::Syn3a), "while true do end")
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = runtime.block_on(async {
        let mut first = Box::pin(guests.pool.run(&slow));
        assert!(futures::poll!(&mut first).is_pending());
        let mut waiting = Vec::new();
        loop {
            let mut next = Box::pin(guests.pool.run(&slow));
            match futures::poll!(&mut next) {
                std::task::Poll::Ready(result) => break result.expect_err("it is refused"),
                std::task::Poll::Pending => waiting.push(next),
            }
            assert!(waiting.len() < 1_000, "the queue has no end");
        }
    });
    assert!(matches!(refused, Refused::Busy { .. }), "{refused}");
    // Nobody waits for those in the queue any more: they make room without being run.
    let good = job(&fresh(ChassisName::Syn3a), "return 3");
    let outcome = loop {
        match runtime.block_on(guests.pool.run(&good)) {
            Err(Refused::Busy { .. }) => std::thread::yield_now(),
            taken => break taken.expect("it is taken"),
        }
    };
    assert_eq!(outcome.result.expect("it works").value, Value::Whole(3));
}

#[test]
fn a_missing_program_is_said_at_the_start() {
    let settings = PoolSettings { program: PathBuf::from("/nowhere/bioxen-guest"), children: 2, packs: None };
    let error = GuestPool::start(&settings).expect_err("it is missing");
    assert!(matches!(error, GuestError::Program { .. }));
    assert!(error.to_string().contains("BIOXEN_GUEST"), "{error}");
    let error = GuestPool::start(&PoolSettings { program: "/bin/true".into(), children: 1, packs: None });
    let error = error.expect_err("it does not greet");
    assert!(error.to_string().contains("ended before it was ready"), "{error}");
}

#[test]
fn a_guest_is_shut_off_from_its_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("shut-{}", std::process::id() % 100_000);
    let guests = Guests::start_program(linked(&folder, &name), 1);
    assert_eq!(guests.value("return 1"), Value::Whole(1), "it is at work");
    let process = format!("/proc/{}", processes(&name)[0]);
    let read =
        |file: &str| std::fs::read_to_string(format!("{process}/{file}")).expect("its own process's file");
    let status = read("status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    let limits = read("limits");
    for (resource, soft) in
        [("Max file size", "0"), ("Max processes", "0"), ("Max open files", "0"), ("Max core file size", "0")]
    {
        let line = limits.lines().find(|line| line.starts_with(resource)).expect("a limit");
        assert_eq!(line[resource.len()..].split_whitespace().next(), Some(soft), "{line}");
    }
    let open = std::fs::read_dir(format!("{process}/fd")).expect("its files").count();
    assert_eq!(open, 3, "nothing is inherited but the standard streams");
    let link = |file: &str| std::fs::read_link(format!("{process}/{file}")).expect("a link");
    assert_eq!(link("cwd"), PathBuf::from("/"));
    if guests.pool.confinement().network_namespace {
        assert_ne!(link("ns/net"), std::fs::read_link("/proc/self/ns/net").expect("a link"));
    } else {
        println!("skipped: this host grants no network namespace to this account; system calls are limited");
    }
}

#[test]
#[ignore = "a measurement: run it with --ignored --nocapture on a machine at rest"]
fn how_long_a_call_takes() {
    let guests = Guests::start(1);
    let cell = fresh(ChassisName::Syn3a);
    for code in [
        "get_biological_status()",
        "test_process()",
        "return cell.metrics().growth_rate_per_min",
        "cell.advance(60) return cell.time()",
        "local n = 0 for i = 1, 1e6 do n += i end return n",
    ] {
        let job = job(&cell, code);
        let mut times: Vec<_> = (0..201)
            .map(|_| {
                let begun = std::time::Instant::now();
                assert!(guests.outcome(&job).result.is_ok());
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{code}: median {:?}, 95 % {:?}", times[100], times[190]);
    }
}
