//! The disk under a coordinator's ledger fails or is full: it says so and ends, and what was accepted stands.

use std::path::Path;
use std::time::Duration;

use async_nats::Client;
use bioxen_coordinator::ledger::Ledger;
use bioxen_tests::{FIRST, Options, Random, TestFleet, assert_clean, leader, roomy_worker};

use crate::child::{Doomed, RESOURCES};
use crate::failing::{Call, Failing};
use crate::lane::{Counts, LATE_ANSWER, Lane, resolve, run_lanes};
use crate::oracle::{check_once_each, check_quotas, check_vms, events_told};

const EVER: u64 = u64::MAX;
const USERS: u32 = 2;
const LANES_PER_USER: u32 = 4;
/// Ends a coordinator under load that nothing else ends.
const LEADING_CALLS: u64 = 30;

fn fleet() -> TestFleet {
    TestFleet::start(&Options { resources: RESOURCES.to_owned(), workers: vec![roomy_worker("w1")] })
}

pub(crate) fn lanes() -> Vec<Lane> {
    let mut random = Random::from_environment();
    let of_user = |user: u32| (0..LANES_PER_USER).map(move |lane| (format!("user{user}"), lane));
    (0..USERS).flat_map(of_user).map(|(user, number)| Lane::new(user, number, random.fork())).collect()
}

/// It ended by itself, and said what it met, where, and what to do.
fn assert_says(failing: Failing, data: &Path, (_, code, log): (bool, Option<i32>, String)) -> String {
    assert_eq!(code, Some(1), "{failing}:\n{log}");
    // sled's own threads may still have their say.
    let is_ours = |line: &&str| line.contains("ERROR") && !line.contains(" sled::");
    let error = log.lines().rfind(is_ours).unwrap_or_default().to_owned();
    let words = [
        "the disk under the ledger",
        &data.display().to_string(),
        " failed while ",
        failing.words(),
        "start again",
    ];
    for word in words {
        assert!(error.contains(word), "{failing}: it does not say {word:?}:\n{log}");
    }
    assert!(!log.contains("panicked"), "{failing}: it panicked:\n{log}");
    let lines = log.lines().filter(|line| !line.contains(" audit: ")).count();
    assert!(lines < 100, "{failing}: it wrote {lines} lines:\n{log}");
    error
}

/// What fails, from early in the start to far into leading.
fn failures() -> Vec<Failing> {
    let of = |call, count, firsts: &[u64]| -> Vec<Failing> {
        firsts.iter().map(|first| Failing { call, first: *first, count }).collect()
    };
    [
        of(Call::Sync, 1, &[9, 14, 23, 37, 60]),
        of(Call::Sync, EVER, &[4, 10, 17, 29, 46, 75]),
        of(Call::Write, EVER, &[1, 3, 6, 11, 19, 31, 52]),
        of(Call::Write, 1, &[2, 5, 13, 40]),
        of(Call::Open, EVER, &[1, 3, 5]),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_whose_disk_fails_under_load_says_so_and_what_it_accepted_stands() {
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let (mut lanes, mut counts, mut led) = (lanes(), Counts::default(), 0);
    let failures = failures();
    for failing in &failures {
        fleet.kill_coordinator();
        let doomed = Doomed::start(&fleet, &fleet.ledger(), *failing);
        let mut ended = None;
        let end = || ended = Some(doomed.end());
        lanes = run_lanes(&client, lanes, Duration::ZERO, LATE_ANSWER, &mut counts, end).await;
        let ended = ended.unwrap();
        led += u32::from(ended.0);
        println!("{failing}: {}", assert_says(*failing, &fleet.ledger(), ended));
        fleet.start_coordinator();
        resolve(&client, &mut lanes, &mut counts).await;
    }
    check(&client, &lanes).await;
    println!("{} failures, {led} of them met by a leader\n{counts:#?}", failures.len());
    assert!(failures.len() > 20 && led > 10, "{led} of {} met a leader", failures.len());
}

/// What the clients know, held against fleet, journal and events.
pub(crate) async fn check(client: &Client, lanes: &[Lane]) {
    check_vms(client, lanes).await;
    check_quotas(client, lanes).await;
    assert_clean(client).await;
    let events = events_told(client).await;
    check_once_each(client, lanes, &events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_coordinator_takes_over_from_one_whose_disk_fails() {
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let (mut lanes, mut counts) = (lanes(), Counts::default());
    for call in [Call::Sync, Call::Write] {
        let failing = Failing { call, first: LEADING_CALLS, count: EVER };
        fleet.kill_coordinator();
        let doomed = Doomed::start(&fleet, &fleet.ledger(), failing);
        let second = format!("{call:?}-second").to_lowercase();
        fleet.start_coordinator_as(&second);
        let mut ended = None;
        let end = || ended = Some(doomed.end());
        lanes = run_lanes(&client, lanes, Duration::ZERO, LATE_ANSWER, &mut counts, end).await;
        assert_says(failing, &fleet.ledger(), ended.unwrap());
        assert_eq!(leader(&client).await, second);
        resolve(&client, &mut lanes, &mut counts).await;
        check_vms(&client, &lanes).await;
        assert_clean(&client).await;
        counts.verified += 1;
        fleet.stop_coordinator_as(&second);
        fleet.start_coordinator_as(FIRST);
    }
    check(&client, &lanes).await;
    println!("{counts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_begun_is_said_and_can_be_begun_later() {
    let fleet = TestFleet::bus_only(&Options::default());
    let of = |call, firsts: std::ops::RangeInclusive<u64>| {
        firsts.map(move |first| Failing { call, first, count: EVER })
    };
    let failures = of(Call::Open, 1..=6).chain(of(Call::Write, 1..=4)).chain(of(Call::Sync, 1..=6));
    for failing in failures {
        let data = fleet.folder().join(format!("new-{failing}"));
        println!("{failing}: {}", assert_says(failing, &data, Doomed::start(&fleet, &data, failing).end()));
        let ledger = Ledger::open(&data).unwrap_or_else(|error| panic!("{failing}: {error}"));
        assert_eq!(ledger.applied(), None, "{failing}");
    }
}
