//! Guests from nothing to nothing, with answers lost and workers ended on the way.

use std::sync::Arc;
use std::time::Duration;

use bioxen_protocol::id::{Generation, VmKey};
use bioxen_worker::xcpng::guests::{Collected, Collector, Guests, Order, PowerState};
use bioxen_worker::xcpng::{Deadline, Pool, XcpngError, check};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::host::Host;
use crate::model::{Loss, Model, State};
use crate::settings;

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

fn key() -> VmKey {
    VmKey { user: "ada".parse().unwrap(), vm: "cell-1".parse().unwrap() }
}

fn order(index: u64) -> Order {
    Order {
        key: key(),
        generation: Generation { incarnation: 1, index },
        seed: [("authorized_key".to_owned(), "ssh-ed25519 AAAA".to_owned())].into(),
        host_key: "ssh-ed25519 BBBB".to_owned(),
    }
}

fn guests(host: &Host, worker: &str) -> (Guests, tempfile::TempDir) {
    let (settings, folder) = settings(host);
    let pool = Pool::open("lab", settings).unwrap();
    (Guests::new(pool, "f00d", &worker.parse().unwrap()), folder)
}

/// What a pool without guests of ours has: the template with its disk and interface.
fn is_as_before(model: &Model) -> bool {
    let state = model.state();
    ["VM", "VDI", "VBD", "VIF"].iter().all(|class| state.all(class).len() == 1)
}

#[tokio::test]
async fn a_guest_is_fitted_and_comes_up_and_nothing_of_it_stays_behind() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    let up = guests.bring_up(&order(7)).await.unwrap();
    assert_eq!((up.address.to_string().as_str(), up.adopted), ("10.0.0.9", false));
    assert_eq!(up.guest.name, "bioxen/f00d/ada/cell-1/1.7");
    let vm = model.state().guests().pop().unwrap();
    assert_eq!(vm["power_state"], "Running");
    assert_eq!(
        (&vm["memory_static_max"], &vm["VCPUs_max"], &vm["VCPUs_at_startup"]),
        (&json!(1 << 30), &json!(2), &json!(2))
    );
    assert_eq!(vm["xenstore_data"], json!({ "vm-data/bioxen/authorized_key": "ssh-ed25519 AAAA" }));
    assert_eq!(vm["other_config"]["bioxen:vm"], "ada/cell-1");
    assert_eq!(vm["other_config"]["bioxen:generation:1.7"], "w1");
    let vif = vm["VIFs"][0].as_str().unwrap().to_owned();
    assert_eq!(model.state().get("VIF", &vif)["network"], "OpaqueRef:network");
    assert_eq!(guests.destroy(&key(), order(7).generation).await.unwrap(), 1);
    assert!(is_as_before(&model));
    assert_eq!(model.state().all("task"), [""; 0]);
    guests.pool().close().await;
    assert_eq!(host.count("session.login_with_password"), host.count("session.logout"));
}

#[tokio::test]
async fn whichever_answer_is_lost_there_is_exactly_one_guest_and_then_none() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    guests.bring_up(&order(1)).await.unwrap();
    guests.destroy(&key(), order(1).generation).await.unwrap();
    let mut changes = std::mem::take(&mut model.state().changes);
    changes.sort();
    changes.dedup();
    assert!(changes.iter().any(|method| method == "Async.VM.clone"), "{changes:?}");
    let mut index = 1;
    for method in changes.iter().filter(|method| !method.starts_with("task.")) {
        for loss in [Loss::Before, Loss::After] {
            index += 1;
            model.state().lose = Some((method.clone(), loss));
            let up = guests.bring_up(&order(index)).await;
            assert!(up.is_ok(), "{method} lost {loss:?}: {}", up.unwrap_err());
            assert_eq!(model.state().guests().len(), 1, "{method} lost {loss:?}");
            guests.destroy(&key(), order(index).generation).await.unwrap();
            assert!(is_as_before(&model), "{method} lost {loss:?}");
        }
    }
}

#[tokio::test]
async fn wherever_a_worker_ends_the_next_one_has_one_guest_and_collects_the_rest() {
    let (model, host) = Model::start().await;
    for changes in 0.. {
        let index = 2 * changes as u64 + 1;
        model.state().changes_left = Some(changes);
        let (first, _folder) = guests(&host, "w1");
        let pool = first.pool().clone();
        let exhausted = Arc::new(Notify::new());
        model.state().exhausted = Arc::clone(&exhausted);
        let mut coming_up = tokio::spawn(async move { first.bring_up(&order(index)).await });
        let ended = tokio::select! {
            up = &mut coming_up => up.unwrap().is_ok(),
            () = exhausted.notified() => {
                coming_up.abort();
                false
            }
        };
        model.state().changes_left = None;
        let (second, _folder) = guests(&host, "w2");
        second.bring_up(&order(index + 1)).await.unwrap();
        let mine = order(index + 1).generation;
        let mut collector = Collector::new(Duration::ZERO);
        collector.collect(&second, |_, generation| generation == mine, soon()).await.unwrap();
        assert_eq!(model.state().guests().len(), 1, "after {changes} changes");
        second.destroy(&key(), mine).await.unwrap();
        collector.collect(&second, |_, _| false, soon()).await.unwrap();
        assert!(is_as_before(&model), "after {changes} changes");
        pool.close().await;
        second.pool().close().await;
        if ended {
            assert!(changes > 10, "the first came up after {changes} changes");
            return;
        }
    }
}

