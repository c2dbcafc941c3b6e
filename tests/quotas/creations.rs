//! Races to create: exactly as many succeed as the limit says, in every round.

use std::collections::BTreeMap;

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, TestFleet, ask, code};
use serde_json::{Value, json};

use crate::race::{
    Asked, assert_all_given_back, assert_figures, command, connections, destroy_all, race, shuffled,
};

const ROUNDS: u64 = 50;
const CLIENTS: usize = 64;
const USERS: usize = 30;
/// The first five users try far more than they may hold, so that both limits refuse.
const TRIES: usize = 5 * 36 + 25 * 6;

/// Users are limited by number, so that neither energy nor ribosomes are what a race is about.
fn roomy() -> TestFleet {
    let resources = "global_atp_limit = 100000.0\nglobal_ribosome_limit = 50000\n".to_owned();
    TestFleet::without_workers(&Options { resources, ..Options::default() })
}

fn create(user: &str, vm: &str) -> Asked {
    (command(user, "create", vm), json!({ "biological_type": "syn3a" }))
}

/// The (user, VM) of each creation that succeeded, and the refusals.
fn outcome(asked: &[(String, String)], answers: Vec<Value>) -> (Vec<(String, String)>, Vec<Value>) {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for (asked, answer) in asked.iter().zip(answers) {
        if code(&answer).is_empty() {
            assert_eq!((&answer["status"], &answer["state"]), (&json!("created"), &json!("created")));
            assert_eq!(answer["vm_id"], *asked.1, "{answer}");
            made.push(asked.clone());
        } else {
            refused.push(answer);
        }
    }
    (made, refused)
}

async fn used_slots(client: &Client, user: &str) -> u64 {
    let quota = ask(client, &format!("bioxen.v1.cmd.{user}.quota"), &Value::Null).await;
    quota["used"]["slots"].as_u64().expect("a number of VMs")
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_clients_race_for_one_users_ten_vms_and_exactly_ten_succeed() {
    let fleet = roomy();
    let clients = connections(&fleet, CLIENTS).await;
    let user = ["alice".to_owned()];
    let mut refusals = 0;
    for round in 0..ROUNDS {
        // Half of the names were used, and destroyed, in the round before.
        let vms: Vec<_> = (0..CLIENTS).map(|number| format!("c{}-{number}", round / 2)).collect();
        let vms: Vec<_> = vms.into_iter().map(|vm| ("alice".to_owned(), vm)).collect();
        let answers = race(&clients, vms.iter().map(|(user, vm)| create(user, vm)).collect()).await;
        let (made, refused) = outcome(&vms, answers);
        assert_eq!((made.len(), refused.len()), (10, 54), "round {round}");
        for answer in &refused {
            assert_figures(answer, "BX011", "vms", 10.0, 1.0);
        }
        assert_eq!(used_slots(&clients[0], "alice").await, 10);
        refusals += refused.len();
        destroy_all(&clients, &made).await;
        assert_all_given_back(&clients[0], &user).await;
    }
    println!("{ROUNDS} rounds: 10 of {CLIENTS} created in each, {refusals} refused as BX011");
    let folded = assert_all_agree("one user's limit", &fleet, &clients[0]).await;
    assert_eq!((&folded["peak"]["slots"], &folded["kinds"]["Created"]), (&json!(10), &json!(500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_users_race_for_a_hundred_vms_and_exactly_a_hundred_succeed() {
    let fleet = roomy();
    let clients = connections(&fleet, CLIENTS).await;
    let users: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
    let mut by_code: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let tries = |number: usize| if number < 5 { 36 } else { 6 };
        let vms = users
            .iter()
            .enumerate()
            .flat_map(|(number, user)| (0..tries(number)).map(move |vm| (user.clone(), format!("c{vm}"))));
        let vms = shuffled(vms.collect(), round);
        let answers = race(&clients, vms.iter().map(|(user, vm)| create(user, vm)).collect()).await;
        let (made, refused) = outcome(&vms, answers);
        assert_eq!((made.len(), refused.len()), (100, TRIES - 100), "round {round}");
        for answer in &refused {
            *by_code.entry(code(answer).to_owned()).or_default() += 1;
            match code(answer) {
                "BX004" => assert_figures(answer, "BX004", "vms", 100.0, 1.0),
                _ => assert_figures(answer, "BX011", "vms", 10.0, 1.0),
            }
        }
        for user in &users {
            let own = u64::try_from(made.iter().filter(|(owner, _)| owner == user).count());
            assert_eq!(Ok(used_slots(&clients[0], user).await), own, "{user}");
        }
        destroy_all(&clients, &made).await;
        assert_all_given_back(&clients[0], &users).await;
    }
    println!("{ROUNDS} rounds: 100 of {TRIES} created in each, refused {by_code:?}");
    assert!(by_code["BX004"] > 0 && by_code["BX011"] > 0);
    let folded = assert_all_agree("the fleet's limit", &fleet, &clients[0]).await;
    assert_eq!((&folded["peak"]["slots"], &folded["kinds"]["Created"]), (&json!(100), &json!(5_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_default_limits_exactly_sixteen_syn3a_succeed_whoever_asks_first() {
    let fleet = TestFleet::without_workers(&Options::default());
    let clients = connections(&fleet, CLIENTS).await;
    let users: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    for round in 0..ROUNDS {
        let vms = users.iter().flat_map(|user| (0..8).map(|vm| (user.clone(), format!("c{vm}"))));
        let vms = shuffled(vms.collect(), round);
        let answers = race(&clients, vms.iter().map(|(user, vm)| create(user, vm)).collect()).await;
        let (made, refused) = outcome(&vms, answers);
        assert_eq!((made.len(), refused.len()), (16, 48), "round {round}");
        for answer in &refused {
            assert_figures(answer, "BX009", "atp_percentage", 1000.0, 60.0);
        }
        if round + 1 == ROUNDS {
            let folded = assert_all_agree("the default limits, full", &fleet, &clients[0]).await;
            let full =
                json!({ "slots": 16, "atp_millipercent": 960_000, "ribosomes": 160, "memory_kb": 8_388_608 });
            assert_eq!((&folded["fleet"], &folded["peak"]), (&full, &full));
        }
        destroy_all(&clients, &made).await;
        assert_all_given_back(&clients[0], &users).await;
    }
    println!("{ROUNDS} rounds: 16 of 64 created in each, 48 refused as BX009");
    assert_all_agree("the default limits, empty", &fleet, &clients[0]).await;
}
