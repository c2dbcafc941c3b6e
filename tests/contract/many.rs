//! Fifty guests at once on two pools: within the limits, and nothing left over.

use bioxen_tests::TestFleet;
use bioxen_tests::vms::{WIDE, reach, status_until};
use bioxen_tests::{Options, ask, assert_clean, cells::subject};
use futures::future::join_all;
use serde_json::json;

use crate::place::{WORKER, pool_with_guests, section};

const VMS: usize = 50;
/// Of 10 connections one follows events and one is for logins.
const CALLS_MOST: usize = 8;
const HEAVY_MOST: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_guests_live_at_once_on_two_pools_and_leave_nothing() {
    let (Some(mut first), Some(mut second)) = (pool_with_guests(), pool_with_guests()) else { return };
    let mut fleet = TestFleet::without_workers(&Options { resources: WIDE.to_owned(), ..Options::default() });
    let before = [first.census(), second.census()];
    let [lab, annex] =
        [("lab", &first), ("annex", &second)].map(|(name, pool)| section(name, pool, fleet.folder()));
    fleet.start_worker("x1", &format!("{WORKER}{lab}{annex}"));
    let client = fleet.connect().await;
    join_all((0..VMS).map(|number| live(&client, number))).await;
    fleet.stop_worker("x1");
    assert_clean(&client).await;
    for (pool, before) in [&mut first, &mut second].into_iter().zip(before) {
        assert_eq!(pool.census(), before, "sessions, tasks, guests, disks, connections");
        let seen = pool.seen();
        assert!(
            seen.most_calls_at_once <= CALLS_MOST && seen.most_clones_and_starts_at_once <= HEAVY_MOST,
            "{seen:?}"
        );
        pool.assert_no_violations();
    }
}

async fn live(client: &async_nats::Client, number: usize) {
    let vm = format!("vm{number}");
    let pool = if number.is_multiple_of(2) { "lab" } else { "annex" };
    let body = json!({ "biological_type": "syn3a", "seed": number, "auto_start": true, "vm_type": "xcpng",
                       "config": { "xcpng_config": { "pool": pool } }, "allocation": { "ribosomes": 5 } });
    let made = ask(client, &subject("create", &vm), &body).await;
    assert_eq!(made["status"], "created", "{made}");
    status_until(client, &vm, |status| status["simulated_minutes"].as_f64() > Some(0.0)).await;
    reach(client, "destroy", &vm, "destroyed").await;
}
