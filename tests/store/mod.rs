//! What tests do to a fleet's stores behind its back.

mod journal;

use std::path::Path;

use async_nats::Client;
use bioxen_tests::{ask, ask_until, code};
use serde_json::{Value, json};

pub(crate) use journal::{batches, delete_from_journal};

pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Makes one folder what another is.
pub(crate) fn put_back(copy: &Path, folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
    copy_folder(copy, folder);
}

/// VMs of three users in every state that lasts, with limits and remembered requests.
pub(crate) async fn populate(client: &Client) {
    ask(client, "bioxen.v1.ops.root.quota.carol", &json!({ "max_vms": 2, "max_ribosomes": 22 })).await;
    for user in USERS {
        for (vm, verbs) in [
            ("created", &[][..]),
            ("ran", &["start"]),
            ("paused", &["start", "pause"]),
            ("stopped", &["start", "stop"]),
            ("gone", &["start", "destroy"]),
        ] {
            let body = json!({ "biological_type": "syn3a", "seed": 7, "request_id": format!("create-{vm}") });
            let created = ask(client, &format!("bioxen.v1.cmd.{user}.create.{vm}"), &body).await;
            if user == "carol" && code(&created) == "BX011" {
                continue;
            }
            assert_eq!(created["status"], "created", "{created}");
            for verb in verbs {
                let body = json!({ "wait_ms": 30_000, "request_id": format!("{verb}-{vm}") });
                let answer = ask(client, &format!("bioxen.v1.cmd.{user}.{verb}.{vm}"), &body).await;
                assert_eq!(code(&answer), "", "{verb} of {vm}: {answer}");
            }
        }
    }
    let more = json!({ "biological_type": "syn3a", "on_full": "queue", "horizon_minutes": 1e6, "pace": 1 });
    let waiting = ask(client, "bioxen.v1.cmd.carol.create.waiting", &more).await;
    assert_eq!(waiting["state"], "queued", "{waiting}");
    let less = json!({ "ribosomes": 5, "atp_percentage": 33.5, "request_id": "less" });
    assert_eq!(code(&ask(client, "bioxen.v1.cmd.alice.allocate.ran", &less).await), "");
    ask_until(client, "bioxen.v1.cmd.alice.resources.ran", &Value::Null, |answer| {
        answer["reservation"]["ribosomes"] == 5
    })
    .await;
    // The leader's next tick finds carol's units above 90 percent of her limit, and journals that.
    ask_until(client, "bioxen.v1.cmd.carol.events", &Value::Null, |answer| {
        answer["events"].as_array().is_some_and(|told| told.iter().any(|event| event["event"] == "alert"))
    })
    .await;
}
