//! Kills and ends of the coordinator under load: whatever was answered is there afterwards, whatever was not takes
//! effect at most once, and the quotas are what the clients' own logs add up to.
//!
//! Only the answers that clients got are believed; the journal and the events are read to count what took effect.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

mod lane;
mod oracle;

use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_tests::Random;
use bioxen_tests::{ANSWER_PATIENCE, Options, TestFleet, assert_clean, roomy_worker};
use lane::{Counts, LATE_ANSWER, Lane, resolve, run_lanes};
use oracle::{check_once_each, check_quotas, check_vms, events_told};

const ROUNDS: u32 = 30;
/// Rounds in which a kill must find unanswered commands.
const ROUNDS_UNANSWERED: u32 = 20;
/// With the rounds beyond `ROUNDS` that chance may need.
const MOST_ROUNDS: u32 = 60;
const USERS: u32 = 4;
const LANES_PER_USER: u32 = 9;
/// A kill comes within this time of the load's begin.
const LONGEST_LOAD_MS: u64 = 250;

fn fleet() -> TestFleet {
    let resources = "global_atp_limit = 100000.0\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n";
    TestFleet::start(&Options { resources: resources.to_owned(), workers: vec![roomy_worker("w1")] })
}

fn lanes(random: &mut Random) -> Vec<Lane> {
    let of_user = |user: u32| (0..LANES_PER_USER).map(move |lane| (format!("user{user}"), lane));
    (0..USERS).flat_map(of_user).map(|(user, number)| Lane::new(user, number, random.fork())).collect()
}

/// What the clients know, held against the fleet.
async fn check(client: &Client, lanes: &[Lane]) {
    check_vms(client, lanes).await;
    check_quotas(client, lanes).await;
}

async fn check_all(client: &Client, lanes: &[Lane], counts: &mut Counts) {
    check(client, lanes).await;
    assert_clean(client).await;
    counts.verified += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_every_kill_and_nothing_takes_effect_twice() {
    let mut random = Random::from_environment();
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let mut lanes = lanes(&mut random);
    let mut counts = Counts::default();
    let (mut rounds, mut rounds_unanswered) = (0, 0);
    let started = Instant::now();
    while (rounds < ROUNDS || rounds_unanswered < ROUNDS_UNANSWERED) && rounds < MOST_ROUNDS {
        let load = Duration::from_millis(random.below(LONGEST_LOAD_MS));
        let unanswered_before = counts.unanswered;
        let kill = || fleet.kill_coordinator();
        lanes = run_lanes(&client, lanes, load, LATE_ANSWER, &mut counts, kill).await;
        rounds += 1;
        rounds_unanswered += u32::from(counts.unanswered > unanswered_before);
        fleet.start_coordinator();
        resolve(&client, &mut lanes, &mut counts).await;
        if rounds % 5 == 0 {
            check_all(&client, &lanes, &mut counts).await;
        }
    }
    check_all(&client, &lanes, &mut counts).await;
    let events = events_told(&client).await;
    check_once_each(&client, &lanes, &events).await;
    println!(
        "{rounds} kills, {rounds_unanswered} of them with commands unanswered, in {:.1} s\n{counts:#?}",
        started.elapsed().as_secs_f64()
    );
    assert!(rounds_unanswered >= ROUNDS_UNANSWERED, "{rounds_unanswered} kills met unanswered commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_told_to_end_under_load_answers_everything_or_says_that_the_outcome_is_unknown() {
    const ENDS: u32 = 5;
    let mut random = Random::from_environment();
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let mut lanes = lanes(&mut random);
    let mut counts = Counts::default();
    for end in 1..=ENDS {
        let load = Duration::from_millis(random.below(LONGEST_LOAD_MS));
        let stop = || fleet.stop_coordinator();
        lanes = run_lanes(&client, lanes, load, ANSWER_PATIENCE, &mut counts, stop).await;
        assert_eq!(counts.unanswered, 0, "end {end}: commands were left without any answer\n{counts:#?}");
        fleet.start_coordinator();
        resolve(&client, &mut lanes, &mut counts).await;
        check_all(&client, &lanes, &mut counts).await;
    }
    let events = events_told(&client).await;
    check_once_each(&client, &lanes, &events).await;
    println!("{ENDS} ends by SIGTERM\n{counts:#?}");
}