#[tokio::test]
async fn wherever_a_worker_ends_while_it_destroys_nothing_stays() {
    let (model, host) = Model::start().await;
    for changes in 0.. {
        let index = 2 * changes as u64 + 1;
        let (first, _folder) = guests(&host, "w1");
        first.bring_up(&order(index)).await.unwrap();
        let pool = first.pool().clone();
        let exhausted = Arc::new(Notify::new());
        model.state().exhausted = Arc::clone(&exhausted);
        model.state().changes_left = Some(changes);
        let mut destroying =
            tokio::spawn(async move { first.destroy(&key(), order(index).generation).await });
        let ended = tokio::select! {
            destroyed = &mut destroying => destroyed.unwrap().is_ok(),
            () = exhausted.notified() => {
                destroying.abort();
                false
            }
        };
        model.state().changes_left = None;
        let (second, _folder) = guests(&host, "w2");
        second.destroy(&key(), order(index + 1).generation).await.unwrap();
        Collector::new(Duration::ZERO).collect(&second, |_, _| false, soon()).await.unwrap();
        assert!(is_as_before(&model), "after {changes} changes");
        pool.close().await;
        second.pool().close().await;
        if ended {
            assert!(changes > 2, "destroyed after {changes} changes");
            return;
        }
    }
}

/// Where the official data model is at hand, every call of a guest's life is held against it: its name, how many
/// parameters it takes.
#[tokio::test]
async fn every_call_is_one_that_xapi_has() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/xapi/xenapi.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("the official data model is not beside the repository, so calls were not held against it");
        return;
    };
    let classes: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (_model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    assert!(check(&guests, None, |_| ()).await);
    let guest = guests.bring_up(&order(2)).await.unwrap().guest;
    guests.power(&guest, PowerState::Suspended, soon()).await.unwrap();
    guests.shut_down(&guest, soon()).await.unwrap();
    let snapshot = guests.snapshot(&guest, "c1", soon()).await.unwrap();
    guests.revert(&snapshot, soon()).await.unwrap();
    Collector::new(Duration::ZERO).collect(&guests, |_, _| false, soon()).await.unwrap();
    guests.pool().close().await;
    for call in host.calls() {
        let (class, name) = call.method.trim_start_matches("Async.").split_once('.').unwrap();
        let class = classes.iter().find(|known| known["name"] == class).unwrap_or_else(|| panic!("{call:?}"));
        let messages = class["messages"].as_array().unwrap();
        let message =
            messages.iter().find(|known| known["name"] == name).unwrap_or_else(|| panic!("{call:?}"));
        let all = message["params"].as_array().unwrap();
        let required = all.iter().filter(|param| param["required"] == true).count();
        let given = call.params.len() + usize::from(!call.session.is_null());
        assert!((required..=all.len()).contains(&given), "{given} parameters: {call:?}");
    }
}

#[tokio::test]
async fn a_later_generation_takes_the_guest_over_and_an_earlier_one_leaves_it_alone() {
    let (model, host) = Model::start().await;
    let (first, _folder) = guests(&host, "w1");
    let (second, _folder2) = guests(&host, "w2");
    let made = first.bring_up(&order(7)).await.unwrap();
    let adopted = second.bring_up(&order(9)).await.unwrap();
    assert!(adopted.adopted);
    assert_eq!(adopted.guest.uuid, made.guest.uuid);
    assert_eq!(adopted.guest.host_key.as_deref(), Some("ssh-ed25519 BBBB"));
    let claim = adopted.guest.claim.unwrap();
    assert_eq!((claim.generation, claim.worker.as_str()), (order(9).generation, "w2"));
    for refused in [
        first.bring_up(&order(7)).await.map(drop),
        first.destroy(&key(), order(7).generation).await.map(drop),
    ] {
        assert!(matches!(refused, Err(XcpngError::Superseded { .. })), "{refused:?}");
    }
    assert_eq!(model.state().guests()[0]["power_state"], "Running");
}

#[tokio::test]
async fn power_is_brought_to_where_it_is_wanted() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    let guest = guests.bring_up(&order(7)).await.unwrap().guest;
    let power = || model.state().guests()[0]["power_state"].clone();
    for wanted in [PowerState::Paused, PowerState::Suspended, PowerState::Running, PowerState::Halted] {
        guests.power(&guest, wanted, soon()).await.unwrap();
        assert_eq!(power(), wanted.to_string());
    }
    guests.power(&guest, PowerState::Running, soon()).await.unwrap();
    guests.shut_down(&guest, soon()).await.unwrap();
    assert_eq!(power(), "Halted");
    assert_eq!(host.count("Async.VM.clean_shutdown"), 1);
}

