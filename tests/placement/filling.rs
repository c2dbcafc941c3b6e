//! Workers are filled to what is usable of them, never beyond; what finds no room is told why, or waits its turn.

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, TestFleet, ask, code};
use serde_json::{Value, json};

use crate::{USABLE, assert_nothing_held, command, destroy, filled, reaches, small_worker, status, workers};

const ROOMY: &str = "global_atp_limit = 100000.0\nmax_vms_per_user = 100\n";

fn two_small(resources: &str) -> TestFleet {
    let workers = vec![small_worker("w1"), small_worker("w2")];
    TestFleet::start(&Options { resources: format!("{ROOMY}{resources}"), workers })
}

async fn create(client: &Client, vm: &str, kind: &str, ribosomes: u64) -> Value {
    let allocation = json!({ "ribosomes": ribosomes });
    let body = json!({ "biological_type": kind, "auto_start": true, "allocation": allocation });
    ask(client, &command("alice", "create", vm), &body).await
}

async fn queue(client: &Client, vm: &str, priority: u8) -> Value {
    let body = json!({ "biological_type": "syn3a", "on_full": "queue", "priority": priority });
    ask(client, &command("alice", "create", vm), &body).await
}

/// Six of 10 units and one of 8 on each worker: 68.
async fn fill(client: &Client) {
    for number in 0..14 {
        let (kind, ribosomes) = if number < 12 { ("syn3a", 10) } else { ("minimal_cell", 8) };
        let created = create(client, &format!("f{number}"), kind, ribosomes).await;
        assert_eq!(created["state"], "starting", "{created}");
        let now = filled(client).await;
        let most = now.iter().map(|(used, _)| used).max();
        let least = now.iter().map(|(used, _)| used).min();
        assert!(most <= least.map(|least| least + 10).as_ref(), "not spread: {now:?}");
    }
    assert_eq!(filled(client).await, [(USABLE, 7), (USABLE, 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_are_filled_to_68_and_what_finds_no_room_is_told_why_for_each() {
    let fleet = two_small("");
    let client = fleet.connect().await;
    fill(&client).await;
    for ribosomes in [1, 10] {
        let refused = create(&client, "late", "syn3a", ribosomes).await;
        assert_eq!(code(&refused), "BX013", "{refused}");
        let told = refused["error"]["details"]["workers"].as_array().expect("a reason for each worker");
        assert_eq!(told.len(), 2, "{refused}");
        for (worker, reason) in ["w1", "w2"].iter().zip(told) {
            assert_eq!(reason["worker"], **worker);
            let text = reason["reason"].as_str().expect("a text");
            assert!(text.contains("68 of 68") && text.contains(&ribosomes.to_string()), "{text}");
            assert!(refused["error"]["message"].as_str().is_some_and(|told| told.contains(text)));
        }
        assert!(refused["error"]["details"]["retry_after_ms"].is_u64(), "{refused}");
    }
    // What is refused leaves nothing behind, and what runs may not grow where there is no room.
    assert_eq!(code(&status(&client, "alice", "late").await), "BX010");
    let grown = ask(&client, &command("alice", "allocate", "f0"), &json!({ "ribosomes": 11 })).await;
    assert_eq!(code(&grown), "BX013", "{grown}");
    assert_eq!(filled(&client).await, [(USABLE, 7), (USABLE, 7)]);
    let folded = assert_all_agree("two workers filled", &fleet, &client).await;
    let at_most = ["w1", "w2"].map(|worker| folded["worker_peak"][worker]["ribosomes"].clone());
    assert_eq!(at_most, [json!(USABLE), json!(USABLE)]);
    for number in 0..14 {
        destroy(&client, "alice", &format!("f{number}")).await;
    }
    assert_nothing_held(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_mix_of_sizes_stays_within_68_and_fills_every_unit_that_fits() {
    let fleet = two_small("");
    let client = fleet.connect().await;
    let mut made: Vec<String> = Vec::new();
    let mut seed = 7u64;
    let mut refusals = 0;
    let mut highest = 0;
    for number in 0..150 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ribosomes = 1 + (seed >> 33) % 15;
        let before = filled(&client).await;
        let fits = before.iter().any(|(used, vms)| used + ribosomes <= USABLE && *vms < 16);
        let vm = format!("m{number}");
        let answer = create(&client, &vm, "syn3a", ribosomes).await;
        assert_eq!(code(&answer).is_empty(), fits, "{ribosomes} units into {before:?}: {answer}");
        if fits {
            made.push(vm);
        } else {
            assert_eq!(code(&answer), "BX013", "{answer}");
            refusals += 1;
            let gone = made.remove(usize::try_from(seed >> 60).expect("small") % made.len());
            destroy(&client, "alice", &gone).await;
        }
        highest = filled(&client).await.iter().map(|(used, _)| *used).fold(highest, u64::max);
    }
    assert_eq!(highest, USABLE);
    println!("150 creations of 1 to 15 units: {refusals} refused, at most {highest} of 80 units on a worker");
    assert!(refusals > 10);
    assert_all_agree("a mix of sizes", &fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_worker_starts_what_waits_by_priority_then_age() {
    let mut fleet = two_small("");
    let client = fleet.connect().await;
    fill(&client).await;
    let mut told = Vec::new();
    for (vm, priority) in [("a", 3), ("b", 1), ("c", 5), ("d", 1), ("e", 3)] {
        let answer = queue(&client, vm, priority).await;
        assert_eq!(answer["state"], "queued", "{answer}");
        told.push(answer["queue_position"].as_u64());
    }
    assert_eq!(told, [1, 1, 3, 2, 4].map(Some));
    for (place, vm) in ["b", "d", "a", "e", "c"].iter().enumerate() {
        let now = status(&client, "alice", vm).await;
        assert_eq!((&now["state"], &now["queue_position"]), (&json!("queued"), &json!(place + 1)), "{now}");
        assert_eq!((&now["worker"], &now["generation"]), (&Value::Null, &Value::Null));
    }
    let slots = ask(&client, "bioxen.v1.cmd.alice.quota", &Value::Null).await;
    assert_eq!((&slots["used"]["slots"], &slots["queued"]), (&json!(14), &json!(5)), "{slots}");
    // Whoever comes now and would wait does not overtake; room for three only.
    fleet.start_worker("w3", "max_vms = 3\ntotal_ribosomes = 80\n");
    let mut generations = Vec::new();
    for vm in ["b", "d", "a"] {
        let now = reaches(&client, "alice", vm, "running").await;
        assert_eq!(now["worker"], "w3", "{now}");
        generations.push(now["generation"]["index"].as_u64());
    }
    assert!(generations.is_sorted() && generations.iter().all(Option::is_some), "{generations:?}");
    for (place, vm) in ["e", "c"].iter().enumerate() {
        let now = status(&client, "alice", vm).await;
        assert_eq!((&now["state"], &now["queue_position"]), (&json!("queued"), &json!(place + 1)), "{now}");
    }
    destroy(&client, "alice", "d").await;
    assert_eq!(reaches(&client, "alice", "e", "running").await["worker"], "w3");
    assert_eq!(status(&client, "alice", "c").await["queue_position"], 1);
    destroy(&client, "alice", "f0").await;
    reaches(&client, "alice", "c", "running").await;
    let folded = assert_all_agree("a third worker", &fleet, &client).await;
    let started = folded["started"].as_array().expect("a list").iter().skip(14).cloned().collect::<Vec<_>>();
    assert_eq!(started, ["b", "d", "a", "e", "c"].map(|vm| json!(format!("alice/{vm}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn bin_pack_fills_one_worker_before_the_next() {
    let fleet = two_small("placement = \"bin_pack\"\n");
    let client = fleet.connect().await;
    let mut seen = Vec::new();
    for number in 0..8 {
        let (kind, ribosomes) = if number == 7 { ("minimal_cell", 8) } else { ("syn3a", 10) };
        let created = create(&client, &format!("p{number}"), kind, ribosomes).await;
        assert_eq!(created["state"], "starting", "{created}");
        seen.push(filled(&client).await.iter().map(|(used, _)| *used).collect::<Vec<_>>());
    }
    println!("bin_pack, units after each creation: {seen:?}");
    assert_eq!(seen[5], [60, 0]);
    // The next 10 do not fit there any more; 8 do, and still go to the fuller one.
    assert_eq!((&seen[6], &seen[7]), (&vec![60, 10], &vec![68, 10]));
    assert_eq!(workers(&client).await.len(), 2);
    assert_all_agree("bin_pack", &fleet, &client).await;
}