#[tokio::test]
async fn snapshots_are_taken_once_and_go_with_their_guest() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    let guest = guests.bring_up(&order(7)).await.unwrap().guest;
    model.state().lose = Some(("Async.VM.snapshot".to_owned(), Loss::After));
    let first = guests.snapshot(&guest, "c1", soon()).await.unwrap();
    let again = guests.snapshot(&guest, "c1", soon()).await.unwrap();
    assert_eq!(first.reference, again.reference);
    let second = guests.snapshot(&guest, "c2", soon()).await.unwrap();
    guests.revert(&first, soon()).await.unwrap();
    guests.destroy_snapshot(&second, soon()).await.unwrap();
    assert_eq!(model.state().all("VM").len(), 3, "the template, the guest, one snapshot");
    guests.destroy(&key(), order(7).generation).await.unwrap();
    assert!(is_as_before(&model));
}

#[tokio::test]
async fn only_what_nobody_has_is_collected_and_not_at_once() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    guests.bring_up(&order(7)).await.unwrap();
    let mut patient = Collector::new(Duration::from_secs(3600));
    let owned = patient.collect(&guests, |_, _| true, soon()).await.unwrap();
    let left = vec![(key(), order(7).generation)];
    assert_eq!(owned, Collected { left: left.clone(), ..Collected::default() });
    let waiting = patient.collect(&guests, |_, _| false, soon()).await.unwrap();
    assert_eq!(waiting, Collected { waiting: 1, left, ..Collected::default() });
    let mut hasty = Collector::new(Duration::ZERO);
    let taken = hasty.collect(&guests, |vm, _| *vm != key(), soon()).await.unwrap();
    assert_eq!(taken, Collected { guests: 1, ..Collected::default() });
    assert!(is_as_before(&model));
}

#[tokio::test]
async fn on_a_pool_of_one_user_nothing_of_another_one_is_told_or_taken() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    guests.bring_up(&order(7)).await.unwrap();
    let of = |user: &str| Collector::new(Duration::ZERO).only(Some(user.parse().unwrap()));
    let nothing = of("another").collect(&guests, |_, _| false, soon()).await.unwrap();
    assert_eq!(nothing, Collected::default());
    let taken = of(key().user.as_str()).collect(&guests, |_, _| false, soon()).await.unwrap();
    assert_eq!(taken, Collected { guests: 1, ..Collected::default() });
    assert!(is_as_before(&model));
}

/// As another worker does that takes the guest over.
fn claimed_by_a_later_generation(state: &mut State) {
    let names = state.all("VM");
    let guest = names.iter().find(|name| state.get("VM", name)["is_a_template"] == false).unwrap();
    state.get("VM", guest)["other_config"]["bioxen:generation:1.9"] = json!("w2");
}

#[tokio::test]
async fn a_guest_that_is_claimed_while_it_is_being_collected_or_destroyed_is_left_to_whoever_claimed_it() {
    for collects in [true, false] {
        let listed = if collects { "VDI.get_all_records" } else { "VM.get_record" };
        for (after, power) in [(listed, "Running"), ("Async.VM.hard_shutdown", "Halted")] {
            let (model, host) = Model::start().await;
            let (first, _folder) = guests(&host, "w1");
            first.bring_up(&order(7)).await.unwrap();
            model.state().then = Some((after, claimed_by_a_later_generation));
            if collects {
                let collected = Collector::new(Duration::ZERO).collect(&first, |_, _| false, soon()).await;
                assert_eq!(collected.unwrap(), Collected::default(), "claimed after {after}");
            } else {
                let refused = first.destroy(&key(), order(7).generation).await;
                assert!(matches!(refused, Err(XcpngError::Superseded { .. })), "{after}: {refused:?}");
            }
            assert!(model.state().then.is_none(), "{after} was not called");
            assert_eq!(model.state().guests()[0]["power_state"], power, "claimed after {after}");
            assert_eq!(model.state().all("VDI").len(), 2, "the template's disk and the guest's");
            let (second, _folder2) = guests(&host, "w2");
            assert!(second.bring_up(&order(9)).await.unwrap().adopted, "claimed after {after}");
            assert_eq!(second.destroy(&key(), order(9).generation).await.unwrap(), 1);
            assert!(is_as_before(&model), "claimed after {after}");
        }
    }
}

#[tokio::test]
async fn what_is_not_on_the_pool_is_said_by_its_field() {
    let (model, host) = Model::start().await;
    let (guests, _folder) = guests(&host, "w1");
    model.state().get("network", "OpaqueRef:network")["uuid"] = Value::from("other");
    let error = guests.bring_up(&order(7)).await.unwrap_err().to_string();
    assert!(error.contains("the network") && error.contains("change network_uuid"), "{error}");
    model.state().get("VM", "OpaqueRef:template")["name_label"] = Value::from("other");
    let error = guests.bring_up(&order(8)).await.unwrap_err().to_string();
    assert!(error.contains("the template \"bioxen-template\" is not on the pool"), "{error}");
}
